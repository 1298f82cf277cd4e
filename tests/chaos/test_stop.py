"""Stopping and starting: what is in flight is finished, and whatever state a crash leaves is understood."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from harness import (
    EXPLICIT,
    HUGE,
    LARGE,
    SECONDARY_CAPTURE,
    Gateway,
    Peer,
    associate,
    eventually,
    send,
    uid,
)

MakeGateway = Callable[..., Gateway]
MakePeer = Callable[..., Peer]


def dicom(peer: Peer, **options: object) -> dict[str, object]:
    return {
        "name": "pacs",
        "type": "dicom",
        "ae_title": "PACS",
        "hostname": "127.0.0.1",
        "port": peer.port,
        "retry_first": 0.5,
        "retry_longest": 1,
        **options,
    }


def test_an_instance_in_the_middle_of_being_received_is_finished_when_the_gateway_is_told_to_stop(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer)).start()
    data = HUGE[1]
    half_sent, go_on = threading.Event(), threading.Event()

    def chunks() -> object:
        yield data[:500_000]
        yield data[500_000:900_000]
        half_sent.set()
        go_on.wait(60)
        yield data[900_000:]

    answers: list[int] = []

    def store() -> None:
        association = associate(gateway.port)
        context = association.accepts(SECONDARY_CAPTURE, EXPLICIT)
        assert context is not None
        association.start_c_store(SECONDARY_CAPTURE, uid(1), context, chunks())
        try:
            answers.append(association.next_response().status)
        finally:
            association.abort()

    sender = threading.Thread(target=store, daemon=True)
    sender.start()
    assert half_sent.wait(60)
    process = gateway.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    # it stops to accept at once
    eventually(lambda: not accepts(gateway.port), 60, "no new association is accepted")
    assert process.poll() is None
    go_on.set()
    sender.join(60)
    assert answers == [0]
    assert process.wait(60) == 0
    gateway.kill()
    gateway.start()
    gateway.wait_until_settled(60)
    assert set(peer.taken) == {uid(1)}


def accepts(port: int) -> bool:
    try:
        associate(port).release()
    except Exception:
        return False
    return True


def test_stopping_does_not_wait_for_idle_associations(make_gateway: MakeGateway, make_peer: MakePeer) -> None:
    gateway = make_gateway(dicom(make_peer())).start()
    idle = [associate(gateway.port) for _ in range(20)]
    started = time.monotonic()
    assert gateway.terminate() == 0
    assert time.monotonic() - started < 25  # what is under way would have 30 s
    eventually(lambda: not any(association.is_alive() for association in idle), 60, "they are told")


def test_what_a_destination_has_not_answered_when_the_gateway_stops_goes_again_at_the_next_start(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer, response_timeout=3)).start()
    peer.may_answer.clear()
    send(gateway.port, range(10))
    assert peer.begun.wait(60)
    assert gateway.terminate() == 0
    assert gateway.count("leased") == 0
    peer.may_answer.set()
    gateway.start()
    gateway.wait_until_settled(60)
    assert set(peer.taken) == {uid(number) for number in range(10)}
    gateway.assert_balanced()


@pytest.mark.slow
def test_a_second_gateway_on_the_same_data_is_refused_and_changes_nothing(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer)).start()
    other = make_gateway({"name": "elsewhere", "type": "folder", "directory": "x"}, data=gateway.data)
    refused = other.run("serve", "--config", str(other.file), check=False)
    assert refused.returncode == 1
    assert "another gateway runs on this data directory" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [one["destination"] for one in gateway.status()["destinations"]] == ["pacs"]
    assert send(gateway.port, [1]) == {1: 0}
    gateway.wait_until_settled(60)
    assert set(peer.taken) == {uid(1)}


def stop_between_transactions(pid: int, lock: Path) -> None:
    """Stop a process where no other has to wait for it: it neither has nor gets the turn, nor a lock of SQLite's.

    A mere reader of SQLite's holds the writers' lock for a moment when it meets a header that is being changed.
    """
    for _ in range(100):
        with open(lock, "rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            os.kill(pid, signal.SIGSTOP)
            # one that still waited for the turn would get it, and stop with it
            eventually(lambda: all_stopped(pid), 60, "every thread is stopped")
        locks = [line.split()[1:5] for line in Path("/proc/locks").read_text().splitlines()]
        if ["POSIX", "ADVISORY", "WRITE", str(pid)] not in locks:
            return
        os.kill(pid, signal.SIGCONT)
    pytest.fail("the process holds a lock whenever it is stopped")


def all_stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped (proc(5), the third field of stat)."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        # a thread that has just ended
        return False
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def test_a_stopped_process_that_lost_nothing_but_time_goes_on(make_gateway: MakeGateway, make_peer: MakePeer) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer)).start()
    (deliverer, *_) = gateway.children("deliver")
    stop_between_transactions(deliverer, gateway.data / "karnak.lock")
    assert set(send(gateway.port, range(20)).values()) == {0}
    os.kill(deliverer, signal.SIGCONT)
    gateway.wait_until_settled(60)
    assert set(peer.taken) == {uid(number) for number in range(20)}


def test_states_that_a_loss_of_power_leaves_behind_are_cleared_up_at_the_start(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer(up=False)
    gateway = make_gateway(dicom(peer)).start()
    assert set(send(gateway.port, range(6), instances=LARGE).values()) == {0}
    gateway.kill()
    spool = gateway.data / "spool"
    files = sorted(gateway.spool_files())
    with gateway.ledger() as connection:
        (lost,) = connection.execute(
            sa.text("SELECT path FROM instance WHERE sop_instance_uid = :uid"), {"uid": uid(2)}
        )
    # a row whose file is missing
    (spool / lost.path).unlink()
    # a file without a row, and one that is half-written, both of a process that is gone
    folder, _, name = files[0].partition("/")
    writer = name.partition("-")[0]
    (spool / folder / f"{writer}-fff0.dcm").write_bytes((spool / files[0]).read_bytes())
    (spool / folder / f"{writer}-fff1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0")
    # files of a process whose lock file did not make it to the disk
    (spool / "0123456789ab-0").mkdir()
    (spool / "0123456789ab-0" / "0123456789ab-0.dcm").write_bytes(b"half")
    peer.up()
    gateway.start()
    gateway.wait_until_settled(60)
    (failed,) = gateway.deliveries("--state", "failed")
    assert failed["sop_instance_uid"] == uid(2)
    assert "spool file is missing" in failed["reason"]
    assert set(peer.taken) == {uid(number) for number in (0, 1, 3, 4, 5)}
    gateway.assert_balanced()
    eventually(lambda: not gateway.spool_files(), 60, lambda: f"no files, but {gateway.spool_files()}")
    gateway.run("deliveries", "discard", "--state", "failed", "--yes")
    gateway.assert_balanced()
    gateway.assert_spool_matches()
