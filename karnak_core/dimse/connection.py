"""One TCP (or TLS) connection: its buffer, its deadlines, and the fast ways to read and write.

Kernel timeouts (SO_RCVTIMEO, SO_SNDTIMEO) bound each call, so that no poll is needed before it; an
absolute deadline bounds the whole of what is waited for, so that a slow drip of bytes ends too.
"""

from __future__ import annotations

import contextlib
import mmap
import socket
import ssl
import struct
from collections.abc import Sequence
from time import monotonic
from typing import Final

from karnak_core.dimse.errors import ConnectionLost, PeerTimeout
from karnak_core.tls import in_words, is_cut

#: holds two of the largest PDUs that we announce
BUFFER_BYTES: Final = 256 << 10
#: IOV_MAX of Linux and the BSDs
MAX_BUFFERS: Final = 1024
#: a peer that takes this much within the send timeout makes progress
PROGRESS_BYTES: Final = 64 << 10

_TIMEVAL: Final = struct.Struct("@ll")
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)

Buffer = bytes | bytearray | memoryview


class Connection:
    """Reads into one buffer and writes from many; used by one thread."""

    def __init__(self, sock: socket.socket, peer: str, *, receive_timeout: float, send_timeout: float) -> None:
        #: for messages: ``AE at host:port``
        self.peer = peer
        #: the bytes received and not consumed are ``view[start:end]``
        # pages of it are there once they are used: a connection that sends nothing costs nothing
        self.view: Final = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        self.start = 0
        self.end = 0
        self.socket: Final = sock
        self._tls: Final = isinstance(sock, ssl.SSLSocket)
        self._tick: Final = receive_timeout
        self._send_timeout: Final = send_timeout
        self._receive_timeout = 0.0
        sock.settimeout(None)
        # not a TCP socket (a test's socket pair): nothing to tune
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._quickack: bool = _QUICKACK is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
        if not self._tls:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_timeout))
        self._set_receive_timeout(receive_timeout)
        self._rearm()

    # -- reading -----------------------------------------------------------------------------------------

    def fill(self, deadline: float) -> None:
        """Receive at least one byte into the buffer, which must not be full of unconsumed bytes.

        Raises
        ------
        PeerTimeout
            If nothing came until `deadline`, a time of :func:`time.monotonic`.
        ConnectionLost
            If the connection ended.
        """
        if self.start == self.end:
            self.start = self.end = 0
        elif self.end == BUFFER_BYTES:
            self._move_down()
        remaining = deadline - monotonic()
        while True:
            if remaining < self._tick or self._receive_timeout != self._tick:
                # a little past the deadline what has already arrived still counts: it was we who were slow
                if remaining < -self._tick:
                    raise PeerTimeout(f"{self.peer} did not finish in time")
                self._set_receive_timeout(min(max(remaining, 0.001), self._tick))
            try:
                received = self.socket.recv_into(self.view[self.end :])
                break
            except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
                remaining = deadline - monotonic()
                if remaining <= 0:
                    raise PeerTimeout(f"no data from {self.peer} in time") from None
            except OSError as error:
                raise ConnectionLost(f"connection to {self.peer} lost: {_words(error)}") from error
        if not received:
            raise ConnectionLost(f"connection closed by {self.peer}")
        self.end += received
        if self._quickack:
            self._rearm()

    def need(self, count: int, deadline: float) -> None:
        """Have at least `count` bytes, not more than half of the buffer, in one piece at `start`."""
        while self.end - self.start < count:
            if self.start + count > BUFFER_BYTES:
                self._move_down()
            self.fill(deadline)

    def take(self, most: int, deadline: float) -> memoryview:
        """Return the next 1 to `most` bytes, valid until the next call."""
        available = self.end - self.start
        # bytes that fit behind those that are there are waited for: fewer and larger writes
        while available < most and (not available or self.start + most <= BUFFER_BYTES):
            self.fill(deadline)
            available = self.end - self.start
        start = self.start
        self.start = start + (most if available > most else available)
        return self.view[start : self.start]

    def poll(self) -> bool:
        """Receive what has arrived without waiting; return whether unconsumed bytes are there.

        Raises `ConnectionLost` if the connection ended and nothing is left to read.
        """
        if self.start == self.end:
            self.start = self.end = 0
        elif self.end == BUFFER_BYTES:
            self._move_down()
        if self.end == BUFFER_BYTES:
            return True
        try:
            received = self._receive_now()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return self.start != self.end
        except OSError as error:
            if self.start != self.end:
                return True
            raise ConnectionLost(f"connection to {self.peer} lost: {_words(error)}") from error
        if not received and self.start == self.end:
            raise ConnectionLost(f"connection closed by {self.peer}")
        self.end += received
        self._rearm()
        return True

    def drain(self, deadline: float, most: int = 1 << 20) -> None:
        """Throw away what arrives until the peer closes, `deadline`, or `most` bytes."""
        with contextlib.suppress(PeerTimeout, ConnectionLost, OSError):
            while most > 0:
                self.start = self.end = 0
                if self._tls:
                    self._fill_below_tls(deadline)
                else:
                    self.fill(deadline)
                most -= self.end

    def _fill_below_tls(self, deadline: float) -> None:
        # what comes after our close_notify cannot be decrypted any more, nor need it be
        self._set_receive_timeout(max(0.001, deadline - monotonic()))
        self.end = socket.socket.recv_into(self.socket, self.view)
        if not self.end:
            raise ConnectionLost(f"connection closed by {self.peer}")

    def _receive_now(self) -> int:
        if not self._tls:
            return self.socket.recv_into(self.view[self.end :], 0, socket.MSG_DONTWAIT)
        self.socket.settimeout(0.0)
        try:
            return self.socket.recv_into(self.view[self.end :])
        finally:
            self.socket.settimeout(self._receive_timeout)

    def _move_down(self) -> None:
        kept = self.end - self.start
        self.view[:kept] = self.view[self.start : self.end]
        self.start, self.end = 0, kept

    def _rearm(self) -> None:
        # Peers leave Nagle on and send a message in two writes: the second waits for our ACK, which the
        # kernel holds back for 40 ms. The option is not sticky, so it is set after each receive.
        if self._quickack:
            assert _QUICKACK is not None
            try:
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            except OSError:
                self._quickack = False

    def _set_receive_timeout(self, seconds: float) -> None:
        self._receive_timeout = seconds
        # the ssl module repeats a read that the kernel timed out, and has its own clock
        if self._tls:
            self.socket.settimeout(seconds)
        else:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))

    # -- writing -----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send a small PDU."""
        if self._tls:
            self._send_tls((data,))
            return
        try:
            sent = self.socket.send(data)
        except OSError as error:
            raise self._not_sent(error) from error
        if sent != len(data):
            self._send_rest([memoryview(data)[sent:]])

    def send_all(self, buffers: Sequence[Buffer], total: int) -> None:
        """Send the `total` bytes of not more than `MAX_BUFFERS` buffers in one call where possible.

        Raises
        ------
        PeerTimeout
            If the peer takes less than `PROGRESS_BYTES` within the send timeout.
        ConnectionLost
            If the connection ended.
        """
        if self._tls:
            self._send_tls(buffers)
            return
        try:
            sent = self.socket.sendmsg(buffers)
        except OSError as error:
            raise self._not_sent(error) from error
        if sent != total:
            self._send_rest(_after(buffers, sent))

    def _send_rest(self, buffers: list[memoryview]) -> None:
        # a blocking send is only cut short by its timeout or a signal
        progress, deadline = 0, monotonic() + self._send_timeout
        while buffers:
            if monotonic() >= deadline:
                raise PeerTimeout(f"{self.peer} took no data in time")
            try:
                sent = self.socket.sendmsg(buffers)
            except OSError as error:
                raise self._not_sent(error) from error
            progress += sent
            if progress >= PROGRESS_BYTES:
                progress, deadline = 0, monotonic() + self._send_timeout
            buffers = _after(buffers, sent)

    def _send_tls(self, buffers: Sequence[Buffer]) -> None:
        # one TLS record holds 16 KiB: headers and data are joined to fill them
        try:
            self.socket.settimeout(self._send_timeout)
            joined = bytearray()
            for buffer in buffers:
                joined += buffer
                if len(joined) >= PROGRESS_BYTES:
                    self._send_tls_part(joined)
                    joined = bytearray()
            if joined:
                self._send_tls_part(joined)
        except OSError as error:
            raise self._not_sent(error) from error
        finally:
            with contextlib.suppress(OSError):
                self.socket.settimeout(self._receive_timeout)

    def _send_tls_part(self, data: bytearray) -> None:
        deadline = monotonic() + self._send_timeout
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                if monotonic() >= deadline:
                    raise TimeoutError
                # in pieces: the clock of the ssl module starts anew with each
                sent += self.socket.send(view[sent : sent + PROGRESS_BYTES])

    def _not_sent(self, error: OSError) -> PeerTimeout | ConnectionLost:
        if isinstance(error, BlockingIOError | TimeoutError):
            return PeerTimeout(f"{self.peer} took no data in time")
        return ConnectionLost(f"connection to {self.peer} lost: {_words(error)}")

    # -- ending ------------------------------------------------------------------------------------------

    def send_last(self, data: bytes) -> None:
        """Send a PDU if it goes without waiting, for the PDUs after which nothing matters."""
        with contextlib.suppress(OSError, ValueError):
            if self._tls:
                self.socket.settimeout(min(1.0, self._send_timeout))
                self.socket.send(data)
            else:
                self.socket.send(data, socket.MSG_DONTWAIT)

    def end_sending(self) -> None:
        """Tell the peer that nothing more comes."""
        self._notify_close()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def _notify_close(self) -> None:
        """Send the close_notify alert (RFC 8446 section 6.1), without waiting for that of the peer."""
        if not isinstance(self.socket, ssl.SSLSocket):
            return
        with contextlib.suppress(OSError, ValueError):
            try:
                self.socket.settimeout(0.0)
                self.socket.unwrap()
            finally:
                self.socket.settimeout(self._receive_timeout)

    def hang_up(self) -> None:
        """End both directions after what was sent, also for a thread that waits for the peer."""
        with contextlib.suppress(OSError, ValueError):
            # closing on unread input would reset the connection, and what was sent last be lost with it
            while socket.socket.recv(self.socket, PROGRESS_BYTES, socket.MSG_DONTWAIT):
                pass
        with contextlib.suppress(OSError):
            # not SSLSocket.shutdown, which takes the TLS object from under another thread
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; may be called again."""
        self._notify_close()
        with contextlib.suppress(OSError):
            self.socket.close()


def _after(buffers: Sequence[Buffer], sent: int) -> list[memoryview]:
    """Return what is left of the buffers after the first `sent` bytes."""
    rest: list[memoryview] = []
    for buffer in buffers:
        if sent >= len(buffer):
            sent -= len(buffer)
        else:
            rest.append(memoryview(buffer)[sent:])
            sent = 0
    return rest


def _timeval(seconds: float) -> bytes:
    # zero would mean for ever
    microseconds = max(1000, int(seconds * 1_000_000))
    return _TIMEVAL.pack(microseconds // 1_000_000, microseconds % 1_000_000)


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "cut off" if is_cut(error) else in_words(error)
    return (error.strerror or type(error).__name__).lower()
