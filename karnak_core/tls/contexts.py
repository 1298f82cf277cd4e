"""Contexts for handshakes, made of files and made anew when these change."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from karnak_core.tls.errors import TlsFileError
from karnak_core.tls.files import check_certificate, check_key
from karnak_core.tls.policy import load_authorities, load_identity, new_context

logger = logging.getLogger(__name__)

#: path -> what changes with the file's contents; None: it is not there
Look = tuple[int, int, int, int] | None


class ServerSettings(Protocol):
    """What the side that accepts needs. `karnak_core.config.tls.ServerTLS` is one."""

    @property
    def certificate(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def client_ca(self) -> str | None: ...
    @property
    def require_client_certificate(self) -> bool: ...


class ClientSettings(Protocol):
    """What the side that connects needs. `karnak_core.config.tls.ClientTLS` is one."""

    @property
    def ca(self) -> str | None: ...
    @property
    def certificate(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def check_hostname(self) -> bool: ...


class WatchedContext:
    """An `ssl.SSLContext` that is made anew when one of its files changes; for many threads.

    Connections that are open keep the context that they began with.
    """

    def __init__(
        self, make: Callable[[], ssl.SSLContext], certificate: str | None, paths: tuple[str | None, ...]
    ) -> None:
        self._make = make
        self._certificate = certificate
        self._paths: Final = tuple(path for path in (certificate, *paths) if path is not None)
        self._lock = threading.Lock()
        #: how the files were when they were last read, and what was made of them; replaced together, as threads read it
        #: without the lock
        self._last: tuple[tuple[Look, ...] | None, ssl.SSLContext | None] = (None, None)
        self._trouble = ""

    def get(self) -> ssl.SSLContext:
        """Return the context for the next handshake.

        Files that changed and cannot be used leave the last ones in use; that is logged once for each change.

        Raises
        ------
        TlsFileError
            There never was one that could be used.
        """
        seen, context = self._last
        if context is not None and self._look() == seen:
            return context
        with self._lock:
            seen, context = self._last
            if (now := self._look()) != seen:
                context = self._renewed(context)
                self._last = (now, context)
            if context is None:
                raise TlsFileError(self._trouble)
            return context

    def _renewed(self, before: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """Return a context made of the files, or the one of before where that cannot be done."""
        try:
            expired = self._expired()
            # what peers accept now is better than what none will
            if expired and before is not None:
                raise TlsFileError(expired)
            made = self._make()
        except TlsFileError as error:
            self._trouble = str(error)
            if before is not None:
                logger.error("TLS: %s; what was read before stays in use", error)
            return before
        if expired:
            logger.error("TLS: %s; peers will refuse it", expired)
        elif before is not None:
            logger.info("TLS: the files changed; from now on these are used: %s", ", ".join(self._paths))
        return made

    def _expired(self) -> str:
        if self._certificate is None:
            return ""
        try:
            check_certificate(self._certificate)
        except TlsFileError as error:
            return str(error)
        return ""

    def _look(self) -> tuple[Look, ...]:
        return tuple(map(_look, self._paths))


def _look(path: str) -> Look:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def server_context(settings: ServerSettings) -> WatchedContext:
    """Return the context of the side that accepts; the same for the same settings."""
    return _server(settings.certificate, settings.key, settings.client_ca, settings.require_client_certificate)


@lru_cache(maxsize=64)
def _server(certificate: str, key: str, client_ca: str | None, required: bool) -> WatchedContext:
    def make() -> ssl.SSLContext:
        context = new_context(ssl.PROTOCOL_TLS_SERVER)
        # a session that is taken up again would outlive a change of client_ca
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        check_key(key, certificate)
        load_identity(context, certificate, key)
        if client_ca is not None:
            load_authorities(context, client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        elif required:
            raise TlsFileError("require_client_certificate needs client_ca")
        return context

    return WatchedContext(make, certificate, (key, client_ca))


def client_context(settings: ClientSettings) -> WatchedContext:
    """Return the context of the side that connects; the same for the same settings."""
    return _client(settings.ca, settings.certificate, settings.key, settings.check_hostname)


@lru_cache(maxsize=1024)
def _client(ca: str | None, certificate: str | None, key: str | None, check_hostname: bool) -> WatchedContext:
    def make() -> ssl.SSLContext:
        context = new_context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = check_hostname
        if ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            load_authorities(context, ca)
        if certificate is not None and key is not None:
            check_key(key, certificate)
            load_identity(context, certificate, key)
        return context

    return WatchedContext(make, certificate, (key, ca))
