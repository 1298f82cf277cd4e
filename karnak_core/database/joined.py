"""A database inside one of its transactions: what functions read and write in transactions of their own becomes one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from karnak_core.database.engine import Database


class Joined(Database):
    """A database whose transactions are all one that is open already; for the thread that has it.

    What raises inside ends the whole, so it has to go on to whoever began it.
    """

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        super().__init__(database.engine, None)
        self._connection = connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give the connection; what was written in the transaction is seen."""
        yield self._connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """Give the connection; what is written is committed with the transaction."""
        yield self._connection
