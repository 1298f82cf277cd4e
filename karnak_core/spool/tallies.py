"""Running totals of what was received and of how deliveries ended."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from karnak_core.database.tables import tally

RECEIVED = "received"
REFUSED = "refused"


def add(connection: sa.Connection, counts: Counter[tuple[str, str, str]]) -> None:
    """Add to totals; keys are (forward node, destination or empty, name), values may be negative."""
    rows = [
        {"forward_node": node, "destination": destination, "name": name, "count": count}
        # always in the same order, so that two transactions cannot wait for one another
        for (node, destination, name), count in sorted(counts.items())
        if count
    ]
    if rows:
        connection.execute(_upserts[connection.dialect.name], rows)


def read(connection: sa.Connection) -> dict[tuple[str, str, str], int]:
    """Return every total."""
    rows = connection.execute(sa.select(tally.c.forward_node, tally.c.destination, tally.c.name, tally.c.count))
    return {(node, destination, name): count for node, destination, name, count in rows}


def _upsert(insert: Any) -> Any:
    statement = insert(tally)
    return statement.on_conflict_do_update(
        index_elements=["forward_node", "destination", "name"],
        set_={"count": tally.c.count + statement.excluded.count},
    )


_upserts = {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}
