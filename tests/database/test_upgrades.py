"""A database that an older version wrote is brought to what this one needs, and keeps every row."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from karnak_core.database import Database, engine, open_database
from karnak_core.database.access import metadata

OLDER = [f"{number:04}" for number in range(1, int(engine.HEAD))]
Rows = dict[str, list[dict[str, Any]]]


def value(column: Any, number: int) -> Any:
    kind = column["type"]
    if isinstance(kind, sa.Boolean):
        return bool(number % 2)
    if isinstance(kind, sa.Integer):
        # rows refer to those of other tables by it
        return number
    if isinstance(kind, sa.LargeBinary):
        return b"bytes"
    if isinstance(kind, sa.JSON):
        return {"PatientID": f"p{number}"}
    return f"t{number}"


def fill(connection: sa.Connection) -> Rows:
    """Put two rows into every table that is there, a value in every column."""
    there = sa.MetaData()
    there.reflect(connection)
    inspector = sa.inspect(connection)
    rows: Rows = {}
    for table in there.sorted_tables:
        if table.name != "alembic_version":
            columns = inspector.get_columns(table.name)
            rows[table.name] = [{column["name"]: value(column, number) for column in columns} for number in (1, 2)]
            connection.execute(table.insert(), rows[table.name])
    return rows


@pytest.mark.parametrize("revision", OLDER)
def test_every_row_of_an_older_database_is_still_there(database: Database, tmp_path: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "karnak_core.database:migrations")
    with database.write() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        rows = fill(connection)
    url = None if database.is_sqlite else database.engine.url.render_as_string(hide_password=False)
    with closing(open_database(url, tmp_path)) as opened, opened.read() as connection:
        now = sa.MetaData()
        now.reflect(connection)
        for name, before in rows.items():
            columns = [now.tables[name].c[column] for column in before[0]]
            after = connection.execute(sa.select(*columns).order_by(columns[0])).mappings()
            assert [dict(row) for row in after] == before, name
