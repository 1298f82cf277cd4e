"""Databases that are changed in ways that nobody else's are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from karnak_core.database import Database, open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database of each kind, which no other test gets."""
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    with closing(open_database(url, tmp_path)) as opened:
        yield opened
