"""``/metrics``, ``/healthz`` and ``/readyz`` on a port of their own, where the configuration says so."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from karnak_core.config.models import Configuration, Monitoring
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.errors import KarnakError
from karnak_core.monitor import expiries, metrics, standing
from karnak_core.monitor.expiries import Expiry
from karnak_core.monitor.small_http import Answer, SmallServer
from karnak_core.monitor.telling import OpenContexts
from karnak_core.spool import room
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.standing import live_processes

logger = logging.getLogger(__name__)

#: seconds that an answer is given again, whoever asks
FRESH: Final = 1.0
#: seconds until who waits for the ledger is told that it does not answer
PATIENCE: Final = 5.0
#: roles without which a gateway does not do its work
NEEDED: Final = ("receive", "deliver")

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json"


class Endpoint:
    """Answers for as long as the process lives. For one thread to run, and any number to ask."""

    def __init__(
        self,
        database: Database,
        folder: SpoolFolder,
        following: Following,
        contexts: OpenContexts,
        data_directory: Path,
    ) -> None:
        self._database = database
        self._folder = folder
        self._following = following
        self._contexts = contexts
        self._data_directory = data_directory
        self._metrics = _Shared(self._take_metrics)
        self._readiness = _Shared(self._take_readiness)
        #: set while it listens, to ``port``
        self.listening = threading.Event()
        self.port = 0

    def run(self, stop: threading.Event) -> None:
        """Listen where the configuration says, follow it when it changes; raises KarnakError: the port is taken."""
        while not stop.is_set():
            wanted = self._following.configuration.monitoring
            if wanted is None:
                stop.wait(FRESH)
            else:
                self._listen(wanted, stop)

    def _listen(self, wanted: Monitoring, stop: threading.Event) -> None:
        try:
            server = SmallServer(wanted.host, wanted.port, self.answer)
        except OSError as error:
            raise KarnakError(f"monitoring: cannot listen on {wanted.host}:{wanted.port}: {error.strerror}") from error
        self.port = server.port
        self.listening.set()
        logger.info("metrics and health at http://%s:%d/metrics, /healthz and /readyz", wanted.host, server.port)
        try:
            server.serve(lambda: not stop.is_set() and self._following.configuration.monitoring == wanted)
        finally:
            self.listening.clear()

    def answer(self, path: str) -> Answer:
        """Return what is answered to a path."""
        match path:
            case "/healthz":
                return Answer(content_type=JSON, body=b'{"alive": true}\n')
            case "/readyz":
                return self._readiness.get() or _not_ready(["the ledger does not answer"])
            case "/metrics":
                return self._metrics.get() or _unavailable("the ledger does not answer")
            case "/":
                return Answer(body=b"/metrics\n/healthz\n/readyz\n")
        return Answer(status="404 Not Found", body=b"there are /metrics, /healthz and /readyz\n")

    def _take_metrics(self) -> Answer:
        version, configuration = self._following.current
        try:
            found = standing.look(self._database, configuration, self._folder)
            with self._database.read() as connection:
                made = metrics.attempts(connection)
        except SQLAlchemyError as error:
            return _unavailable(f"the ledger cannot be used: {type(error).__name__}")
        numbers = metrics.Numbers(found, self._expiries(configuration), made, version)
        return Answer(content_type=PLAIN, body=metrics.text(numbers))

    def _expiries(self, configuration: Configuration) -> list[Expiry]:
        authenticators = self._contexts.of(configuration, "", "").authenticators
        return [*expiries.certificates(configuration), *expiries.tokens(authenticators)]

    def _take_readiness(self) -> Answer:
        reasons = []
        try:
            with self._database.read() as connection:
                processes = live_processes(connection)
            node = (self._data_directory / "node-id").read_text().strip()
            roles = {one.role for one in processes if one.node == node}
            reasons += [f"no process with the role {role!r} says that it lives" for role in NEEDED if role not in roles]
        except SQLAlchemyError as error:
            reasons.append(f"the ledger cannot be used: {type(error).__name__}")
        except OSError as error:
            reasons.append(f"the data directory cannot be read: {error.strerror}")
        needed, free = room.needed(self._following.configuration.storage.reserve), self._folder.free_bytes()
        if free < needed:
            reasons.append(f"nothing is accepted: {free} bytes are free, {needed} are needed (storage.reserve)")
        return _not_ready(reasons) if reasons else Answer(content_type=JSON, body=_json(ready=True, reasons=[]))


class _Shared:
    """An answer that is made once for all who ask within a second."""

    def __init__(self, take: Any) -> None:
        self._take = take
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._taken_at = 0.0

    def get(self) -> Answer | None:
        """Return it; None: it takes too long."""
        if not self._lock.acquire(timeout=PATIENCE):
            return None
        try:
            if self._answer is None or time.monotonic() - self._taken_at >= FRESH:
                self._answer = self._take()
                self._taken_at = time.monotonic()
            return self._answer
        finally:
            self._lock.release()


def _json(**values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _not_ready(reasons: list[str]) -> Answer:
    return Answer(status="503 Service Unavailable", content_type=JSON, body=_json(ready=False, reasons=reasons))


def _unavailable(words: str) -> Answer:
    return Answer(status="503 Service Unavailable", body=f"{words}\n".encode())
