"""The service: opens what the console works on, listens, and answers until the gateway ends."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
from threading import Event
from typing import Any

import uvicorn

from karnak_core.commands.common import Place
from karnak_core.config.store import Following
from karnak_core.errors import KarnakError
from karnak_core.model import OpenContext
from karnak_core.spool.wakeups import open_wakeups
from karnak_core.tls.contexts import WatchedContext, server_context
from karnak_plugins.web_console.access import users
from karnak_plugins.web_console.access.audit import remove_old
from karnak_plugins.web_console.app import create_app
from karnak_plugins.web_console.config import WebConsole
from karnak_plugins.web_console.connections import connection_class
from karnak_plugins.web_console.console import Console

logger = logging.getLogger(__name__)

BACKLOG = 256
#: seconds that requests get to end; less than the gateway gives this process
GRACE_SECONDS = 3


class ConsoleService:
    """The console, listening."""

    def __init__(self, console: Console, listening: socket.socket) -> None:
        self._console = console
        self._listening = listening

    @property
    def address(self) -> str:
        """What the gateway's ready line says."""
        return f"web {self.url}"

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host, port = self._listening.getsockname()[:2]
        scheme = "https" if self._console.config.tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def run(self, stop: Event) -> None:
        """Answer until ``stop`` is set."""
        server = uvicorn.Server(self._settings())
        # in the main thread it would take the signals, which are the gateway's
        thread = threading.Thread(target=server.run, args=([self._listening],), name="web", daemon=True)
        thread.start()
        try:
            while not stop.wait(1.0 if thread.is_alive() else 0.0) and thread.is_alive():
                pass
        finally:
            server.should_exit = True
            thread.join(GRACE_SECONDS + 1.0)
            self._listening.close()
        if not stop.is_set():
            raise KarnakError("the web server ended by itself; see the log")

    def _settings(self) -> uvicorn.Config:
        config = self._console.config
        more: dict[str, Any] = {}
        if config.tls is not None:
            tls = config.tls
            more["ssl_context_factory"] = lambda _config, _default: _following(server_context(tls))
        return uvicorn.Config(
            create_app(self._console),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(config.trusted_proxies),
            forwarded_allow_ips=list(config.trusted_proxies),
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_SECONDS,
            limit_concurrency=500,
            http=connection_class(config.trusted_proxies),
            **more,
        )


def _following(watched: WatchedContext) -> ssl.SSLContext:
    """Return a context that gives every handshake the certificate of now; its files may be replaced meanwhile."""
    context = watched.get()

    def renew(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = watched.get()

    context.sni_callback = renew
    return context


def open_console(config: WebConsole, context: OpenContext) -> ConsoleService:
    """Open what the console works on, and listen.

    Raises
    ------
    KarnakError
        The address cannot be listened at, or the database cannot be used.
    """
    listening = _listen(config)
    place = Place(data_directory=context.data_directory, database_url=context.database_url)
    database = place.open_database()
    following = Following.start(database, place)
    console = Console(
        data_directory=place.data_directory,
        database=database,
        vault=place.open_vault(),
        plugins=following.plugins,
        following=following,
        wake=open_wakeups(database, place.data_directory),
        config=config,
    )
    _greet(console)
    return ConsoleService(console, listening)


def _greet(console: Console) -> None:
    remove_old(console)
    if console.config.local_users and (password := users.create_first(console.database)):
        # not in the log, which is kept and read by others
        print(
            f"web console: user {users.FIRST}, one-time password {password} (to be changed at the first sign-in)",
            file=sys.stderr,
            flush=True,
        )


def _listen(config: WebConsole) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise KarnakError(f"plugins.web_console.host: {config.host!r}: {error.strerror}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise KarnakError(
            f"plugins.web_console: cannot listen on {config.host}:{config.port}: {error.strerror}"
        ) from error
    return listening
