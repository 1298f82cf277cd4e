"""A clock that is put back keeps nothing waiting until it has caught up, and makes no flood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from karnak_core.database.tables import follow_up, notification, study_watch
from karnak_core.model import Due, State, now_ms
from karnak_core.monitor.housekeeping import Housekeeping

if TYPE_CHECKING:
    from conftest import Studies

QUIET = 11.0
HOURS = 5 * 3600.0


def keep_house(studies: Studies) -> None:
    Housekeeping(studies.database, studies.folder, studies.following).keep()


def test_study_that_was_to_be_told_is_told_after_its_interval(studies_anywhere: Studies) -> None:
    studies = studies_anywhere
    studies.receive(2)
    studies.end(State.SENT)
    studies.later(-HOURS)
    assert studies.told() == []
    keep_house(studies)
    assert studies.told() == []
    studies.later(QUIET)
    assert [one.received for one in studies.told()] == [2]


def test_what_comes_after_that_is_told_as_ever(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.SENT)
    studies.later(QUIET)
    assert len(studies.told()) == 1
    studies.later(-HOURS)
    for _ in range(3):
        studies.receive(1)
        studies.end(State.SENT)
        studies.later(5)
        assert len(studies.told()) == 1
    studies.later(QUIET)
    assert [one.received for one in studies.told()] == [1, 4]
    with studies.database.read() as connection:
        assert connection.execute(sa.select(study_watch.c.changed_at)).scalar_one() <= now_ms()


def test_what_is_to_be_tried_again_is_tried_when_no_pause_is_so_long(studies_anywhere: Studies) -> None:
    studies = studies_anywhere
    album = {
        "type": "kheops_album",
        "name": "album",
        "api_url": "http://127.0.0.1:1",
        "destination_token": {"env": "PATH"},
        "source_token": {"env": "PATH"},
    }
    studies.configure(
        {
            "name": "pacs",
            "type": "stow",
            "url": "http://127.0.0.1:1",
            "retry_longest": 600,
            "follow_ups": [album],
            "notifications": [{"type": "email", "name": "mail", "recipients": "ward@x.org", "interval": 10}],
        }
    )
    studies.receive(1)
    studies.end(State.SENT, due=(Due(part="album", subject="1.2.3.1"),))
    studies.later(15 * 60 + QUIET)
    assert len(studies.told()) == 1
    for ahead, brought in ((550_000, False), (3 * 3_600_000, True)):
        then = now_ms() + ahead
        with studies.database.write() as connection:
            for table in (follow_up, notification):
                connection.execute(sa.update(table).values(not_before=then))
        keep_house(studies)
        with studies.database.read() as connection:
            for table in (follow_up, notification):
                assert (connection.execute(sa.select(table.c.not_before)).scalar_one() < then) == brought


def test_what_a_process_has_that_nobody_knows_is_done_by_others(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.SENT, due=(Due(part="album", subject="1.2.3.1"),))
    with studies.database.write() as connection:
        connection.execute(sa.update(follow_up).values(state=State.LEASED, lease_owner="nobody"))
    keep_house(studies)
    with studies.database.read() as connection:
        (row,) = connection.execute(sa.select(follow_up))
    assert (row.state, row.lease_owner) == ("pending", None)
