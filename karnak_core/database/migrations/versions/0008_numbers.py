"""Numbers that people name rows by are given out once: one who deletes number 5 has seen that number 5.

Revision ID: 0008
Revises: 0007
"""

import re

from alembic import op

revision = "0008"
down_revision = "0007"

#: together those that refer to each other, the one that is referred to last
FAMILIES = (("pseudonym",), ("tool_node",), ("tool_endpoint",), ("console_session", "api_token", "console_user"))
#: their numbers are texts, and given out at random
RANDOM = ("console_session",)


def upgrade() -> None:
    """Make the tables anew where a number can come back: SQLite's, which takes the largest there is plus one."""
    if op.get_bind().dialect.name == "sqlite":
        for family in FAMILIES:
            _make_anew(family)


def _make_anew(family: tuple[str, ...]) -> None:
    connection = op.get_bind()
    made = {}
    counts = {}
    for table in family:
        # dropping what is referred to would delete what refers to it: all of it is set aside before
        query = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type = 'index', name"
        made[table] = list(connection.exec_driver_sql(query, (table,)).scalars())
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE aside_{table} AS SELECT * FROM {table}")
        counts[table] = _count(f"aside_{table}")
    for table in family:
        connection.exec_driver_sql(f"DROP TABLE {table}")
    for table in reversed(family):
        first, *indexes = made[table]
        connection.exec_driver_sql(first if table in RANDOM else _numbered(table, first))
        columns = ", ".join(row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})").all())
        connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM aside_{table}")
        for statement in indexes:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"DROP TABLE aside_{table}")
    for table, count in counts.items():
        if _count(table) != count:
            raise RuntimeError(f"{table}: {_count(table)} of {count} rows would be left")


def _count(table: str) -> int:
    count: int = op.get_bind().exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
    return count


def _numbered(table: str, statement: str) -> str:
    """Return the statement that makes the table, with numbers that are used once."""
    key = f"CONSTRAINT pk_{table} PRIMARY KEY"
    without, keys = re.subn(rf",\s*{key} \(id\)", "", statement)
    numbered, columns = re.subn(r"\bid INTEGER NOT NULL", f"id INTEGER NOT NULL {key} AUTOINCREMENT", without)
    if keys != 1 or columns != 1:
        raise RuntimeError(f"{table}: was not made by an older revision: {statement}")
    return numbered
