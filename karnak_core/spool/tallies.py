"""Running totals of what was received and of how deliveries ended."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from karnak_core.database.tables import tally

RECEIVED = "received"
REFUSED = "refused"


def add(connection: sa.Connection, counts: Counter[tuple[str, str, str]]) -> None:
    """Add to totals; keys are (forward node, destination or empty, name), values may be negative."""
    added = rows(counts)
    if added:
        connection.execute(upsert(connection.dialect.name), added)


def rows(counts: Counter[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Return what :func:`upsert` takes, always in the same order: two transactions never wait for one another."""
    return [
        {"forward_node": node, "destination": destination, "name": name, "count": count}
        for (node, destination, name), count in sorted(counts.items())
        if count
    ]


@cache
def upsert(dialect_name: str) -> Any:
    """Return the statement that adds to a total, or begins it."""
    statement: Any = (sqlite if dialect_name == "sqlite" else postgresql).insert(tally)
    return statement.on_conflict_do_update(
        index_elements=["forward_node", "destination", "name"],
        set_={"count": tally.c.count + statement.excluded.count},
    )


def read(connection: sa.Connection) -> dict[tuple[str, str, str], int]:
    """Return every total."""
    found = connection.execute(sa.select(tally.c.forward_node, tally.c.destination, tally.c.name, tally.c.count))
    return {(node, destination, name): count for node, destination, name, count in found}
