"""Fixtures for every test: databases of both kinds."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from karnak_core.database import Database, open_database
from karnak_core.database.tables import metadata
from karnak_core.spool.files import SpoolFolder
from karnak_core.testing import missing, run_raw_http
from karnak_core.testing.ledger import open_empty

# a machine that has much to do is slow, which is no fault of what it does
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

#: fixtures that start a whole gateway, or a browser
HEAVY = {"browser", "gateway", "make_gateway", "make_running_console", "site", "world"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each file with heavy tests before two others: they seldom meet, and what ends last is short."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    slow = [path for path, held in files.items() if any(item.get_closest_marker("slow") for item in held)]
    whole = [path for path, held in files.items() if any(HEAVY & set(_fixtures(item)) for item in held)]
    heavy = list(dict.fromkeys(slow + whole))
    # the largest first
    light = iter(sorted((path for path in files if path not in set(heavy)), key=lambda path: -len(files[path])))
    order = [path for one in heavy for path in (one, *islice(light, 2))]
    items[:] = [item for path in (*order, *light) for item in files[path]]


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        missing("PostgreSQL")
    bin_folder = programs[-1].parent
    # as root the server has to run as somebody else
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="karnak-pg-", dir="/tmp"))
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            cwd=folder,
        )

    run(str(bin_folder / "initdb"), "-D", str(data), "-A", "trust", "-U", "karnak", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run(str(bin_folder / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://karnak@/postgres?host={folder}"
    finally:
        run(str(bin_folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"t{os.urandom(6).hex()}"
    engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield postgresql.replace("/postgres?", f"/{name}?")
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()


@pytest.fixture(scope="session")
def shared_postgresql_url(postgresql: str) -> str:
    """One database for all tests, emptied before each: to make one takes longer than most tests."""
    engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE shared")
    engine.dispose()
    return postgresql.replace("/postgres?", "/shared?")


@pytest.fixture
def emptied_postgresql_url(shared_postgresql_url: str, tmp_path: Path) -> str:
    """The URL of a migrated database without a row."""
    with closing(open_database(shared_postgresql_url, tmp_path)) as opened, opened.write() as connection:
        names = ", ".join(table.name for table in metadata.sorted_tables)
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
    return shared_postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database of each kind."""
    if request.param == "sqlite":
        opened = open_empty(tmp_path)
    else:
        opened = open_database(request.getfixturevalue("emptied_postgresql_url"), tmp_path)
    with closing(opened):
        yield opened


@pytest.fixture
def spool_folder(tmp_path: Path) -> SpoolFolder:
    """An empty spool."""
    return SpoolFolder(tmp_path / "spool")


@pytest.fixture(params=[b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "])
def dribbling(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Start web services whose body, or whose header, dribbles; returns the URL."""
    with ExitStack() as services:
        yield lambda: f"http://127.0.0.1:{services.enter_context(run_raw_http(request.param, then=b'a'))}"
