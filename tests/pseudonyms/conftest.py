"""Databases of both kinds for the tests of pseudonyms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1] / "lookups"))

from web_service import Service, serving

from karnak_core.database import Database, open_database
from karnak_core.database.tables import metadata


@pytest.fixture(scope="session")
def shared_postgresql_url(postgresql: str) -> str:
    """One database for all of these tests, emptied before each: to make one takes longer than most tests."""
    engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE pseudonyms")
    engine.dispose()
    return postgresql.replace("/postgres?", "/pseudonyms?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database of each kind."""
    url = request.getfixturevalue("shared_postgresql_url") if request.param == "postgresql" else None
    with closing(open_database(url, tmp_path)) as opened:
        if url is not None:
            with opened.write() as connection:
                connection.exec_driver_sql("DROP TABLE IF EXISTS pseudonym")
                metadata.tables["pseudonym"].create(connection)
        yield opened


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that knows one pseudonym."""
    with serving() as made:
        yield made
