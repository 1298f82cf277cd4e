"""When what follow-ups authorize themselves with expires, as they were told last: for whoever asks without asking them.

Who has asked a peer, a process of the gateway or ``karnak probe``, keeps it here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from karnak_core.database.tables import follow_up_expiry
from karnak_core.spool.follow_ups import Part
from karnak_core.spool.texts import storable

#: characters of a name, at most
NAME: Final = 80


@dataclass(frozen=True, kw_only=True)
class Expiring:
    """One of the things that a follow-up authorizes itself with."""

    of: Part
    #: what it is, e.g. ``source token``
    name: str
    #: tells the settings that it was asked with from those with other secrets
    secrets: str
    #: ms since 1970
    at: int


def keep(connection: sa.Connection, of: Part, secrets: str, told: Mapping[str, int | None]) -> None:
    """Keep when something expires, ms since 1970; None: it is not told, or does not. What else is known stays."""
    insert: Any = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(follow_up_expiry)
    # in order: another process may keep the same
    for name, at in sorted({storable(name)[:NAME]: at for name, at in told.items()}.items()):
        if at is None:
            connection.execute(sa.delete(follow_up_expiry).where(*_is(of), follow_up_expiry.c.name == name))
            continue
        key = dict(zip(("forward_node", "destination", "part"), of, strict=True))
        row = insert.values(**key, name=name, secrets=secrets, expires_at=at)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=list(follow_up_expiry.primary_key), set_={"secrets": secrets, "expires_at": at}
            )
        )


def read(connection: sa.Connection) -> list[Expiring]:
    """Return everything that is known, also of follow-ups that are no more."""
    rows = connection.execute(sa.select(follow_up_expiry).order_by(*follow_up_expiry.primary_key))
    return [
        Expiring(
            of=(row.forward_node, row.destination, row.part), name=row.name, secrets=row.secrets, at=row.expires_at
        )
        for row in rows
    ]


def forget_all_but(connection: sa.Connection, parts: Collection[Part]) -> int:
    """Forget what is known of other follow-ups than these; return of how many."""
    gone: Sequence[Part] = sorted({one.of for one in read(connection)}.difference(parts))
    for of in gone:
        connection.execute(sa.delete(follow_up_expiry).where(*_is(of)))
    return len(gone)


def _is(of: Part) -> tuple[sa.ColumnElement[bool], ...]:
    columns = (follow_up_expiry.c.forward_node, follow_up_expiry.c.destination, follow_up_expiry.c.part)
    return tuple(column == value for column, value in zip(columns, of, strict=True))
