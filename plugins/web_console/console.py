"""What every page and every request of the API works on: the gateway's data, and its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from karnak_core.config import store
from karnak_core.config.export import to_document
from karnak_core.config.load import load, texts_of
from karnak_core.config.models import Configuration
from karnak_core.config.store import Applied, Following
from karnak_core.database import Database
from karnak_core.database.secrets import Vault
from karnak_core.errors import Conflict
from karnak_core.model import now_ms
from karnak_core.plugins import Plugins
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.traffic import Traffic
from karnak_core.spool.wakeups import CONFIGURATION, Wakeups
from karnak_plugins.web_console.access.audit import note
from karnak_plugins.web_console.access.changes import require_for_change
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.config import WebConsole
from karnak_plugins.web_console.counting import Counting
from karnak_plugins.web_console.expiring import Expiries
from karnak_plugins.web_console.looks import Looks

#: a document as ``karnak export`` writes it, to be changed in place or replaced
Document = dict[str, Any]
#: times that a change is made again because another one came first, where nobody looked at a certain version
ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Console:
    """The gateway as the console sees it. For any number of threads."""

    data_directory: Path
    database: Database
    vault: Vault
    plugins: Plugins
    following: Following
    wake: Wakeups
    config: WebConsole
    #: milliseconds since 1970-01-01 UTC
    clock: Callable[[], int] = field(default=now_ms, repr=False)
    expiries: Expiries = field(default_factory=Expiries, repr=False)
    traffic: Traffic = field(default_factory=Traffic, repr=False)
    looks: Looks = field(default_factory=Looks, repr=False)
    counting: Counting = field(default_factory=Counting, repr=False)

    @property
    def configuration(self) -> Configuration:
        """What applies; as new as the request that asks."""
        return self.following.configuration

    @property
    def version(self) -> int:
        """The number of the version that applies; 0: the default."""
        return self.following.version

    @property
    def spool(self) -> SpoolFolder:
        """The folder of the instance files."""
        return SpoolFolder(self.data_directory / "spool")

    def refresh(self) -> None:
        """Look for a newer configuration; done for every request."""
        self.following.refresh()

    def change(
        self,
        document_change: Callable[[Document], Document],
        *,
        expected_version: int | None,
        author: Identity | str,
        comment: str,
        noted: tuple[str, str] = ("change", "configuration"),
        applied_once: bool = False,
    ) -> Applied:
        """Apply a changed configuration, and write down who did.

        Parameters
        ----------
        document_change
            Given the document of the version that applies, returns the new one. Secrets that it leaves alone stay
            ``{stored: …}``; new ones may be text, which is encrypted. May be called more than once.
        expected_version
            The version that somebody looked at; None: whatever applies.
        author
            Who, for the history: the identity of the request, whose rights count; a text is the gateway itself.
        comment
            What for, in a few words, for the history; at most 255 characters.
        noted
            A verb, and what it is done to, for the audit trail.
        applied_once
            True: files of TLS were looked at then, and are not again, as by ``karnak rollback``.

        Raises
        ------
        ConfigurationError
            With every problem of the new document, and of the files of TLS that it names and the old one did not;
            nothing has changed.
        Conflict
            Another version than the expected one applies.
        Refused
            403: the section of the console itself is not for the author to change.
        """
        for attempt in range(ATTEMPTS):
            self.refresh()
            version, before = self.following.current
            if expected_version is not None and expected_version != version:
                raise Conflict(
                    f"the configuration is version {version} by now, and this was made from version {expected_version}"
                )
            document = to_document(before)
            seen = None if applied_once else texts_of(document)
            configuration = load(document_change(document), self.plugins, seen=seen)
            require_for_change(author, before, configuration)
            try:
                return self._applied(configuration, version, author, comment, noted)
            except Conflict:
                if expected_version is not None or attempt + 1 == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def roll_back(
        self, number: int, *, expected_version: int | None, author: Identity | str, comment: str = ""
    ) -> Applied:
        """Make an earlier version apply again, as a new one, and write down who did.

        Raises
        ------
        NotFound
            There is no such version.
        ConfigurationError
            It does not fit the plugins any more.
        Conflict
            Another version than the expected one applies.
        Refused
            403: the section of the console itself would be another one, which is not for the author to change.
        """
        earlier = store.version(self.database, self.plugins, number)

        def change(_document: Document) -> Document:
            return to_document(earlier)

        return self.change(
            change,
            expected_version=expected_version,
            author=author,
            comment=comment or f"rollback to version {number}",
            noted=("roll back", f"configuration to version {number}"),
            applied_once=True,
        )

    def _applied(
        self,
        configuration: Configuration,
        expected: int,
        author: Identity | str,
        comment: str,
        noted: tuple[str, str],
    ) -> Applied:
        def write_down(connection: sa.Connection, done: Applied) -> None:
            note(connection, author, *noted, f"version {done.version}" if done.new else "nothing had changed")

        done = store.apply(
            self.database,
            self.plugins,
            self.vault,
            configuration,
            author=author if isinstance(author, str) else author.name,
            comment=comment,
            expected=expected,
            within=write_down,
        )
        if done.new:
            self.wake.publish({CONFIGURATION})
        self.refresh()
        return done
