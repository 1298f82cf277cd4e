"""The audit trail: who changed what, and who looked at what is kept from most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.access import audit as table
from karnak_core.database.joined import Joined
from karnak_core.model import now_ms
from karnak_plugins.web_console.access.identity import Identity

if TYPE_CHECKING:
    from karnak_plugins.web_console.console import Console

#: writes an entry: the action, what it is done to, and the detail
WriteDown = Callable[..., None]
#: milliseconds that entries are kept
KEPT = int(timedelta(days=3 * 366) / timedelta(milliseconds=1))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that somebody did."""

    id: int
    at: int
    who: str
    address: str
    action: str
    object: str
    detail: str


def audit(console: Console, who: Identity | str, action: str, object: str, detail: str = "") -> None:
    """Write down what somebody looks at or asks, before the answer shows it; a change is :func:`recorded`.

    Parameters
    ----------
    who
        The identity of the request; a text where nobody is signed in, such as for a sign-in that failed.
    action
        A verb: ``"change"``, ``"add"``, ``"delete"``, ``"retry"``, ``"look at"``, …
    object
        What it is done to, by its name or number; never a value of a data set, nor a secret.
    detail
        More, in words; the same holds.
    """
    with console.database.write() as connection:
        note(connection, who, action, object, detail)


@contextmanager
def recorded(console: Console, who: Identity | str) -> Iterator[tuple[Database, WriteDown]]:
    """Give the database, inside a transaction, and what writes down the change that is made of it.

    There is no change without its entry, and no entry without the change.
    """
    with console.database.write() as connection:
        yield Joined(console.database, connection), partial(note, connection, who)


def note(connection: sa.Connection, who: Identity | str, action: str, object: str, detail: str = "") -> None:
    """Write it down in the transaction that does it; as :func:`audit`."""
    connection.execute(
        sa.insert(table).values(
            at=now_ms(),
            who=(who if isinstance(who, str) else who.name)[:128],
            address=("" if isinstance(who, str) else who.address)[:64],
            action=action[:64],
            object=object[:255],
            detail=detail[:4000],
        )
    )


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which entries are looked for; an empty text: any."""

    #: a part of who
    who: str = ""
    #: the whole action
    action: str = ""
    #: a part of what it was done to, of the detail, or of the address
    text: str = ""
    #: milliseconds since 1970-01-01 UTC: from then on, and before then; None: no limit
    since: int | None = None
    until: int | None = None


def entries(
    connection: sa.Connection, *, before: int | None = None, limit: int = 100, wanted: Wanted | None = None
) -> list[Entry]:
    """Return the newest entries, of those with a smaller number than ``before``."""
    columns, wanted = table.c, wanted or Wanted()
    query = sa.select(table).order_by(columns.id.desc()).limit(limit)
    if before is not None:
        query = query.where(columns.id < before)
    if wanted.who:
        query = query.where(columns.who.icontains(wanted.who, autoescape=True))
    if wanted.action:
        query = query.where(columns.action == wanted.action)
    if wanted.text:
        places = (columns.object, columns.detail, columns.address)
        query = query.where(sa.or_(*(place.icontains(wanted.text, autoescape=True) for place in places)))
    if wanted.since is not None:
        query = query.where(columns.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(columns.at < wanted.until)
    return [Entry(**row) for row in connection.execute(query).mappings()]


def actions(connection: sa.Connection) -> list[str]:
    """Return every action that somebody did."""
    return list(connection.execute(sa.select(table.c.action).distinct().order_by(table.c.action)).scalars())


def remove_old(console: Console) -> int:
    """Remove the entries of more than three years ago; return how many."""
    with console.database.write() as connection:
        return connection.execute(sa.delete(table).where(table.c.at < console.clock() - KEPT)).rowcount
