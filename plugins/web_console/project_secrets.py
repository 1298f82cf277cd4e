"""The secrets of projects: listed, generated, set, made active again, shown. Every one of it is audited."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from karnak_core.commands.project_secrets import MEANING, source_of
from karnak_core.config.deidentification import Project
from karnak_core.database import Database
from karnak_core.deidentify import secret_from_text, secret_to_text
from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict, NotFound
from karnak_core.projects import rows
from karnak_core.projects.rows import StoredSecret
from karnak_plugins.web_console.access.audit import audit, recorded
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused

#: characters of what is typed as a secret
LONGEST: Final = 64


def project_of(console: Console, name: str) -> Project:
    """Return a project; raises NotFound."""
    for project in console.configuration.projects:
        if project.name == name:
            return project
    known = ", ".join(sorted(project.name for project in console.configuration.projects)) or "none"
    raise NotFound(f"there is no project {name!r}; known: {known}")


def listed(console: Console, name: str) -> list[StoredSecret]:
    """Return the secrets of a project, the oldest first; never what they are."""
    project_of(console, name)
    with console.database.read() as connection:
        return rows.listed(connection, name)


def given_by(project: Project) -> str:
    """Return where the configuration has the secret from; empty: it does not give it."""
    return source_of(project) if project.secret is not None else ""


def meaning(name: str) -> str:
    """Return what another secret means, in one line."""
    return " ".join(MEANING.format(name).split())


def state_of(there: Sequence[StoredSecret]) -> str:
    """Return a text that is another one when another secret is there, or active."""
    text = " ".join(f"{one.id}:{one.active_since}" for one in there)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def add(console: Console, user: Identity, name: str, text: str | None, *, seen: str | None) -> int:
    """Make a secret the active one; return its number.

    Parameters
    ----------
    text
        32 hex digits; None: a random one is made.
    seen
        The state of the secrets that were looked at; None: whatever they are.

    Raises
    ------
    ConfigurationError
        It is no secret, or the project has it already.
    Refused
        The configuration gives the secret.
    Conflict
        They are not as they were looked at.
    """
    project = _changeable(console, name)
    try:
        secret = None if text is None else secret_from_text(text.strip())
        with recorded(console, user) as (database, write_down):
            _unchanged(database, name, seen)
            number = rows.add(database, console.vault, project.name, secret, user.name)
            word = "generate" if text is None else "set"
            write_down(word, f"secret {number} of project {name}", "it is active")
    except (ValueError, rows.AlreadyThere) as error:
        raise ConfigurationError([ConfigProblem(place="secret", message=str(error))]) from None
    return number


def activate(console: Console, user: Identity, name: str, number: int, *, seen: str | None) -> bool:
    """Make an older secret the active one; False: it is already. Raises NotFound, and what `add` does."""
    project = _changeable(console, name)
    with recorded(console, user) as (database, write_down):
        _unchanged(database, name, seen)
        changed = rows.activate(database, console.vault, project.name, number, user.name)
        if changed:
            write_down("activate", f"secret {number} of project {name}")
    return changed


def reveal(console: Console, user: Identity, name: str, number: int) -> str:
    """Return a secret as 32 hex digits, after it was written down who asks. Raises NotFound."""
    entry = rows.numbered(listed(console, name), name, number)
    audit(console, user, "look at", f"secret {number} of project {name}")
    return secret_to_text(entry.reveal(console.vault))


def _unchanged(database: Database, name: str, seen: str | None) -> None:
    with database.write() as connection:
        rows.lock(connection, database.is_sqlite)
        if seen is not None and seen != state_of(rows.listed(connection, name)):
            raise Conflict(f"somebody has changed the secrets of project {name!r} meanwhile; look at them again")


def _changeable(console: Console, name: str) -> Project:
    project = project_of(console, name)
    if given := given_by(project):
        raise Refused(409, f"the configuration gives the secret of project {name!r}: {given}; change it there")
    return project
