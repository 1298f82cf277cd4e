"""A disk of 50 MB: nothing acknowledged is lost when it fills up, and work goes on by itself when there is room."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from harness import HUGE, LARGE, SMALL, Gateway, Instances, Peer, Sender, eventually, send, uid

MakeGateway = Callable[..., Gateway]
MakePeer = Callable[..., Peer]

MIB = 1 << 20


def dicom(peer: Peer) -> dict[str, object]:
    return {
        "name": "pacs",
        "type": "dicom",
        "ae_title": "PACS",
        "hostname": "127.0.0.1",
        "port": peer.port,
        "retry_first": 0.5,
        "retry_longest": 1,
    }


def fill(gateway: Gateway, senders: list[Sender]) -> None:
    """Send until nothing is taken any more, for a while."""
    most, since = -1, time.monotonic()

    def stalled() -> bool:
        nonlocal most, since
        now = sum(len(sender.acknowledged) for sender in senders)
        if now != most:
            most, since = now, time.monotonic()
        return time.monotonic() - since > 1.0 and any(sender.refused or sender.broken for sender in senders)

    eventually(stalled, 60, "nothing is taken any more")


def refuses_and_goes_on(gateway: Gateway, peer: Peer, disk: Path, instances: Instances, count: int) -> None:
    """Fill the disk from several associations while the destination is down; then let it be up again."""
    gateway.start()
    senders = [
        Sender(gateway.port, range(index * count, (index + 1) * count), instances=instances).start()
        for index in range(4)
    ]
    fill(gateway, senders)
    kept = {number for sender in senders for number in sender.acknowledged}
    free = shutil.disk_usage(disk).free
    print(f"{len(kept)} of {4 * count} kept, {free / MIB:.1f} MiB free;", [dict(sender.refused) for sender in senders])
    for sender in senders:
        # out of resources, or a processing failure: both tell a sender to come again
        assert set(sender.refused) <= {0xA700, 0x0110}
        assert set(sender.broken) <= {"AssociationRejected"}
        assert not sender.joined
    assert 0 < len(kept) < 4 * count
    peer.up()
    for sender in senders:
        sender.join(60)
    gateway.wait_until_settled(60)
    assert {uid(number) for number in range(4 * count)} == set(peer.taken)
    assert gateway.count("failed") == 0
    gateway.assert_balanced()
    assert gateway.terminate() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instances", "count", "reserve"),
    [(SMALL, 4000, 8 * MIB), (LARGE, 200, 0), (HUGE, 15, 8 * MIB)],
    ids=["small", "large-without-reserve", "huge"],
)
def test_a_full_disk_refuses_for_now_and_goes_on_by_itself_when_there_is_room(
    make_gateway: MakeGateway,
    make_peer: MakePeer,
    small_disk: Path,
    instances: Instances,
    count: int,
    reserve: int,
) -> None:
    peer = make_peer(up=False)
    gateway = make_gateway(dicom(peer), data=small_disk / "data", storage={"reserve": reserve})
    refuses_and_goes_on(gateway, peer, small_disk, instances, count)


@pytest.mark.slow
def test_a_disk_that_others_fill_up_loses_nothing_and_leaves_nothing_behind(
    make_gateway: MakeGateway, make_peer: MakePeer, small_disk: Path
) -> None:
    peer = make_peer()
    peer.may_answer.clear()
    gateway = make_gateway(dicom(peer), data=small_disk / "data").start()
    senders = [
        Sender(gateway.port, range(index * 1000, index * 1000 + 300), instances=instances).start()
        for index, instances in enumerate((SMALL, LARGE, HUGE))
    ]
    eventually(lambda: all(sender.acknowledged for sender in senders), 60, "all sizes are taken")
    # there is really nothing left now: neither for files nor for the ledger
    eaten = eat_up(small_disk)
    peer.may_answer.set()
    fill(gateway, senders)
    eaten.unlink()
    for sender in senders:
        sender.join(60)
    gateway.wait_until_settled(60)
    assert len(peer.taken) == 900
    gateway.assert_balanced()
    eventually(lambda: not gateway.spool_files(), 60, "no file is left")
    gateway.assert_spool_matches()
    assert gateway.terminate() == 0


def test_a_gateway_on_a_full_disk_starts_or_says_why_not_and_has_lost_nothing_when_there_is_room(
    make_gateway: MakeGateway, make_peer: MakePeer, small_disk: Path
) -> None:
    peer = make_peer(up=False)
    gateway = make_gateway(dicom(peer), data=small_disk / "data").start()
    sent = send(gateway.port, range(50), instances=LARGE) | send(gateway.port, range(50, 100), instances=SMALL)
    assert set(sent.values()) == {0}
    gateway.kill()
    eaten = eat_up(small_disk)
    log = gateway.log.stat().st_size
    try:
        gateway.start()
    except AssertionError:
        assert gateway.process is not None
        assert gateway.process.wait(60) == 1
        last = gateway.log.read_text()[log:].splitlines()[-1]
        assert "full" in last or "space" in last
        gateway.kill()
        eaten.unlink()
        gateway.start()
    eaten.unlink(missing_ok=True)
    peer.up()
    gateway.wait_until_settled(60)
    assert {uid(number) for number in sent} == set(peer.taken)
    assert gateway.terminate() == 0


def eat_up(disk: Path) -> Path:
    """Use all the space that is left; return the file that does."""
    path = disk / "eaten"
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return path
