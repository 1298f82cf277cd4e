"""Engines for SQLite and PostgreSQL, and the two ways to use them: read, and write.

SQLite has one writer at a time, and a second one polls for its turn with growing sleeps. Writers of a data directory
therefore queue at a file lock first, where the kernel hands over at once; SQLite itself then never finds them waiting.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event

from karnak_core.errors import KarnakError

SQLITE_BUSY_SECONDS = 60.0
#: bytes; a longer write-ahead log is cut when it begins anew
LARGEST_LOG = 16 << 20
#: bytes given back in one transaction, so that nobody waits long
GIVE_BACK_BYTES = 8 << 20


class Database:
    """One database, used by any number of threads."""

    def __init__(self, engine: sa.Engine, lock_path: Path | None) -> None:
        self.engine = engine
        self._thread_lock = threading.Lock()
        self._lock_path = lock_path
        self._lock_fd: int | None = None
        self._lock_pid = 0
        # SQLite has one writer at a time, whose connection is kept: opening one costs more than a small transaction
        self._writer: sa.Connection | None = None
        self._synchronous = ""

    @property
    def is_sqlite(self) -> bool:
        """Say whether this is the embedded default."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection for reading one consistent state."""
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                # else every statement would see a state of its own
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """Give a connection in a transaction, committed at the end or rolled back by an exception.

        Parameters
        ----------
        durable
            False: the commit may be lost with the power (never its consistency), which costs no fsync: right for
            leases, which a crash gives back anyway.
        """
        if self.is_sqlite:
            with self._turn():
                connection = self._writing_connection("FULL" if durable else "NORMAL")
                with connection.begin():
                    yield connection
            return
        with self.engine.connect() as connection, connection.begin():
            if not durable:
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            yield connection

    def _writing_connection(self, synchronous: str) -> sa.Connection:
        if self._writer is None:
            self._writer = self.engine.connect().execution_options(karnak_writes=True)
            self._synchronous = ""
        if synchronous != self._synchronous:
            # takes effect outside a transaction only; the driver has not begun one yet
            raw: Any = self._writer.connection.dbapi_connection
            raw.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous
        return self._writer

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._lock_path is None:
            yield
            return
        with self._thread_lock:
            fd = self._lock_descriptor(self._lock_path)
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def _lock_descriptor(self, path: Path) -> int:
        if self._lock_fd is None or self._lock_pid != os.getpid():
            self._lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._lock_pid = os.getpid()
        return self._lock_fd

    def unused_bytes(self) -> int:
        """Return how much of the embedded database's file holds nothing; 0 for a server's."""
        if not self.is_sqlite:
            return 0
        with self.read() as connection:
            pages: int = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            return pages * self._page_bytes(connection)

    def give_back(self, most: int) -> int:
        """Make the embedded database's file smaller by up to ``most`` bytes that hold nothing; return by how much."""
        unused = before = self.unused_bytes()
        while unused > 0 and before - unused < most:
            with self._turn():
                connection = self._writing_connection("NORMAL")
                pages = min(unused, most - before + unused, GIVE_BACK_BYTES) // self._page_bytes(connection)
                connection.rollback()
                driver: Any = connection.connection.dbapi_connection
                # not execute(): every page is a step, with a row without columns
                driver.executescript(f"PRAGMA incremental_vacuum({max(1, pages)})")
            left = self.unused_bytes()
            if left >= unused:
                break  # the file was made without the means to
            unused = left
        if unused < before:
            with self.engine.connect() as connection:
                # the file is cut once the log has reached it
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
        return max(0, before - unused)

    @staticmethod
    def _page_bytes(connection: sa.Connection) -> int:
        size: int = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        return size

    def close(self) -> None:
        """Close every connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def is_full(error: BaseException) -> bool:
    """Say whether the embedded database could not write for want of space; nothing of the transaction is kept."""
    driver_error = getattr(error, "orig", None)
    return getattr(driver_error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def open_database(url: str | None, data_directory: Path) -> Database:
    """Open the database at ``url``, or the embedded one in the data directory, and bring it up to date.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        The database cannot be reached.
    KarnakError
        It is newer than this program.
    """
    if url is None or url.startswith("sqlite"):
        path = data_directory / "karnak.db" if url is None else Path(sa.make_url(url).database or "")
        database = Database(_sqlite_engine(path), path.with_suffix(".lock"))
    else:
        address = sa.make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        database = Database(sa.create_engine(address, pool_size=10, max_overflow=20, pool_pre_ping=True), None)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def _for_owner_only(path: Path) -> None:
    """Make the file, which its companions take their mode from, readable by its owner only: it holds patients' data."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _sqlite_engine(path: Path) -> sa.Engine:
    _for_owner_only(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": SQLITE_BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        pool_size=5,
        max_overflow=50,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # before there are tables: free pages can be given back to the file system, step by step
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA journal_size_limit={LARGEST_LOG}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-32000")
        connection.execute("PRAGMA temp_store=MEMORY")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # a transaction that will write says so at once: one that read first could not be upgraded
        writes = connection.get_execution_options().get("karnak_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def migrate(database: Database) -> None:
    """Create the tables, or change them to what this version needs."""
    config = Config()
    config.set_main_option("script_location", "karnak_core.database:migrations")
    if database.is_sqlite:
        # in turn: who finds another one turning the new file's journal into a log is not made to wait, but fails
        with database._turn(), database.engine.connect() as connection:
            if _refuse_newer(_revision(connection)) == HEAD:
                return
    with database.write() as connection:
        if not database.is_sqlite:
            # two nodes that start at once
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4815162342)")
        if _refuse_newer(_revision(connection)) != HEAD:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


#: the newest revision in ``migrations/versions``; a test compares them
HEAD = "0010"


def _refuse_newer(revision: str | None) -> str | None:
    if revision is not None and revision > HEAD:
        raise KarnakError(
            f"database: its revision {revision!r} is newer than {HEAD!r}, the newest that this program knows;"
            " use the version of Karnak that wrote it, or a newer one"
        )
    return revision


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision
