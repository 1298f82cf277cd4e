"""An embedded database that is there at once."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

from karnak_core.database import Database, open_database


def open_empty(data: Path) -> Database:
    """Open the embedded database of a data directory that has none: a copy of one that was migrated once.

    The migrations take more time than most of what is done with the database in a test.
    """
    path = data / "karnak.db"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_migrated())
    return open_database(None, data)


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        # closed, it is one file: what was written ahead is in it
        open_database(None, Path(folder)).close()
        return (Path(folder) / "karnak.db").read_bytes()
