"""A small HTTP/1.1 server for a few pages that are only read: bounded in everything, whoever connects.

One request for each connection. Who is slow, or asks too much, is cut off; nobody waits for them. Where there are
too many connections, who has been silent longest makes room for who comes.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

logger = logging.getLogger(__name__)

#: connections at once; for one more, the oldest that has not asked yet is closed, or it, where there is none
AT_ONCE: Final = 32
#: bytes of a request
LONGEST_REQUEST: Final = 8192
#: seconds for a request to be here as a whole, and for its answer to be taken
PATIENCE: Final = 5.0
#: seconds for a connection that is closed to make room
ROOM_SECONDS: Final = 1.0
#: seconds between two looks at whether to go on
LOOK_AGAIN: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered."""

    status: str = "200 OK"
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


class SmallServer:
    """Answers GET and HEAD.

    Parameters
    ----------
    answer
        Path, without the query -> what is answered; called in many threads at once.
    """

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer], *, patience: float = PATIENCE) -> None:
        self._answer = answer
        self._patience = patience
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        #: those that have not asked yet, the oldest first
        self._silent: dict[socket.socket, None] = {}
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.bind((host, port))
            self._listening.listen(AT_ONCE)
        except OSError:
            self._listening.close()
            raise
        self._listening.settimeout(LOOK_AGAIN)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    def serve(self, go_on: Callable[[], bool]) -> None:
        """Answer for as long as ``go_on`` says so, then stop listening."""
        with self._listening:
            while go_on():
                try:
                    connection, _ = self._listening.accept()
                except TimeoutError:
                    continue
                except OSError as error:
                    # out of descriptors, say: for now
                    logger.error("cannot accept: %s", error.strerror)
                    time.sleep(LOOK_AGAIN)
                    continue
                if not self._free.acquire(blocking=False) and not self._make_room():
                    connection.close()
                    continue
                with self._lock:
                    self._silent[connection] = None
                threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _make_room(self) -> bool:
        """Cut off the oldest connection that has not asked yet; say whether there is room now."""
        with self._lock:
            # while it is listed it is not closed
            oldest = next(iter(self._silent), None)
            if oldest is None:
                return False
            del self._silent[oldest]
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        return self._free.acquire(timeout=ROOM_SECONDS)

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            with connection:
                deadline = time.monotonic() + self._patience
                try:
                    request = _read(connection, deadline)
                finally:
                    with self._lock:
                        self._silent.pop(connection, None)
                if request is None:
                    return
                answer, with_body = self._answered(request)
                connection.settimeout(max(0.1, self._patience))
                connection.sendall(_written(answer, with_body=with_body))
        except OSError:
            # gone, or too slow: who asked will ask again
            return
        finally:
            self._free.release()

    def _answered(self, request: bytes) -> tuple[Answer, bool]:
        words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return Answer(status="400 Bad Request", body=b"no HTTP/1 request\n"), True
        method, path, _ = words
        if method not in ("GET", "HEAD"):
            return Answer(status="405 Method Not Allowed", body=b"only GET and HEAD\n"), True
        try:
            return self._answer(path.split("?", 1)[0]), method == "GET"
        except Exception:
            logger.exception("a request could not be answered")
            return Answer(status="500 Internal Server Error", body=b"see the log\n"), method == "GET"


def _read(connection: socket.socket, deadline: float) -> bytes | None:
    """Return a request with its headers; None: it did not come, or is no request that anyone here waits for."""
    request = b""
    while b"\r\n\r\n" not in request:
        left = deadline - time.monotonic()
        if left <= 0 or len(request) > LONGEST_REQUEST:
            return None
        connection.settimeout(left)
        some = connection.recv(LONGEST_REQUEST)
        if not some:
            return None
        request += some
    return request


def _written(answer: Answer, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (answer.body if with_body else b"")
