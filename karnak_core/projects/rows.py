"""The secrets of projects in the database: of each project one is active, older ones can be made active again.

Nothing here says what a secret is but `StoredSecret.reveal`; a project's secrets are numbered from 1, the oldest first.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.secrets import SecretKeyError, Vault
from karnak_core.database.tables import project_secret
from karnak_core.deidentify import secret_from_text, secret_to_text
from karnak_core.errors import KarnakError, NotFound
from karnak_core.model import now_ms

MAX_AUTHOR = 128
#: bytes of a secret
LENGTH = 16


class AlreadyThere(KarnakError):
    """The project has this secret among its own; ``number`` says which one it is."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"the project has this secret already: it is number {number}")


@dataclass(frozen=True, kw_only=True)
class StoredSecret:
    """One secret of a project."""

    #: of its row
    id: int
    #: from 1, the oldest first
    number: int
    #: ms since 1970
    created_at: int
    created_by: str
    #: when it became the active one; None: it is not active
    active_since: int | None
    #: who made it the active one the last time
    active_by: str | None
    #: when another one took its place the last time; None: it is active
    active_until: int | None
    #: encrypted
    token: str

    def reveal(self, vault: Vault) -> bytes:
        """Return its 16 bytes; raises `SecretKeyError` when the key does not open it."""
        return secret_from_text(vault.decrypt(self.token))


def listed(connection: sa.Connection, project: str) -> list[StoredSecret]:
    """Return every secret of a project, the oldest first."""
    table = project_secret.c
    rows = connection.execute(sa.select(project_secret).where(table.project == project).order_by(table.id)).all()
    return [
        StoredSecret(
            id=row.id,
            number=number,
            created_at=row.created_at,
            created_by=row.created_by,
            active_since=row.active_since,
            active_by=row.active_by,
            active_until=row.active_until,
            token=row.secret,
        )
        for number, row in enumerate(rows, start=1)
    ]


def active_token(connection: sa.Connection, project: str) -> str | None:
    """Return the active secret, encrypted; None: the project has none."""
    table = project_secret.c
    query = sa.select(table.secret).where(table.project == project, table.active_since.is_not(None))
    token: str | None = connection.execute(query).scalar()
    return token


def generate_missing(
    connection: sa.Connection, is_sqlite: bool, vault: Vault, projects: Collection[str], author: str
) -> list[str]:
    """Give a secret to each of these projects that has none; return which ones. Call it in a writing transaction."""
    if not _without(connection, projects):
        return []
    lock(connection, is_sqlite)
    # another process may have been faster
    missing = _without(connection, projects)
    for name in missing:
        _insert(connection, vault, name, secrets.token_bytes(LENGTH), author)
    return missing


def _without(connection: sa.Connection, projects: Collection[str]) -> list[str]:
    table = project_secret.c
    query = sa.select(table.project).where(table.project.in_(projects), table.active_since.is_not(None))
    there = set(connection.execute(query).scalars()) if projects else set()
    return [name for name in projects if name not in there]


def add(db: Database, vault: Vault, project: str, secret: bytes | None, author: str) -> int:
    """Make a secret the active one, a new random one where none is given; return its number.

    Raises
    ------
    AlreadyThere
        It is one of the project's.
    SecretKeyError
        The key does not open the active one: it is not that of the gateway, which could not use what it encrypts.
    """
    with db.write() as connection:
        lock(connection, db.is_sqlite)
        there = listed(connection, project)
        for entry in there:
            if entry.active_since is not None:
                entry.reveal(vault)
        if secret is not None and (number := number_of(there, vault, secret)):
            raise AlreadyThere(number)
        _retire(connection, project)
        _insert(connection, vault, project, secret or secrets.token_bytes(LENGTH), author)
    return len(there) + 1


def number_of(there: Sequence[StoredSecret], vault: Vault, secret: bytes) -> int | None:
    """Return which of a project's secrets this one is; None: none of those that the key opens."""
    for entry in there:
        with suppress(SecretKeyError):
            if entry.reveal(vault) == secret:
                return entry.number
    return None


def activate(db: Database, vault: Vault, project: str, number: int, author: str) -> bool:
    """Make one of a project's secrets the active one; False: it is already.

    Raises
    ------
    NotFound
        There is none of this number.
    SecretKeyError
        The key does not open it: a gateway could not use it.
    """
    with db.write() as connection:
        lock(connection, db.is_sqlite)
        entry = numbered(listed(connection, project), project, number)
        if entry.active_since is not None:
            return False
        entry.reveal(vault)
        _retire(connection, project)
        connection.execute(
            sa.update(project_secret)
            .where(project_secret.c.id == entry.id)
            .values(active_since=now_ms(), active_by=author[:MAX_AUTHOR], active_until=None)
        )
    return True


def numbered(there: Sequence[StoredSecret], project: str, number: int) -> StoredSecret:
    """Return the secret of a number; raises NotFound."""
    if not 1 <= number <= len(there):
        known = f"1 to {len(there)}" if there else "none"
        raise NotFound(f"project {project!r} has no secret {number}; known: {known}")
    return there[number - 1]


def lock(connection: sa.Connection, is_sqlite: bool) -> None:
    """Let no other process change secrets until the transaction ends; readers go on."""
    if not is_sqlite:
        connection.exec_driver_sql("LOCK TABLE project_secret IN SHARE ROW EXCLUSIVE MODE")


def _retire(connection: sa.Connection, project: str) -> None:
    table = project_secret.c
    connection.execute(
        sa.update(project_secret)
        .where(table.project == project, table.active_since.is_not(None))
        .values(active_since=None, active_until=now_ms())
    )


def _insert(connection: sa.Connection, vault: Vault, project: str, secret: bytes, author: str) -> None:
    now = now_ms()
    connection.execute(
        sa.insert(project_secret).values(
            project=project,
            secret=vault.encrypt(secret_to_text(secret)),
            created_at=now,
            created_by=author[:MAX_AUTHOR],
            active_since=now,
            active_by=author[:MAX_AUTHOR],
        )
    )
