"""People are told what became of what follows deliveries, as they are of deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from plans import plans

from karnak_core.database.tables import delivery
from karnak_core.model import Due, State
from karnak_core.spool import afterwards, follow_up_decisions, follow_ups, leases, lost, retention

if TYPE_CHECKING:
    from conftest import Studies

QUIET = 11.0
ALBUM = ("FORWARD", "pacs", "album")


def due(studies: Studies) -> None:
    """Send an instance of a series, which is to be shared."""
    studies.receive(1)
    studies.end(State.SENT, due=(Due(part="album", subject="1.2.3.1"),))


def fail(studies: Studies, reason: str) -> None:
    with studies.database.write() as connection:
        (row,) = follow_ups.claim(connection, studies.folder, ALBUM, "owner")
        assert follow_ups.failed(connection, row, "owner", reason)


def retry(studies: Studies) -> None:
    with studies.database.write() as connection:
        assert follow_up_decisions.retry(connection, follow_up_decisions.Filter(), "somebody") == 1


def reasons(studies: Studies) -> list[str]:
    """Of every mail, why the series was not shared."""
    studies.later(QUIET)
    return [one.follow_ups[0].reason for one in studies.told()]


def test_follow_up_that_fails_again_for_another_reason_is_told(studies_anywhere: Studies) -> None:
    studies = studies_anywhere
    due(studies)
    fail(studies, "HTTP 422")
    assert reasons(studies) == ["HTTP 422"]
    retry(studies)
    fail(studies, "HTTP 422")
    assert reasons(studies) == ["HTTP 422"]
    retry(studies)
    fail(studies, "HTTP 400")
    assert reasons(studies) == ["HTTP 422", "HTTP 400"]
    retry(studies)
    with studies.database.write() as connection:
        (row,) = follow_ups.claim(connection, studies.folder, ALBUM, "owner")
        follow_ups.done(connection, row, "owner", "shared")
    assert reasons(studies) == ["HTTP 422", "HTTP 400", "shared"]
    assert [one.recovered for one in studies.told()] == [False, False, True]


def test_follow_up_that_kills_the_processes_that_do_it_is_told_as_failed(studies: Studies) -> None:
    due(studies)
    for number in range(lost.MOST_CRASHES):
        with studies.database.write() as connection:
            follow_ups.due_now(connection, ALBUM)
            assert follow_ups.claim(connection, studies.folder, ALBUM, f"owner {number}")
        with studies.database.write() as connection:
            leases.release(connection, [f"owner {number}"], crashed=True)
    studies.later(QUIET)
    (told,) = studies.told()
    assert told.failed
    assert told.follow_ups[0].reason == "the process that was at it ended unexpectedly"


def test_study_is_found_however_many_are_told_about(studies: Studies) -> None:
    due(studies)
    with plans(studies.database) as found, studies.database.write() as connection:
        afterwards.touch(connection, [1])
    assert "ix_study_watch_study (study_instance_uid=? AND forward_node=? AND destination=?)" in found[-1]


@pytest.mark.parametrize("waits", [True, False])
def test_study_keeps_its_numbers_while_what_follows_it_waits_or_has_failed(studies: Studies, waits: bool) -> None:
    due(studies)
    studies.receive(2)
    studies.end(State.SENT)
    if not waits:
        fail(studies, "HTTP 422")
    studies.later(QUIET + 15 * 60)
    (first,) = studies.told()
    assert (first.received, first.waiting, first.failed) == (3, waits, not waits)
    with studies.database.write() as connection:
        connection.execute(sa.update(delivery).values(finished_at=delivery.c.finished_at - 36 * 3_600_000))
    assert retention.forget_finished(studies.database, days=1, at_most=1000) == 0
    assert retention.forget_afterwards(studies.database, days=1)["study_watch"] == 0
    retry(studies)
    with studies.database.write() as connection:
        (row,) = follow_ups.claim(connection, studies.folder, ALBUM, "owner")
        follow_ups.done(connection, row, "owner", "shared")
    studies.later(QUIET)
    assert [(one.received, one.number) for one in studies.told()] == [(3, 1), (3, 2)]
    assert retention.forget_finished(studies.database, days=1, at_most=1000) == 3
