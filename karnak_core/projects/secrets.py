"""The secret of a project, for whoever de-identifies: from the configuration, else from the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from karnak_core.database import Database
from karnak_core.database.secrets import SecretKeyError, Vault
from karnak_core.deidentify import secret_from_text
from karnak_core.errors import Misconfigured
from karnak_core.projects import rows

if TYPE_CHECKING:
    from karnak_core.config.deidentification import Project

#: seconds that a secret is used before it is looked up again
KEPT = 1.0
#: who is recorded for a secret that was generated where a project was used without one
GATEWAY = "the gateway"


class _Entry:
    """What is known of one project."""

    __slots__ = ("lock", "origin", "secret", "until")

    def __init__(self) -> None:
        # of each project its own: a file on a disk that hangs does not stop the others
        self.lock = threading.Lock()
        self.until = 0.0
        self.origin: object = None
        self.secret = b""


class ProjectSecrets:
    """Looks secrets up, each once a second: what somebody changes is followed within two. For any number of threads."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def secret(self, project: Project, reveal: Callable[[Any], str]) -> bytes:
        """Return the 16 bytes that a project's UIDs, PatientIDs and dates are derived from.

        A project that has no secret at all gets one: once, whichever process or thread comes first.

        Parameters
        ----------
        reveal
            Opens the secret that the configuration gives, as ``OpenContext.reveal`` does.

        Raises
        ------
        Misconfigured
            The secret is not there, not one, or does not open with the key. Names the project, never the value.
        """
        with self._lock:
            entry = self._entries.setdefault(project.name, _Entry())
        with entry.lock:
            now = time.monotonic()
            if now >= entry.until or entry.origin != project.secret:
                entry.secret = self._found(project, reveal)
                entry.origin, entry.until = project.secret, now + KEPT
            return entry.secret

    def _found(self, project: Project, reveal: Callable[[Any], str]) -> bytes:
        try:
            text = self._stored(project.name) if project.secret is None else reveal(project.secret)
            return secret_from_text(text)
        except (Misconfigured, SecretKeyError, ValueError) as error:
            problem = str(error)
        # not chained: a traceback could show the value
        raise Misconfigured(f"project {project.name!r}: secret: {problem}")

    def _stored(self, name: str) -> str:
        with self._database.read() as connection:
            token = rows.active_token(connection, name)
        if token is None:
            with self._database.write() as connection:
                rows.generate_missing(connection, self._database.is_sqlite, self._vault, [name], GATEWAY)
                token = rows.active_token(connection, name)
        if token is None:
            raise ValueError("there is none")
        return self._vault.decrypt(token)
