"""Make a TLS connection of a TCP connection, in both roles."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from karnak_core.tls import words
from karnak_core.tls.contexts import ClientSettings, WatchedContext, client_context
from karnak_core.tls.errors import HandshakeCut, HandshakeFailed
from karnak_core.tls.peers import list_names, names

#: first byte of a TLS record that begins a handshake (RFC 8446 section 5.1), and of an A-ASSOCIATE-RQ (PS3.8)
HANDSHAKE: Final = 0x16
A_ASSOCIATE_RQ: Final = 0x01
#: fatal alert "unexpected message" (RFC 8446 section 6.2): tells one who looks that TLS is spoken here
_ALERT: Final = bytes((21, 3, 3, 0, 2, 2, 10))


def accepting(context: WatchedContext) -> Callable[[socket.socket], ssl.SSLSocket]:
    """Return what makes a TLS socket of an accepted one, whose handshake is still to be done.

    It waits for the first byte of the peer as long as the socket's timeout says, and raises `HandshakeFailed`, an
    OSError, or `TlsFileError`.
    """

    def wrap(sock: socket.socket) -> ssl.SSLSocket:
        first = sock.recv(1, socket.MSG_PEEK)
        if not first:
            raise HandshakeCut(words.CUT)
        if first[0] != HANDSHAKE:
            with suppress(OSError):
                sock.send(_ALERT)
            raise HandshakeFailed(
                "the peer speaks plain DICOM (no TLS)" if first[0] == A_ASSOCIATE_RQ else words.SPEAKS_PLAIN
            )
        return context.get().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    return wrap


@dataclass(frozen=True, kw_only=True)
class _AnyHost:
    """Settings of a client that takes the certificate of any host."""

    ca: str | None
    certificate: str | None
    key: str | None
    check_hostname: bool = False


def connect(host: str, port: int, timeout: float, settings: ClientSettings) -> ssl.SSLSocket:
    """Connect and do the handshake.

    Parameters
    ----------
    timeout
        Seconds for the TCP connection, and again for the handshake.

    Raises
    ------
    TlsFileError
        Our files cannot be used.
    HandshakeFailed
        There is no TLS with the peer; `HandshakeCut`: the connection ended, or nothing came in time.
    OSError
        There is no TCP connection.
    """
    context = client_context(settings).get()
    sock = socket.create_connection((host, port), timeout)
    try:
        return _secured(context, sock, host)
    except (OSError, ValueError) as error:
        sock.close()
        if words.is_other_host(error):
            raise HandshakeFailed(_other_host(host, port, timeout, settings)) from error
        authorities = "what the system trusts" if settings.ca is None else repr(settings.ca)
        failure = HandshakeCut if words.is_cut(error) else HandshakeFailed
        raise failure(words.in_words(error, authorities)) from error


def _secured(context: ssl.SSLContext, sock: socket.socket, host: str) -> ssl.SSLSocket:
    # a name that is none (UnicodeError) cannot be asked for, nor be in a certificate
    secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured


def _other_host(host: str, port: int, timeout: float, settings: ClientSettings) -> str:
    """Ask once more, to say for whom the certificate is."""
    lenient = _AnyHost(ca=settings.ca, certificate=settings.certificate, key=settings.key)
    found: list[str] = []
    with (
        suppress(OSError, ValueError),
        socket.create_connection((host, port), timeout) as sock,
        _secured(client_context(lenient).get(), sock, host) as secured,
    ):
        found = names(secured.getpeercert() or {})
    what = list_names(found) if found else "no host"
    return f"the peer's certificate is for {what}, not for {host}"
