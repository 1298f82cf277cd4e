"""Web servers that answer one request with the bytes that a test wants: no HTTP, half an answer, drops."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from karnak_core.testing.waiting import PATIENCE

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@contextmanager
def run_raw_http(says: bytes, *, then: bytes = b"", every: float = 0.05) -> Iterator[int]:
    """Serve one connection on the loopback, and yield the port.

    Parameters
    ----------
    says
        is sent after the whole request was read: what is closed with something unread is reset, and then what was sent
        is lost to the other side.
    then
        is sent again and again after it, until the client closes; empty: the connection is closed at once.
    every
        seconds between two of those.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    _read_request(connection)
                    connection.sendall(says)
                    while then and not over.wait(every):
                        connection.sendall(then)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            over.set()
            with suppress(OSError):
                # a thread that nobody connected to
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def _read_request(connection: socket.socket) -> None:
    request = b""
    while block := connection.recv(65536):
        request += block
        head, end, body = request.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return
