"""Group commit: who returns is in the ledger, who raises is not, whatever happens to the others or the process."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from karnak_core.database import Database, open_database
from karnak_core.database.tables import delivery, instance
from karnak_core.receive.committer import LARGEST_GROUP, Committer
from karnak_core.spool.record import Received

#: commits from several threads and tells of each that returned
COMMITTING = """
import os, sys, threading
from pathlib import Path
from karnak_core.database import open_database
from karnak_core.model import Header
from karnak_core.receive.committer import Committer
from karnak_core.spool.files import SpoolFolder, SpoolWriter
from karnak_core.spool.record import Received
from karnak_core.spool.wakeups import open_wakeups
url, data = sys.argv[1], Path(sys.argv[2])
database = open_database(url or None, data)
writer = SpoolWriter(SpoolFolder(data / "spool"))
committer = Committer(database, writer, open_wakeups(database, data))
def work(thread):
    for n in range(100_000):
        path, descriptor = "", -1
        if n % 3:
            path, descriptor = writer.create()
            os.write(descriptor, b"x")
            os.fsync(descriptor)
            os.close(descriptor)
        committer.commit(Received(
            forward_node="NODE", calling_ae_title="CALLER", peer_host="127.0.0.1", received_at=1,
            transfer_syntax_uid="1.2", header=Header(sop_class_uid="1.2.3", sop_instance_uid=f"{thread}.{n}"),
            path=path, dataset_offset=0, size=1, destinations=("a",), content=b"" if path else b"x",
        ))
        os.write(1, f"{thread}.{n} {path}\\n".encode())
for thread in range(4):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


class Bell:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def publish(self, topics: Iterable[str]) -> None:
        self.topics += topics

    def subscribe(self, callback: Callable[[str], None]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class LastComeFirstServed:
    """A lock that hands over in the worst order it may: to whoever came last."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[object] = []
        self._held = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def __enter__(self) -> None:
        me = object()
        with self._condition:
            self._waiting.append(me)
            self._condition.wait_for(lambda: not self._held and self._waiting[-1] is me)
            self._waiting.pop()
            self._held = True

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._held = False
            self._condition.notify_all()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def committer(ledger: Any, bell: Bell) -> Committer:
    return Committer(ledger.database, ledger.writer, bell)


def recorded(database: Database, uid: str) -> int:
    """How many instances with this UID are in the ledger with their delivery."""
    with database.read() as connection:
        return connection.execute(
            sa.select(sa.func.count()).select_from(instance.join(delivery)).where(instance.c.sop_instance_uid == uid)
        ).scalar_one()


def commit_all(committer: Committer, database: Database, batch: list[Received]) -> Callable[[], dict[str, str]]:
    """Commit each in a thread of its own; return a function that waits and tells how each ended."""
    ended: dict[str, str] = {}

    def work(received: Received) -> None:
        uid = received.header.sop_instance_uid
        try:
            committer.commit(received)
        except Exception as error:
            ended[uid] = type(error).__name__
        else:
            ended[uid] = "returned" if recorded(database, uid) else "returned, but is not recorded"

    threads = [threading.Thread(target=work, args=(received,)) for received in batch]
    for thread in threads:
        thread.start()

    def wait() -> dict[str, str]:
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        return ended

    return wait


def test_each_commit_returns_only_when_its_row_is_visible(ledger: Any, committer: Committer) -> None:
    batch = [ledger.received("a") for _ in range(200)]
    ended = commit_all(committer, ledger.database, batch)()
    assert set(ended.values()) == {"returned"}
    assert len(ended) == 200
    assert all(recorded(ledger.database, received.header.sop_instance_uid) == 1 for received in batch)


def test_more_that_wait_than_fit_in_a_group_are_all_recorded(
    ledger: Any, committer: Committer, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    turn: Any = LastComeFirstServed()
    committer._turn = turn
    batch = [ledger.received("a") for _ in range(LARGEST_GROUP + 50)]
    with turn:
        wait = commit_all(committer, ledger.database, batch)
        eventually(lambda: turn.waiting == len(batch))
    ended = wait()
    assert set(ended.values()) == {"returned"}
    assert all(recorded(ledger.database, received.header.sop_instance_uid) == 1 for received in batch)


def test_one_that_cannot_be_recorded_does_not_take_the_others_with_it(
    ledger: Any, committer: Committer, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    turn: Any = LastComeFirstServed()
    committer._turn = turn
    batch = [ledger.received("a") for _ in range(6)]
    batch[3] = dataclasses.replace(batch[3], forward_node=None)
    with turn:
        wait = commit_all(committer, ledger.database, batch)
        eventually(lambda: turn.waiting == len(batch))
    ended = wait()
    assert ended.pop(batch[3].header.sop_instance_uid) == "IntegrityError"
    assert set(ended.values()) == {"returned"}
    for uid, end in ended.items():
        assert recorded(ledger.database, uid) == (end == "returned"), end


def test_a_commit_after_an_error_is_not_disturbed(ledger: Any, committer: Committer) -> None:
    for _ in range(3):
        with pytest.raises(sa.exc.SQLAlchemyError):
            committer.commit(dataclasses.replace(ledger.received("a"), peer_host=None))
        good = ledger.received("a")
        committer.commit(good)
        assert recorded(ledger.database, good.header.sop_instance_uid) == 1


def test_a_file_whose_folder_cannot_be_synced_is_not_recorded(ledger: Any, committer: Committer) -> None:
    received = dataclasses.replace(ledger.received("a"), path="no-such-folder/file.dcm")
    with pytest.raises(OSError, match="no-such-folder"):
        committer.commit(received)
    assert recorded(ledger.database, received.header.sop_instance_uid) == 0


def test_those_who_have_work_are_woken_and_nobody_for_what_is_excluded(
    ledger: Any, committer: Committer, bell: Bell
) -> None:
    committer.commit(ledger.received("a", "b"))
    assert sorted(bell.topics) == ["NODE/a", "NODE/b"]
    bell.topics.clear()
    committer.commit(ledger.received("a", excluded="DICOMDIR not forwarded"))
    assert bell.topics == []


def test_what_was_committed_survives_a_killed_process(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path
) -> None:
    url = "" if database.is_sqlite else request.getfixturevalue("emptied_postgresql_url")
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITTING, url, str(tmp_path)], stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout
    told = b""
    while told.count(b"\n") < 150:
        block = os.read(process.stdout.fileno(), 65536)
        assert block, "it ended by itself"
        told += block
    process.send_signal(signal.SIGKILL)
    while block := os.read(process.stdout.fileno(), 65536):
        told += block
    process.wait(60)
    process.stdout.close()
    lines = [line.split(" ") for line in told.decode().splitlines()]
    opened = open_database(url or None, tmp_path)
    with opened.read() as connection:
        rows = connection.execute(sa.select(instance.c.sop_instance_uid, instance.c.path)).all()
        there = {row.sop_instance_uid: row.path for row in rows}
        deliveries = connection.execute(sa.select(sa.func.count()).select_from(delivery)).scalar_one()
    opened.close()
    assert len(lines) >= 150
    assert len(rows) == len(there) == deliveries
    for uid, path in lines:
        assert there[uid] == path
        assert not path or (tmp_path / "spool" / path).read_bytes() == b"x"
