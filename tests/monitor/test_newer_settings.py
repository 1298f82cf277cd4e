"""An instance that newer settings bring in takes the place of the one that waits, whatever is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from scripted_follow_ups import NODE, Setting, ended

from karnak_core.database import open_database
from karnak_core.database.tables import follow_up
from karnak_core.errors import Permanent
from karnak_core.monitor.housekeeping import Housekeeping
from karnak_core.spool import follow_up_decisions, follow_ups, retention
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.follow_ups import FollowUpRow

ONE = (NODE, "cloud", "one")


@pytest.fixture
def on_postgresql(postgresql_url: str, spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[Setting]:
    """For what only happens where several transactions write at the same time."""
    with (
        closing(open_database(postgresql_url, tmp_path)) as opened,
        ended(Setting(opened, spool_folder, tmp_path)) as made,
    ):
        yield made


def patients(setting: Setting) -> list[str]:
    return [call[2] for call in setting.one.calls]


def claim(setting: Setting) -> FollowUpRow:
    with setting.database.write() as connection:
        [row] = follow_ups.claim(connection, setting.folder, ONE, "other")
    if row.held is not None:
        row.held.close()
    return row


@pytest.mark.parametrize("file", [False, True])
def test_series_that_waits_is_done_for_the_instance_that_newer_settings_brought_in(
    anywhere: Setting, file: bool
) -> None:
    anywhere.one.not_for = {"P00001"}
    anywhere.send("1", "one", "two", file=file, version=1)
    anywhere.send("1", "one", file=file, version=2)
    anywhere.send("1", "one", file=file, version=2)
    assert [row.version for row in anywhere.rows()] == [2, 1]
    assert anywhere.kept() == 2  # the first one is waited for by the other follow-up
    anywhere.start()
    anywhere.wait(lambda: anywhere.states() == {"done": 2})
    assert patients(anywhere) == ["P00002"]
    anywhere.wait(lambda: anywhere.kept() == 0)


def test_first_instance_is_not_kept_for_what_another_one_waits_for(anywhere: Setting) -> None:
    anywhere.send("1", "one", file=True, version=1)
    assert retention.forget_finished(anywhere.database, days=0, at_most=0) == 1
    anywhere.send("1", "one", file=True, version=2)
    assert anywhere.kept() == 1
    with anywhere.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM instance").scalar() == 1


def test_instance_of_older_settings_takes_no_place(setting: Setting) -> None:
    setting.send("1", "one", version=2)
    setting.send("1", "one", version=1)
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 1})
    assert patients(setting) == ["P00001"]
    setting.send("1", "one", version=3)
    assert setting.states() == {"done": 1}
    assert setting.kept() == 0


@pytest.mark.parametrize("ends", ["not to be done", "fails", "is done"])
def test_instance_that_comes_while_the_series_is_under_way_is_not_lost(anywhere: Setting, ends: str) -> None:
    hanging = threading.Event()
    anywhere.one.script = [hanging]
    if ends == "not to be done":
        anywhere.one.not_for = {"P00001"}
    anywhere.send("1", "one", file=True, version=1)
    anywhere.start()
    anywhere.wait(lambda: anywhere.one.at_once == 1)
    if ends == "fails":
        anywhere.one.script.append(Permanent("cannot be decided"))
        anywhere.send("2", "one", version=1)
        anywhere.bell.ring()
        anywhere.wait(lambda: anywhere.states() == {"leased": 1, "failed": 1})
        anywhere.send("2", "one", version=2)
        # it is kept until a person decides, and is tried with the newer one then
        assert anywhere.states() == {"leased": 1, "failed": 1}
        with anywhere.database.write() as connection:
            follow_up_decisions.retry(connection, follow_up_decisions.Filter(states=("failed",)), "somebody")
        anywhere.bell.ring()
        anywhere.wait(lambda: patients(anywhere) == ["P00001", "P00002", "P00003"])
        hanging.set()
    else:
        anywhere.send("1", "one", file=True, version=2)
        hanging.set()
    anywhere.wait(lambda: set(anywhere.states()) == {"done"} and anywhere.kept() == 0)
    if ends != "fails":
        assert patients(anywhere) == ["P00001", *(["P00002"] if ends == "not to be done" else [])]


def test_failure_of_an_instance_whose_place_was_taken_is_none(setting: Setting) -> None:
    setting.send("1", "one", version=1)
    row = claim(setting)
    setting.send("1", "one", version=2)
    with setting.database.write() as connection:
        assert not follow_ups.failed(connection, row, "other", "the condition cannot be decided")
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 1})
    assert patients(setting) == ["P00002"]


@pytest.mark.parametrize("first", ["forget", "send"])
def test_series_that_is_forgotten_while_an_instance_brings_it_in_waits_for_that(
    on_postgresql: Setting, first: str, waits_for_a_lock: Callable[[Setting], None]
) -> None:
    setting = on_postgresql
    setting.send("1", "one", file=True, version=1)
    row = claim(setting)

    def forget() -> None:
        with setting.database.write() as connection:
            removable = follow_ups.forget(connection, row, "other")
            if first == "forget":
                forgotten.set()
                assert go_on.wait(60)
        setting.folder.remove(removable)

    forgotten, go_on = threading.Event(), threading.Event()
    sending = threading.Thread(target=lambda: setting.send("1", "one", file=True, version=2))
    forgetting = threading.Thread(target=forget)
    if first == "forget":
        forgetting.start()
        assert forgotten.wait(60)
        sending.start()
        waits_for_a_lock(setting)
        go_on.set()
    else:
        # who decides about the row last holds it until both are there
        with setting.database.write() as connection:
            connection.execute(sa.select(follow_up.c.id).with_for_update()).all()
            sending.start()
            waits_for_a_lock(setting)
            forgetting.start()
    for thread in (sending, forgetting):
        thread.join(60)
        assert not thread.is_alive()
    assert [(one.state, one.version) for one in setting.rows()] == [("pending", 2)]
    Housekeeping(setting.database, setting.folder, setting.following).keep()
    assert setting.kept() == 1
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 1})
    assert patients(setting) == ["P00002"]


@pytest.fixture
def waits_for_a_lock() -> Callable[[Setting], None]:
    """Wait until a session waits for a row that another transaction has."""

    def wait(setting: Setting) -> None:
        def waits() -> bool:
            with setting.database.read() as connection:
                return bool(
                    connection.exec_driver_sql(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    ).scalar_one()
                )

        setting.wait(waits)

    return wait


def test_bytes_that_could_not_be_removed_at_once_go_when_house_is_kept(on_postgresql: Setting) -> None:
    setting = on_postgresql
    setting.send("1", "one", file=True, version=1)
    setting.send("2", "one", file=True, version=1)
    with setting.database.write() as connection:
        # somebody is at the first instance
        connection.exec_driver_sql("SELECT id FROM instance WHERE sop_instance_uid = '1.2.1' FOR UPDATE").all()
        setting.send("1", "one", file=True, version=2)
    assert setting.kept() == 3
    Housekeeping(setting.database, setting.folder, setting.following).keep()
    assert setting.kept() == 2
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 2} and setting.kept() == 0)


def test_person_gives_up_what_another_instance_has_brought_in(anywhere: Setting) -> None:
    anywhere.send("1", "one", file=True, version=1)
    anywhere.send("1", "one", file=True, version=2)
    with anywhere.database.write() as connection:
        count, removable = follow_up_decisions.discard(connection, follow_up_decisions.Filter(), "somebody")
    anywhere.folder.remove(removable)
    assert (count, anywhere.kept()) == (1, 0)
