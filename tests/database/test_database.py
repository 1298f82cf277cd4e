"""The database opens, migrates, reads and writes as it says, on both kinds."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from karnak_core.database import Database, engine, open_database
from karnak_core.database.access import metadata
from karnak_core.database.tables import tally
from karnak_core.errors import KarnakError

ROW = {"forward_node": "NODE", "destination": "", "name": "received", "count": 1}

OPENER = """
import sys
from pathlib import Path
import sqlalchemy as sa
from karnak_core.database import open_database
from karnak_core.database.tables import tally
print("ready", flush=True)
for line in sys.stdin:
    url, directory = line.rstrip("\\n").split("\\t")
    try:
        database = open_database(url or None, Path(directory))
        with database.write() as connection:
            connection.execute(sa.select(sa.func.count()).select_from(tally)).scalar_one()
        database.close()
    except Exception as error:
        print(f"{type(error).__name__}: {error}".replace("\\n", " "), flush=True)
    else:
        print("opened", flush=True)
"""


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(tally)).scalar_one()


def test_migration_makes_what_the_tables_say(database: Database) -> None:
    with database.read() as connection:
        # SQLite gives an empty default back in another spelling
        opts = {"compare_type": True, "compare_server_default": not database.is_sqlite}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []


def test_every_index_and_its_condition_is_there(database: Database) -> None:
    with database.read() as connection:
        inspector = sa.inspect(connection)
        for table in metadata.sorted_tables:
            there = {index["name"]: index for index in inspector.get_indexes(table.name)}
            for index in table.indexes:
                assert index.name in there
                found = there[index.name]
                assert found["column_names"] == [column.name for column in index.columns]
                partial = index.dialect_options[connection.dialect.name]["where"] is not None
                options = found.get("dialect_options", {})
                assert bool(options.get(f"{connection.dialect.name}_where") is not None) == partial


def test_head_is_the_newest_revision() -> None:
    folder = Path(engine.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [engine.HEAD]


def test_opening_again_keeps_what_is_there(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(tally).values(ROW))
    url = None if database.is_sqlite else database.engine.url.render_as_string(hide_password=False)
    with closing(open_database(url, tmp_path)) as again:
        assert count(again) == 1


def test_processes_that_open_a_new_database_at_once_all_succeed(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path
) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    pipes = [(process.stdin, process.stdout) for process in processes]
    answers = []
    for _, stdout in pipes:
        assert stdout
        assert stdout.readline() == "ready\n"
    for attempt in range(6 if database.is_sqlite else 2):
        if database.is_sqlite:
            url = ""
            folder = tmp_path / str(attempt)
            folder.mkdir()
        else:
            url, folder = request.getfixturevalue("postgresql_url"), tmp_path
            with database.engine.begin() as connection:
                metadata.drop_all(connection)
                connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        for stdin, _ in pipes:
            assert stdin
            stdin.write(f"{url}\t{folder}\n")
            stdin.flush()
        answers += [stdout.readline().strip() for _, stdout in pipes if stdout]
    for process in processes:
        process.communicate()
    assert set(answers) == {"opened"}


def test_a_database_of_a_newer_version_is_refused_with_words(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    url = None if database.is_sqlite else database.engine.url.render_as_string(hide_password=False)
    with pytest.raises(KarnakError, match=r"9999.*newer"):
        open_database(url, tmp_path)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9999"


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    for durable in (True, False):

        def write(durable: bool = durable) -> None:
            with database.write(durable=durable) as connection:
                connection.execute(sa.insert(tally).values(ROW))
                raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            write()
        assert count(database) == 0
    with database.write() as connection:
        connection.execute(sa.insert(tally).values(ROW))
    assert count(database) == 1


def test_a_failing_statement_leaves_the_next_write_alone(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(sa.exc.SQLAlchemyError), database.write() as connection:
            connection.exec_driver_sql("SELECT no_such_column FROM tally")
        with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
            connection.execute(sa.insert(tally), [ROW, ROW])
    with database.write() as connection:
        connection.execute(sa.insert(tally).values(ROW))
    assert count(database) == 1


def synchronous(database: Database, *, durable: bool) -> Any:
    with database.write(durable=durable) as connection:
        if database.is_sqlite:
            return connection.exec_driver_sql("PRAGMA synchronous").scalar()
        return connection.exec_driver_sql("SHOW synchronous_commit").scalar()


def test_a_durable_write_is_durable_after_one_that_was_not(database: Database) -> None:
    lasting, passing = (2, 1) if database.is_sqlite else ("on", "off")
    for durable in (True, False, False, True, False, True):
        assert synchronous(database, durable=durable) == (lasting if durable else passing)


def test_a_write_that_is_not_durable_is_visible_and_kept(database: Database, tmp_path: Path) -> None:
    with database.write(durable=False) as connection:
        connection.execute(sa.insert(tally).values(ROW))
    assert count(database) == 1


def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(tally)
        assert connection.execute(query).scalar_one() == 0

        def write() -> None:
            with database.write() as other:
                other.execute(sa.insert(tally).values(ROW))

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "a reader stops writers"
        assert connection.execute(query).scalar_one() == 0
    assert count(database) == 1


def test_threads_that_write_at_once_lose_no_update(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(tally).values({**ROW, "count": 0}))
    errors: list[Exception] = []

    def work(durable: bool) -> None:
        try:
            for _ in range(40):
                with database.write(durable=durable) as connection:
                    connection.execute(sa.update(tally).values(count=tally.c["count"] + 1))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    with database.read() as connection:
        assert connection.execute(sa.select(tally.c["count"])).scalar_one() == 240


def test_a_closed_database_opens_again_when_it_is_used(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(tally).values(ROW))
    database.close()
    assert count(database) == 1
    with database.write() as connection:
        connection.execute(sa.delete(tally))
    assert count(database) == 0


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO delivery (instance_id, forward_node, destination, state, created_at)"
            " VALUES (77, 'NODE', 'a', 'pending', 1)"
        )


def test_opening_configures_no_logging(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    open_database(None, tmp_path).close()
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == before


def test_a_sqlite_url_opens_that_file(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path}/other.db", tmp_path)) as opened:
        assert opened.is_sqlite
        assert count(opened) == 0
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "karnak.db").exists()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_postgresql_url_needs_no_driver_name(postgresql_url: str, tmp_path: Path, scheme: str) -> None:
    with closing(open_database(postgresql_url.replace("postgresql+psycopg", scheme), tmp_path)) as opened:
        assert not opened.is_sqlite
        assert count(opened) == 0


def test_the_embedded_database_is_readable_by_its_owner_only_whatever_its_folder_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    opened = open_database(None, tmp_path)
    with opened.read():
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("karnak.db*")}
    opened.close()
    assert modes.keys() >= {"karnak.db", "karnak.db-wal", "karnak.db-shm"}
    assert set(modes.values()) == {0o600}
