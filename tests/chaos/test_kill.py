"""Processes that are killed with -9, at any moment: what was acknowledged arrives, once and for all."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from harness import Gateway, Peer, Sender, eventually, send, uid
from pynetdicom import AE, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import SecondaryCaptureImageStorage

MakeGateway = Callable[..., Gateway]
MakePeer = Callable[..., Peer]


def dicom(port: int, name: str = "pacs", **options: object) -> dict[str, object]:
    return {
        "name": name,
        "type": "dicom",
        "ae_title": "PACS",
        "hostname": "127.0.0.1",
        "port": port,
        "retry_first": 0.5,
        "retry_longest": 2,
        **options,
    }


class Killer:
    """Kills a process of the gateway at random, again and again, and starts the gateway when it has to."""

    def __init__(self, gateway: Gateway, *, kills: int, seed: int) -> None:
        self._gateway = gateway
        self._random = random.Random(seed)
        self._kills = kills
        self._done = 0
        self._step = threading.Condition()
        self.victims: list[str] = []

    def allow(self, share: float) -> bool:
        """Wait until the kills have come so far that this share (0 to 1) of the instances may go."""
        with self._step:
            return self._step.wait_for(lambda: (self._done + 1) / self._kills >= share, 120)

    def run(self) -> None:
        while self._done < self._kills:
            self._gateway.wait_for_children()
            # somewhere between nothing and all of what may go now
            time.sleep(self._random.uniform(0.0, 0.3))
            self._kill(self._random.choice(("serve", "receive", "deliver")))
            with self._step:
                self._done += 1
                self._step.notify_all()
        self._gateway.wait_for_children()

    def _kill(self, victim: str) -> None:
        gateway = self._gateway
        self.victims.append(victim)
        if victim == "serve":
            gateway.kill()
            gateway.start()
            return
        pid = self._random.choice(gateway.children(victim) or gateway.children())
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), 60, f"{victim} is gone")


def survive(gateway: Gateway, count: int, kills: int) -> list[Sender]:
    """Send from four associations while processes are killed; return when all is acknowledged and delivered."""
    killer = Killer(gateway, kills=kills, seed=count)
    share = count // 4
    senders = [
        Sender(
            gateway.port,
            range(index * share, (index + 1) * share),
            before=lambda position: killer.allow(position / share),
        ).start()
        for index in range(4)
    ]
    killer.run()
    for sender in senders:
        sender.join(60)
    gateway.wait_until_settled(60)
    print("killed", {name: killer.victims.count(name) for name in set(killer.victims)})
    return senders


def assert_nothing_lost(gateway: Gateway, senders: list[Sender], taken: set[str]) -> None:
    acknowledged = {number for sender in senders for number in sender.acknowledged}
    assert {uid(number) for number in acknowledged} <= taken
    assert gateway.count("failed", "excluded") == 0
    gateway.assert_balanced()
    assert gateway.terminate() == 0
    gateway.start()
    eventually(lambda: not gateway.spool_files(), 60, lambda: f"files left over: {gateway.spool_files()}")
    gateway.assert_spool_matches()
    assert gateway.terminate() == 0


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts again and again
def test_nothing_acknowledged_is_lost_when_any_process_is_killed_twenty_times(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer.port), {"name": "local", "type": "folder", "directory": "out"}).start()
    senders = survive(gateway, 2000, 20)
    received = {path.stem for path in (gateway.data / "out").rglob("*.dcm")}
    assert {uid(number) for number in range(2000)} <= received
    assert_nothing_lost(gateway, senders, set(peer.taken))


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_on_postgresql_when_any_process_is_killed(
    make_gateway: MakeGateway, pynetdicom_peer: tuple[int, set[str]], postgresql_url: str
) -> None:
    port, taken = pynetdicom_peer
    gateway = make_gateway(dicom(port), database_url=postgresql_url).start()
    senders = survive(gateway, 400, 6)
    assert_nothing_lost(gateway, senders, taken)


@contextmanager
def _pynetdicom_server() -> Iterator[tuple[int, set[str]]]:
    taken: set[str] = set()

    def store(event: evt.Event) -> int:
        taken.add(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    ae = AE("PACS")
    ae.add_supported_context(SecondaryCaptureImageStorage, ALL_TRANSFER_SYNTAXES)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield server.server_address[1], taken
    finally:
        server.shutdown()


@pytest.fixture
def pynetdicom_peer() -> Iterator[tuple[int, set[str]]]:
    """A storage SCP of another maker: its port, and the SOP Instance UIDs that it took."""
    with _pynetdicom_server() as peer:
        yield peer


@pytest.mark.slow
@pytest.mark.parametrize("role", ["receive", "deliver"])
def test_a_process_that_ends_alone_is_started_again_and_works(
    make_gateway: MakeGateway, make_peer: MakePeer, role: str
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer.port)).start()
    assert send(gateway.port, [0]) == {0: 0}
    for round_, number in enumerate((signal.SIGTERM, signal.SIGKILL), start=1):
        running = gateway.children(role)
        old, count = running[0], len(running)
        os.kill(old, number)
        eventually(
            lambda old=old, count=count: old not in (now := gateway.children(role)) and len(now) == count,
            60,
            f"another {role} process",
        )
        Sender(gateway.port, range(round_ * 10, round_ * 10 + 10)).start().join(60)
        gateway.wait_until_settled(60)
    assert {uid(n) for n in (0, *range(10, 30))} <= set(peer.taken)
    assert gateway.terminate() == 0


@pytest.mark.slow
def test_nothing_is_lost_or_stuck_when_connections_to_postgresql_break(
    make_gateway: MakeGateway, make_peer: MakePeer, postgresql_url: str
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer.port), database_url=postgresql_url).start()
    senders = [Sender(gateway.port, range(index * 400, index * 400 + 400)).start() for index in range(2)]
    broken = 0

    def acknowledged() -> int:
        return sum(len(sender.acknowledged) for sender in senders)

    while acknowledged() < 800 or broken < 20:
        before = acknowledged()
        with gateway.ledger() as connection:
            broken += len(
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).all()
            )
        time.sleep(0.1)
        # each time something gets through, however slow the machine is
        eventually(lambda before=before: acknowledged() > before or acknowledged() == 800, 60, "senders get on")
    for sender in senders:
        sender.join(60)
    gateway.wait_until_settled(60)
    print(f"{broken} connections broken; {gateway.picture()}")
    assert {uid(number) for number in range(800)} == set(peer.taken)
    assert gateway.count("failed") == 0
    assert gateway.terminate() == 0
