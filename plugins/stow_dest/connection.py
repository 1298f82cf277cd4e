"""HTTP connections that watch whether bytes move, and that say in words what goes wrong with them.

Time limits are on progress: sending a gigabyte may take as long as it takes while some of it goes. What fails is raised
as a delivery error, here, where it is known in what the connection was engaged; urllib3 lets these through.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from typing import Any, ClassVar, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from karnak_plugins.stow_dest.failures import GONE, Cut, while_connecting, while_waiting

#: bytes offered to the system at once; TLS makes records of 16 KiB of them
PIECE: Final = 256 * 1024


class WatchedConnection(HTTPConnection):
    """A connection whose peer has a name, and a time limit on standing still."""

    #: how to name the other side in reasons: host and port
    peer: ClassVar[str]
    #: seconds without a byte moving
    patience: ClassVar[float]

    _answers = 0
    _answered_early = False

    def connect(self) -> None:
        """Connect, TLS handshake included."""
        self._answers = 0
        try:
            super().connect()
        except (OSError, HTTPError, http.client.HTTPException) as error:
            raise while_connecting(error, self.peer, float(self.timeout or 0.0)) from error
        self.sock.settimeout(self.patience)

    def send(self, data: Any) -> None:
        """Send while bytes move; stop where the server has answered already, as it does with what it refuses."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.patience)
        try:
            left = memoryview(data)
            while left:
                self._wait_for_room()
                left = left[self.sock.send(left[:PIECE]) :]
        except TimeoutError as error:
            if self._readable():
                self._answered_early = True
                raise BrokenPipeError from error
            raise Cut(f"{self.peer}: nothing moved for {self.patience:g} s while the request was sent") from error
        except GONE as error:
            # there may be an answer to be read, which says why; urllib3 looks for it after this one
            self._answered_early = True
            raise BrokenPipeError from error
        except OSError as error:
            raise Cut(f"{self.peer}: the connection broke: {error.strerror or type(error).__name__}") from error

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Wait for the answer."""
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise while_waiting(error, self.peer, self.patience, used=self._answers > 0) from error
        self._answers += 1
        if self._answered_early and self.sock is not None:
            # the rest of the request was not sent: no further one can follow. The answer keeps the socket open
            sock, self.sock = self.sock, None
            sock.close()
        self._answered_early = False
        return response

    def close(self) -> None:
        """Close; the next request connects again."""
        self._answered_early = False
        super().close()

    def _wait_for_room(self) -> None:
        """Wait until something can be sent; with TLS, what can be read need not be an answer."""
        if isinstance(self.sock, ssl.SSLSocket):
            return
        events = _poll(self.sock, select.POLLOUT | select.POLLIN, self.patience)
        if not events:
            raise TimeoutError
        if events & select.POLLIN:
            self._answered_early = True
            raise BrokenPipeError

    def _readable(self) -> bool:
        return bool(_poll(self.sock, select.POLLIN, 0.0) & select.POLLIN)


class WatchedTLSConnection(WatchedConnection, HTTPSConnection):
    """The same over TLS."""


def _poll(sock: socket.socket, events: int, seconds: float) -> int:
    poll = select.poll()
    poll.register(sock, events)
    found = poll.poll(seconds * 1000)
    return found[0][1] if found else 0


def watched_pools(peer: str, patience: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return the pool classes, by URL scheme, whose connections go by this name and have this patience."""
    facts = {"peer": peer, "patience": patience}

    class Plain(HTTPConnectionPool):
        ConnectionCls = type("Plain", (WatchedConnection,), facts)

    class TLS(HTTPSConnectionPool):
        ConnectionCls = type("TLS", (WatchedTLSConnection,), facts)

    return {"http": Plain, "https": TLS}
