"""A database that an older version wrote is brought to what this one needs, and keeps every row."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import IntegrityError

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


def made_at(database: Database, revision: str) -> Rows:
    """Make the tables of a revision, filled, in place of those that are there."""
    config = Config()
    config.set_main_option("script_location", "karnak_core.database:migrations")
    with database.write() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        return fill(connection)


@pytest.mark.parametrize("revision", OLDER)
def test_every_row_of_an_older_database_is_still_there(database: Database, tmp_path: Path, revision: str) -> None:
    rows = made_at(database, revision)
    url = None if database.is_sqlite else database.engine.url.render_as_string(hide_password=False)
    with closing(open_database(url, tmp_path)) as opened, opened.read() as connection:
        now = sa.MetaData()
        now.reflect(connection)
        for name, before in rows.items():
            columns = [now.tables[name].c[column] for column in before[0]]
            after = connection.execute(sa.select(*columns).order_by(columns[0])).mappings()
            assert [dict(row) for row in after] == before, name


def add(connection: sa.Connection, table: sa.Table, number: int) -> int:
    """Add a row that the database numbers; return the number."""
    columns = sa.inspect(connection).get_columns(table.name)
    values = {column["name"]: value(column, number) for column in columns if column["name"] != "id"}
    if "user_id" in values:
        values["user_id"] = 1
    found: int = connection.execute(sa.insert(table).values(values).returning(table.c.id)).scalar_one()
    return found


@pytest.mark.parametrize("table", ["pseudonym", "tool_node", "tool_endpoint", "api_token", "console_user"])
def test_number_of_a_deleted_row_is_not_given_out_again(database: Database, tmp_path: Path, table: str) -> None:
    made_at(database, "0007")
    url = None if database.is_sqlite else database.engine.url.render_as_string(hide_password=False)
    with closing(open_database(url, tmp_path)) as opened, opened.write() as connection:
        now = sa.MetaData()
        now.reflect(connection)
        there = now.tables[table]
        if not opened.is_sqlite:
            # the rows that are there had their numbers given
            connection.exec_driver_sql(f"SELECT setval('{table}_id_seq', 2)")
        numbers = []
        for number in (101, 102):
            numbers.append(add(connection, there, number))
            connection.execute(there.delete().where(there.c.id == numbers[-1]))
        connection.execute(there.delete())
        numbers.append(add(connection, there, 103))
        assert numbers == [3, 4, 5]


def test_users_keep_sessions_and_tokens_and_these_still_go_with_their_user(database: Database, tmp_path: Path) -> None:
    before = made_at(database, "0007")
    url = None if database.is_sqlite else database.engine.url.render_as_string(hide_password=False)
    with closing(open_database(url, tmp_path)) as opened, opened.write() as connection:
        now = sa.MetaData()
        now.reflect(connection)
        for name in ("console_session", "api_token"):
            assert [dict(row) for row in connection.execute(sa.select(now.tables[name])).mappings()] == before[name]
        if opened.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        users = now.tables["console_user"]
        connection.execute(users.delete().where(users.c.id == 1))
        for name in ("console_session", "api_token"):
            assert connection.execute(sa.select(now.tables[name].c.user_id)).scalars().all() == [2]
        orphan = {**before["console_session"][0], "id": "x"}
        with pytest.raises(IntegrityError):
            connection.execute(now.tables["console_session"].insert(), [orphan])
        connection.rollback()
