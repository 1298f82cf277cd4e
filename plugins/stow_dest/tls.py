"""How TLS is spoken with a server: keys of the configuration in, an SSL context out."""

from __future__ import annotations

import os
import socket
import ssl

from karnak_core.config.tls import ClientTLS
from karnak_core.errors import Misconfigured

Stamps = tuple[tuple[str, int, int], ...]


def stamps(tls: ClientTLS | None) -> Stamps:
    """Return what changes when one of the files does; a file that is not there has none."""
    found = []
    for path in (tls.ca, tls.certificate, tls.key) if tls else ():
        if path is not None:
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((path, status.st_mtime_ns, status.st_ino))
    return tuple(found)


def client_context(tls: ClientTLS | None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and newer that always verifies the server.

    Raises
    ------
    Misconfigured
        A file cannot be read, or is not what it should be.
    """
    tls = tls or ClientTLS()
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"tls.ca: {tls.ca}: {_words(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.check_hostname
    # a bundle may hold the server's certificate itself
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if tls.certificate is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=_no_pass_phrase)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"tls.certificate, tls.key: {tls.certificate}: {_words(error)}") from error
    return context


def handshake(address: tuple[str, int], context: ssl.SSLContext | None, seconds: float) -> ssl.SSLSocket:
    """Return a connection with TLS.

    Parameters
    ----------
    context
        None: to see whether there is TLS at all; whoever answers, nothing is sent over it.
    seconds
        For the TCP connection, and again for each step of the handshake.
    """
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = socket.create_connection(address, seconds)
    try:
        return context.wrap_socket(sock, server_hostname=address[0])
    except BaseException:
        sock.close()
        raise


def _no_pass_phrase() -> str:
    """Stand in for the question on the terminal that OpenSSL would ask."""
    return ""


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "cannot be used").replace("_", " ").lower()
    return error.strerror or type(error).__name__
