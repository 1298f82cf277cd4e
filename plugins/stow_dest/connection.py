"""HTTP connections that watch whether bytes move, and that say in words what goes wrong with them.

Time limits are on progress: sending a gigabyte may take as long as it takes while some of it goes, and what the system
has taken from us and not yet delivered counts as well. An answer, which is short, has twice that limit for all of it.
What fails is raised as a delivery error, here, where it is
known in what the connection was engaged; urllib3 lets these through.
"""

from __future__ import annotations

import fcntl
import http.client
import select
import ssl
import struct
import termios
import time
from typing import Any, ClassVar, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from karnak_core.lookups.timed import timed_response
from karnak_plugins.stow_dest.failures import GONE, Cut, while_connecting, while_waiting

#: bytes offered to the system at once; TLS makes records of 16 KiB of them
PIECE: Final = 256 * 1024
#: seconds between two looks at what was delivered, where nothing else happens
LOOK: Final = 1.0


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

    def send(self, data: Any) -> None:
        """Send while bytes move; stop where the server has answered already, as it does with what it refuses."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(0)
        try:
            left = memoryview(data)
            while left:
                self._stop_if_answered()
                try:
                    left = left[self.sock.send(left[:PIECE]) :]
                except (BlockingIOError, ssl.SSLWantWriteError):
                    self._wait(select.POLLOUT if self._tls else select.POLLOUT | select.POLLIN)
                except ssl.SSLWantReadError:
                    self._wait(select.POLLIN)
        except TimeoutError as error:
            if self._poll(select.POLLIN, 0):
                self._answered_early = True
                raise BrokenPipeError from error
            raise self._standing_still() from error
        except GONE as error:
            # there may be an answer to be read, which says why; urllib3 looks for it after this one
            self._answered_early = True
            raise BrokenPipeError from error
        except OSError as error:
            raise Cut(f"{self.peer}: the connection broke: {error.strerror or type(error).__name__}") from error
        finally:
            # a proxy is listened to next, without anybody setting it
            if self.sock is not None:
                self.sock.settimeout(self.patience)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Wait for the answer."""
        try:
            if not self._answered_early:
                self._drain()
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

    @property
    def _tls(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket)

    def _stop_if_answered(self) -> None:
        """Raise where there is something to read; with TLS it need not be an answer."""
        if not self._tls and self._poll(select.POLLIN, 0):
            raise BrokenPipeError

    def _wait(self, events: int) -> None:
        """Wait for events as long as what was sent before is on its way."""
        unsent, since = self._unsent(), time.monotonic()
        look = min(LOOK, self.patience / 4)
        while not self._poll(events, look):
            before, unsent = unsent, self._unsent()
            if unsent < before:
                since = time.monotonic()
            elif time.monotonic() - since >= self.patience:
                raise TimeoutError

    def _drain(self) -> None:
        """Wait until all that was sent has arrived, or something can be read: from then on it is the server's time."""
        unsent, since, pause = self._unsent(), time.monotonic(), 0.0005
        while unsent:
            if self._tls:
                # what can be read may be a session ticket (RFC 8446 section 4.6.1), and would be so for ever: asked is
                # for an end only. After a reset what was unconfirmed stays so
                if self._poll(0, pause):
                    return
            elif self._poll(select.POLLIN, pause):
                return
            pause = min(2 * pause, LOOK, self.patience / 4)
            before, unsent = unsent, self._unsent()
            if unsent < before:
                since = time.monotonic()
            elif time.monotonic() - since >= self.patience:
                raise self._standing_still()

    def _standing_still(self) -> Cut:
        return Cut(f"{self.peer}: nothing moved for {self.patience:g} s while the request was sent")

    def _unsent(self) -> int:
        """Return how many bytes the system has taken and the other side not yet confirmed; 0: not known."""
        try:
            found = fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int(struct.unpack("i", found)[0])

    def _poll(self, events: int, seconds: float) -> int:
        poll = select.poll()
        poll.register(self.sock, events)
        found = poll.poll(seconds * 1000)
        return found[0][1] if found else 0


class WatchedTLSConnection(WatchedConnection, HTTPSConnection):
    """The same over TLS."""


def watched_pools(peer: str, patience: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return the pool classes, by URL scheme, whose connections go by this name and have this patience."""
    facts = {"peer": peer, "patience": patience, "response_class": timed_response(2 * patience)}

    class Plain(HTTPConnectionPool):
        ConnectionCls = type("Plain", (WatchedConnection,), facts)

    class TLS(HTTPSConnectionPool):
        ConnectionCls = type("TLS", (WatchedTLSConnection,), facts)

    return {"http": Plain, "https": TLS}
