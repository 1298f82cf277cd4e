"""The audit trail: who changed what, and who looked at what is kept from most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from karnak_core.database.access import audit as table
from karnak_core.model import now_ms
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.console import Console

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
    """Write down what somebody does, before the answer shows that it was done.

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


def entries(connection: sa.Connection, *, before: int | None = None, limit: int = 100) -> list[Entry]:
    """Return the newest entries, of those with a smaller number than ``before``."""
    query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.id < before)
    return [Entry(**row) for row in connection.execute(query).mappings()]


def remove_old(console: Console) -> int:
    """Remove the entries of more than three years ago; return how many."""
    with console.database.write() as connection:
        return connection.execute(sa.delete(table).where(table.c.at < console.clock() - KEPT)).rowcount
