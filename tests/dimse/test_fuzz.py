"""Valid streams of bytes, damaged in every way: nothing hangs, leaks or raises what it should not."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time

import pytest

from karnak_core.dimse import Association, DimseError, ProposedContext, Timeouts, negotiation, pdu
from karnak_core.dimse.command import C_STORE_RQ

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXTS = [ProposedContext(CT, [EXPLICIT]), ProposedContext("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]
SHORT = {"artim": 0.3, "acse": 0.3, "pdu": 0.3, "dimse": 0.3, "idle": 0.3, "send": 0.3}
ROUNDS = 60


def damaged(chance: random.Random, stream: bytes) -> bytes:
    """Return the stream with one to four changes."""
    data = bytearray(stream)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(max(1, len(data)))
        match chance.randrange(7):
            case 0 if data:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + chance.randint(1, 8)]
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 4:
                end = at + chance.randint(1, 200)
                data[end:end] = data[at:end]
            case 5:
                data[at : at + 4] = chance.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\1\0\0", b"\x7f\xff\xff\xf0"])
            case _:
                data[at : at + 1] = bytes([chance.randrange(8)])
    return bytes(data)


@pytest.fixture
def no_surprises(caplog):
    """Fails if an association ended by an exception nobody thought of, or a thread is left."""
    before = threading.active_count()
    with caplog.at_level(logging.INFO, "karnak_core.dimse"):
        yield
    assert [record.getMessage() for record in caplog.records if "unexpected" in record.getMessage()
            and record.levelno >= logging.ERROR] == []  # fmt: skip
    deadline = time.monotonic() + 60
    while threading.active_count() > before + 1:
        assert time.monotonic() < deadline, "threads were leaked"
        threading.Event().wait(0.01)


@pytest.mark.parametrize("seed", range(6))
def test_the_acceptor_survives_damaged_requests(no_surprises, make_acceptor, wire, seed):
    chance = random.Random(seed)
    acceptor = make_acceptor(**SHORT)
    request = wire.associate_request(max_operations=5)
    stream = (
        wire.store_message(chance.randbytes(3000), 1, size=1000)
        + wire.echo_message(2)
        + wire.p_data(1, 3, wire.command_set(C_STORE_RQ, 3))
        + wire.p_data(1, 2, chance.randbytes(100))
        + pdu.RELEASE_REQUEST
    )
    start = time.monotonic()
    for number in range(ROUNDS):
        # half of the damage behind the negotiation, which hides it otherwise
        sent = request + damaged(chance, stream) if number % 2 else damaged(chance, request + stream)
        with acceptor.client().socket as client:
            try:
                client.sendall(sent)
                if number % 10:
                    client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass
            except OSError:
                pass
    acceptor.all_ended()
    assert time.monotonic() - start < 120
    for store in acceptor.receiver.stores:
        assert store.finished + store.discarded == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_requestor_survives_damaged_answers(no_surprises, wire, seed):
    chance = random.Random(seed)
    proposal = negotiation.decode_request(wire.associate_request(*CONTEXTS, max_operations=5))
    results = {1: (0, EXPLICIT), 3: (0, "1.2.840.10008.1.2")}
    acceptance = negotiation.encode_acceptance(proposal, results, 5)
    answers = wire.store_response(1, 0, comment="fine") + wire.store_response(2, 0xB000) + pdu.RELEASE_RESPONSE
    listening = socket.create_server(("127.0.0.1", 0))

    def answer():
        for number in range(ROUNDS):
            sock, _ = listening.accept()
            with sock:
                sock.settimeout(60)
                sent = acceptance + damaged(chance, answers) if number % 2 else damaged(chance, acceptance + answers)
                try:
                    sock.recv(10)
                    sock.sendall(sent)
                    if number % 10:
                        sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass
                except OSError:
                    pass

    thread = threading.Thread(target=answer)
    thread.start()
    start = time.monotonic()
    try:
        for _ in range(ROUNDS):
            with (
                contextlib.suppress(DimseError),
                Association.open(
                    "127.0.0.1",
                    listening.getsockname()[1],
                    calling_ae_title="A",
                    called_ae_title="B",
                    contexts=CONTEXTS,
                    timeouts=Timeouts(**SHORT),
                ) as assoc,
            ):
                for number in (1, 2):
                    assoc.start_c_store(CT, f"1.2.{number}", 1, [b"data" * 5000])
                while assoc.outstanding:
                    assert 0 <= assoc.next_response().status <= 0xFFFF
                assoc.is_alive()
    finally:
        thread.join(120)
        listening.close()
    assert time.monotonic() - start < 120
