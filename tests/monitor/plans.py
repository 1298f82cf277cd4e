"""How the ledger finds what it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from karnak_core.database import Database


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """Collect what is sent to a database of SQLite; on leaving, the plan of each statement, in order."""
    seen: list[tuple[str, Any]] = []
    found: list[str] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            seen.append((statement, parameters[0] if many else parameters))

    event.listen(database.engine, "before_cursor_execute", keep)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", keep)
    with database.read() as connection:
        for statement, parameters in seen:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            found.append("\n".join(row[-1] for row in rows))
