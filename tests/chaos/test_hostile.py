"""Clients that mean harm, or know no better: bounded memory, bounded time, and no effect on others."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from harness import (
    CONTEXTS,
    SMALL,
    Gateway,
    Peer,
    Sender,
    associate,
    descriptors,
    eventually,
    memory,
    send,
    threads,
    uid,
)

from karnak_core.dimse.negotiation import encode_request

MakeGateway = Callable[..., Gateway]
MakePeer = Callable[..., Peer]
MIB = 1 << 20

REQUEST = encode_request(
    called_ae_title="FORWARD", calling_ae_title="HOSTILE", contexts=list(CONTEXTS), max_operations=1
)


def dicom(peer: Peer, **options: object) -> dict[str, object]:
    return {
        "name": "pacs",
        "type": "dicom",
        "ae_title": "PACS",
        "hostname": "127.0.0.1",
        "port": peer.port,
        **options,
    }


def connect(port: int, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.sendall(data)
    return connection


def negotiated(port: int) -> socket.socket:
    connection = connect(port, REQUEST)
    assert connection.recv(1) == b"\x02"
    return connection


def echo_request(message_id: int) -> bytes:
    elements = (
        struct.pack("<HHL18s", 0, 2, 18, b"1.2.840.10008.1.1\0")
        + struct.pack("<HHLH", 0, 0x0100, 2, 0x0030)
        + struct.pack("<HHLH", 0, 0x0110, 2, message_id)
        + struct.pack("<HHLH", 0, 0x0800, 2, 0x0101)
    )
    command = struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements
    return struct.pack(">BBLLBB", 4, 0, len(command) + 6, len(command) + 2, 3, 3) + command


class Swarm:
    """Every kind of hostile client at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=attack, daemon=True) for attack in (self._huge, self._never_reads, self._drips)
        ]

    def attack(self) -> None:
        for _ in range(300):
            self._open.append(connect(self._port))
        for _ in range(20):
            self._open.append(connect(self._port, REQUEST[:40]))
            self._open.append(connect(self._port, os.urandom(2000)))
            self._open.append(connect(self._port, b"SSH-2.0-OpenSSH_9.6\r\n"))
            self._open.append(connect(self._port, struct.pack(">BBL", 1, 0, 0xFFFFFFF0)))
            established = negotiated(self._port)
            # the beginning of a data PDU, and nothing more
            established.sendall(struct.pack(">BBLLBB", 4, 0, 10_000, 9_996, 1, 0) + b"half")
            self._open.append(established)
        for thread in self._threads:
            thread.start()

    def _huge(self) -> None:
        """Announce 4 GB, and send what is taken of it."""
        for first in (b"", REQUEST):
            with suppress(OSError), connect(self._port, first) as connection:
                connection.settimeout(5)
                connection.sendall(struct.pack(">BBLLBB", 4, 0, 0xFFFFFFF0, 0xFFFFFFE0, 1, 0))
                while not self._stop.is_set():
                    connection.sendall(bytes(MIB))

    def _never_reads(self) -> None:
        """Ask, and never read an answer."""
        with suppress(OSError):
            connection = negotiated(self._port)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(1)
            self._open.append(connection)
            number = 0
            while not self._stop.is_set():
                number = number % 0xFFFF + 1
                connection.sendall(echo_request(number))

    def _drips(self) -> None:
        """A byte every now and then."""
        slow = [connect(self._port) for _ in range(10)]
        self._open += slow
        for byte in REQUEST:
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(bytes([byte]))
            if self._stop.wait(0.05):
                return

    def leave(self) -> None:
        self._stop.set()
        for connection in self._open:
            connection.close()
        for thread in self._threads:
            thread.join(15)


@pytest.mark.slow
def test_hostile_clients_disturb_nobody_and_leave_nothing_behind(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    gateway = make_gateway(dicom(peer)).start()
    # warm: everything that is made once is there
    alone = timed(lambda: Sender(gateway.port, range(0, 1000)).start().join(60))
    gateway.wait_until_settled(30)
    (receiver,) = gateway.children("receive")
    before = memory(receiver), descriptors(receiver), threads(receiver)
    swarm = Swarm(gateway.port)
    swarm.attack()
    try:
        under_attack = timed(lambda: Sender(gateway.port, range(1000, 2000)).start().join(60))
        with associate(gateway.port) as association:
            assert association.send_c_echo() == 0
        during = memory(receiver), descriptors(receiver), threads(receiver)
    finally:
        swarm.leave()
    print(f"1000 instances alone in {alone:.2f} s, under attack in {under_attack:.2f} s")
    print(f"memory, files, threads before {before}, during {during}")
    assert under_attack < 10 * alone + 20
    # a buffer for each connection that has not asked for an association, of which there are at most 512
    assert during[0] - before[0] < 160 * MIB
    eventually(
        lambda: descriptors(receiver) <= before[1] + 2 and threads(receiver) <= before[2] + 2,
        90,
        lambda: f"files {descriptors(receiver)}, threads {threads(receiver)} as before: {before}",
    )
    print("afterwards", (memory(receiver), descriptors(receiver), threads(receiver)))
    assert memory(receiver) - before[0] < 64 * MIB
    gateway.wait_until_settled(30)
    assert {uid(number) for number in range(2000)} == set(peer.taken)
    assert gateway.children("receive") == [receiver]
    assert gateway.terminate() == 0


def timed(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@pytest.mark.slow
def test_200_idle_and_32_busy_associations_are_served_at_once(make_gateway: MakeGateway, make_peer: MakePeer) -> None:
    peer = make_peer()
    gateway = make_gateway(
        dicom(peer, connections=4), listener={"max_associations": 240, "max_associations_per_peer": 240}
    ).start()
    idle = [associate(gateway.port) for _ in range(200)]
    senders = [Sender(gateway.port, range(index * 50, index * 50 + 50)).start() for index in range(32)]
    for sender in senders:
        sender.join(60)
        assert not sender.broken
        assert not sender.refused
    for association in idle[::10]:
        assert association.send_c_echo() == 0
    assert all(association.is_alive() for association in idle)
    gateway.wait_until_settled(60)
    assert {uid(number) for number in range(1600)} == set(peer.taken)
    for association in idle:
        association.release()
    assert gateway.terminate() == 0


def test_associations_beyond_the_limit_are_rejected_for_now_and_leave_when_they_end(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    gateway = make_gateway(dicom(make_peer()), listener={"max_associations": 4}).start()
    kept = [associate(gateway.port) for _ in range(4)]
    sender = Sender(gateway.port, range(5)).start()
    eventually(lambda: sender.broken["AssociationRejected"], 60, "it is rejected")
    kept[0].release()
    # a client that is cut off counts no longer, either
    kept[1]._connection.socket.close()
    sender.join(60)
    assert send(gateway.port, [7], instances=SMALL) == {7: 0}
    for association in kept[2:]:
        association.release()
