"""HTTP connections whose answers come to an end in time, headers and body together, however they trickle.

A socket's own time limit is on each read: a byte every second keeps within it for ever. Here what is left of the time
for all of the answer is the limit of the next read.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class Overdue(TimeoutError):
    """The time for all of an answer is over."""


class _Reading(io.RawIOBase):
    """What comes from a socket, until a moment by the clock that only goes forward."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw = raw
        self._sock = sock
        self._until = until
        #: seconds that each read may take; None: any
        self._each = sock.gettimeout()

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        """Read what there is, at least one byte; 0: the other side has closed."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Overdue
        self._sock.settimeout(left if self._each is None else min(left, self._each))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError as error:
            if time.monotonic() >= self._until:
                raise Overdue from error
            raise

    def close(self) -> None:
        """Let go of the socket."""
        super().close()
        self._raw.close()


def timed_response(seconds: float) -> type[HTTPResponse]:
    """Return the class of answers that are read within so many seconds, from when they are waited for."""

    class Timed(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self.fp = io.BufferedReader(_Reading(self.fp.detach(), sock, time.monotonic() + seconds))

    return Timed


class TimedAdapter(HTTPAdapter):
    """Lets a session of requests have answers of so many seconds at most."""

    def __init__(self, seconds: float, **options: Any) -> None:
        facts = {"response_class": timed_response(seconds)}

        class Plain(HTTPConnectionPool):
            ConnectionCls = type("Plain", (HTTPConnection,), facts)  # pyright: ignore[reportAssignmentType]  # urllib3 does the same

        class TLS(HTTPSConnectionPool):
            ConnectionCls = type("TLS", (HTTPSConnection,), facts)  # pyright: ignore[reportAssignmentType]

        self._pools = {"http": Plain, "https": TLS}
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the same for connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and everything behind it; the libraries hide some among the arguments."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
            yield one


def is_overdue(error: BaseException) -> bool:
    """Tell whether the time for all of an answer was over."""
    return any(isinstance(one, Overdue) for one in causes(error))
