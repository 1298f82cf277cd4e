"""The monitor process: what it keeps running, and what is left when it dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

from karnak_core.config.store import Following
from karnak_core.database import open_database
from karnak_core.database.tables import follow_up, notification, process
from karnak_core.model import State, now_ms
from karnak_core.monitor.loops import Loop
from karnak_core.monitor.process import MonitorProcess
from karnak_core.plugins import load
from karnak_core.spool import leases, lost, processes
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.wakeups import AFTERWARDS, open_wakeups
from karnak_core.testing import one_node, run_gateway
from karnak_core.testing.ledger import open_empty


class Counted:
    """A loop that fails at first, and then listens to the bell."""

    def __init__(self, bell: Doorbell) -> None:
        self.runs = 0
        self.again, self.rung, self.ended = Event(), Event(), Event()
        self._bell = bell

    def run(self, stop: Event) -> None:
        self.runs += 1
        if self.runs == 1:
            raise RuntimeError("not at once")
        heard = self._bell.heard()
        self.again.set()
        while not stop.is_set():
            if self._bell.wait(heard, 60.0):
                self.rung.set()
                heard = self._bell.heard()
        self.ended.set()


def test_loop_that_fails_is_run_again_rings_and_ends(tmp_path: Path) -> None:
    with closing(open_empty(tmp_path)) as database:
        bell = Doorbell()
        loop = Counted(bell)
        loops: Mapping[str, Loop] = {"counted": loop}
        monitor = MonitorProcess(
            database=database,
            following=Following(database, load()),
            wake=open_wakeups(database, tmp_path),
            loops=loops,
            bell=bell,
            owner="me",
            node="here",
        )
        stop, ready = Event(), Event()
        thread = Thread(target=monitor.run, args=(stop, 10.0, ready.set))
        thread.start()
        try:
            assert ready.wait(60)
            assert loop.again.wait(60)
            with closing(open_wakeups(database, tmp_path)) as wake:
                wake.publish([AFTERWARDS])
            assert loop.rung.wait(60)
        finally:
            stop.set()
            thread.join(60)
        assert loop.ended.is_set()
        with database.read() as connection:
            assert connection.execute(sa.select(process)).all() == []


def leased(table: sa.Table, owner: str, **values: object) -> sa.Insert:
    return sa.insert(table).values(
        forward_node="NODE",
        destination="cloud",
        part="part",
        state=State.LEASED,
        not_before=now_ms(),
        lease_owner=owner,
        created_at=now_ms(),
        **values,
    )


def test_what_a_dead_process_had_is_pending_again(tmp_path: Path) -> None:
    with closing(open_empty(tmp_path)) as database, database.write() as connection:
        for owner in ("dead", "alive"):
            processes.register(connection, owner, owner, "monitor")
            connection.execute(leased(follow_up, owner, instance_id=1, delivery_id=1, subject=owner, sent={}))
            connection.execute(leased(notification, owner, study_instance_uid=owner, summary={}))
        processes.release_node(connection, "dead")
        for table, of in ((follow_up, follow_up.c.subject), (notification, notification.c.study_instance_uid)):
            rows = connection.execute(sa.select(of, table.c.state, table.c.lease_owner).order_by(of)).all()
            assert [tuple(row) for row in rows] == [
                ("alive", State.LEASED, "alive"),
                ("dead", State.PENDING, None),
            ]


def test_what_kills_every_process_ends_as_failed_and_is_kept(tmp_path: Path) -> None:
    with closing(open_empty(tmp_path)) as database, database.write() as connection:
        connection.execute(leased(follow_up, "0", instance_id=1, delivery_id=1, subject="deadly", sent={}))
        for attempt in range(lost.MOST_CRASHES):
            connection.execute(sa.update(follow_up).values(state=State.LEASED, lease_owner=str(attempt)))
            leases.release(connection, [str(attempt)], crashed=True)
        row = connection.execute(sa.select(follow_up)).one()
    assert (row.state, row.attempts, row.lease_owner) == (State.FAILED, lost.MOST_CRASHES, None)
    assert row.not_before is not None


def test_monitor_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with run_gateway(one_node({"name": "out", "type": "folder", "directory": "out"}), tmp_path / "data") as gateway:
        with closing(open_database(None, gateway.data)) as database:

            def monitor() -> list[tuple[str, int]]:
                with database.read() as connection:
                    rows = connection.execute(
                        sa.select(process.c.owner, process.c.pid).where(process.c.role == "monitor")
                    )
                    return [(row.owner, row.pid) for row in rows]

            [(first, pid)] = gateway.wait_until(monitor)
            os.kill(pid, signal.SIGKILL)
            gateway.wait_until(lambda: [owner for owner, _ in monitor() if owner != first] and len(monitor()) == 1)
        assert gateway.terminate() == 0
