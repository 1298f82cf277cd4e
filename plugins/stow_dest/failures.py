"""What goes wrong between us and a server, in words: exceptions of sockets, TLS and HTTP in, delivery errors out."""

from __future__ import annotations

import http.client
import ssl
from typing import Final

from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from karnak_core.errors import DeliveryError, Misconfigured, Unreachable
from karnak_core.lookups.timed import Overdue
from karnak_core.tls import HandshakeCut, HandshakeFailed, in_words, is_cut
from karnak_core.tls.words import SPEAKS_PLAIN

#: the peer has gone: an end of file, or a reset
GONE: Final = (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Cut(Unreachable):
    """The connection broke, or nothing moved on it, while it was used: what was sent may have arrived.

    ``stale``: it had been used before and was closed before it said anything, as servers do with idle ones.
    """

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.stale = stale


class ClosedUnanswered(Cut):
    """The server took a new connection and closed it without a word."""


def while_connecting(error: Exception, peer: str, seconds: float) -> DeliveryError:
    """Return what it means that there is no connection, TLS included."""
    match error:
        case NameResolutionError():
            return Unreachable(f"{peer}: the host name is not known")
        case ConnectTimeoutError() if not isinstance(error, NewConnectionError):
            return Unreachable(f"{peer}: no connection within {seconds:g} s")
        case NewConnectionError():
            cause = error.__cause__
            words = cause.strerror if isinstance(cause, OSError) and cause.strerror else "it failed"
            return Unreachable(f"{peer}: no connection: {words}")
        case ssl.SSLError() | ConnectionError() | TimeoutError():
            return tls_trouble(error, peer)
        case OSError() if "Tunnel connection failed" in str(error):
            return Misconfigured(f"{peer}: the proxy does not let us through")
        case OSError():
            return Unreachable(f"{peer}: no connection: {error.strerror or type(error).__name__}")
    return Unreachable(f"{peer}: no connection: {type(error).__name__}")


def tls_trouble(error: OSError, peer: str) -> DeliveryError:
    """Return what it means that TLS does not come about; a connection that was just cut may work later."""
    words = str(error) if isinstance(error, HandshakeFailed) else in_words(error)
    if words == SPEAKS_PLAIN:
        words = "the peer does not speak TLS there; is it plain HTTP, url begins with http:"
    if is_cut(error) or isinstance(error, HandshakeCut):
        return Unreachable(f"{peer}: TLS: {words}")
    return Misconfigured(f"{peer}: TLS: {words}")


def speaks_tls(peer: str) -> Misconfigured:
    """Return what to do about a TLS server that was spoken to in plain HTTP."""
    return Misconfigured(f"{peer}: the port speaks TLS: url has to begin with https:")


def while_waiting(error: Exception, peer: str, seconds: float, *, used: bool) -> DeliveryError:
    """Return what it means that there is no answer; ``used``: the connection had brought answers before."""
    match error:
        case Overdue():
            return Cut(f"{peer}: the answer does not come to an end within {2 * seconds:g} s")
        case TimeoutError():
            return Cut(f"{peer}: no answer within {seconds:g} s after the request was sent")
        case http.client.RemoteDisconnected() | ConnectionError() | ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            reason = f"{peer}: closed the connection without an answer"
            return Cut(reason, stale=True) if used else ClosedUnanswered(reason)
        case ssl.SSLError():
            return tls_trouble(error, peer)
        case http.client.BadStatusLine():
            # a TLS alert or handshake record (RFC 8446 section 5.1)
            if str(error.args[0])[:2] in ("\x15\x03", "\x16\x03"):
                return speaks_tls(peer)
            return Misconfigured(f"{peer}: what answers there does not speak HTTP")
        case http.client.HTTPException():
            return Cut(f"{peer}: its answer is no HTTP that can be read ({type(error).__name__})")
    return Cut(f"{peer}: the connection broke: {getattr(error, 'strerror', None) or type(error).__name__}")
