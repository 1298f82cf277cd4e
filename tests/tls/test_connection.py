"""`dimse.connection.Connection` over TLS: what the TLS layer holds back, cuts short or has left to say."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from time import monotonic

import pytest

from karnak_core import tls
from karnak_core.config.tls import ClientTLS, ServerTLS
from karnak_core.dimse.connection import BUFFER_BYTES, Connection
from karnak_core.dimse.errors import ConnectionLost, PeerTimeout
from karnak_core.testing import wait_until

#: bytes of plain data in a TLS record, at most
RECORD = 16 << 10


class Pair:
    """A connection, and the TLS socket at its other end."""

    def __init__(self, ours: ssl.SSLSocket, theirs: ssl.SSLSocket, send_timeout: float) -> None:
        self.connection = Connection(ours, "PEER", receive_timeout=60.0, send_timeout=send_timeout)
        self.peer = theirs
        self.peer.settimeout(60.0)

    def take(self, count: int) -> bytes:
        """Read bytes from the connection."""
        taken = bytearray()
        while len(taken) < count:
            taken += self.connection.take(min(RECORD, count - len(taken)), monotonic() + 60.0)
        return bytes(taken)

    def peer_takes(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            more = self.peer.recv(count - len(taken))
            assert more, "it ended too early"
            taken += more
        return bytes(taken)


@pytest.fixture
def make_pair(authority):
    identity = authority.issue("peer.example.org")
    server = ServerTLS(certificate=identity.certificate, key=identity.key)
    sockets = []

    def make(*, we_accept=False, version=ssl.TLSVersion.TLSv1_3, send_timeout=60.0):
        listening = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        listening.close()
        context = tls.server_context(server).get()
        context.maximum_version = version
        asked = tls.client_context(ClientTLS(ca=authority.file)).get()
        made = []

        def handshake():
            made.append(context.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=we_accept))

        thread = threading.Thread(target=handshake)
        thread.start()
        secured = asked.wrap_socket(client, server_hostname="peer.example.org", suppress_ragged_eofs=not we_accept)
        thread.join(60.0)
        sockets.extend((secured, *made))
        ours, theirs = (made[0], secured) if we_accept else (secured, made[0])
        return Pair(ours, theirs, send_timeout)

    yield make
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("we_accept", [True, False])
def test_many_buffers_arrive_whole_at_a_slow_reader(make_pair, version, we_accept):
    pair = make_pair(version=version, we_accept=we_accept)
    buffers = [os.urandom(size) for size in (6, 131072, 6, 70000, 1, 0, 2_000_000)]
    total = sum(map(len, buffers))
    arrived = bytearray()

    def read():
        while len(arrived) < total:
            arrived.extend(pair.peer.recv(1000))

    thread = threading.Thread(target=read)
    thread.start()
    pair.connection.send_all(buffers, total)
    thread.join(60.0)
    assert bytes(arrived) == b"".join(buffers)


def test_what_comes_in_many_records_is_read_whole(make_pair):
    pair = make_pair()
    data = os.urandom(1_000_000)
    thread = threading.Thread(target=pair.peer.sendall, args=(data,))
    thread.start()
    assert pair.take(len(data)) == data
    thread.join(60.0)


def test_what_the_tls_layer_has_decrypted_already_is_found_without_the_socket(make_pair):
    pair = make_pair()
    connection = pair.connection
    pair.peer.sendall(bytes(range(100)))
    # room for ten bytes only: the rest of the record stays in the TLS layer
    connection.start, connection.end = BUFFER_BYTES - 20, BUFFER_BYTES - 10
    connection.fill(monotonic() + 60.0)
    assert connection.end == BUFFER_BYTES
    connection.start = connection.end
    assert connection.poll()
    assert bytes(connection.view[connection.start : connection.end]) == bytes(range(10, 100))


def test_a_poll_finds_nothing_where_nothing_is_and_waits_for_nothing(make_pair):
    pair = make_pair()
    started = monotonic()
    assert not pair.connection.poll()
    assert monotonic() - started < 30.0
    pair.peer.sendall(b"x")
    assert pair.take(1) == b"x"


@pytest.mark.parametrize("politely", [True, False])
def test_a_poll_finds_the_end_of_the_connection(make_pair, politely):
    pair = make_pair()
    if politely:
        pair.peer.settimeout(0.0)
        with contextlib.suppress(ssl.SSLWantReadError):
            pair.peer.unwrap()
    pair.peer.close()
    with pytest.raises(ConnectionLost):
        wait_until(pair.connection.poll)


def test_a_read_ends_at_its_deadline_and_the_next_one_goes_on(make_pair):
    pair = make_pair()
    started = monotonic()
    with pytest.raises(PeerTimeout, match="no data from PEER in time"):
        pair.connection.fill(started + 0.3)
    assert 0.25 < monotonic() - started < 30.0
    pair.peer.sendall(b"late")
    assert pair.take(4) == b"late"


def test_a_peer_that_takes_nothing_is_given_up(make_pair):
    pair = make_pair(send_timeout=0.5)
    started = monotonic()
    with pytest.raises(PeerTimeout, match="PEER took no data in time"):
        pair.connection.send_all([bytes(50_000_000)], 50_000_000)
    assert monotonic() - started < 30.0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("end", [Connection.end_sending, Connection.close])
def test_the_end_is_announced(make_pair, version, end):
    pair = make_pair(version=version)
    pair.connection.send(b"farewell")
    end(pair.connection)
    assert pair.peer_takes(8) == b"farewell"
    # without a close_notify this would raise, as the peer does not hide cut connections
    assert pair.peer.recv(1) == b""


def test_the_last_words_arrive_though_the_peer_is_still_sending(make_pair):
    pair = make_pair()
    with contextlib.suppress(TimeoutError):
        pair.peer.settimeout(0.2)
        pair.peer.sendall(bytes(400_000))
    pair.connection.send_last(b"abort")
    pair.connection.end_sending()
    drained = threading.Thread(target=pair.connection.drain, args=(monotonic() + 60.0,))
    drained.start()
    pair.peer.settimeout(60.0)
    assert pair.peer_takes(5) == b"abort"
    assert pair.peer.recv(1) == b""
    pair.peer.close()
    drained.join(60.0)
    assert not drained.is_alive()


def test_an_alert_of_the_peer_is_told_in_words(authority, make_pair):
    pair = make_pair()
    # a record that cannot be decrypted
    socket.socket.send(pair.connection.socket, bytes((23, 3, 3, 0, 32)) + bytes(32))
    with pytest.raises(ssl.SSLError):
        pair.peer.recv(1)
    with pytest.raises(ConnectionLost, match="connection to PEER lost: the peer sent the TLS alert bad record mac"):
        pair.connection.fill(monotonic() + 60.0)
