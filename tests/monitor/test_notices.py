"""People are told once when a study has come to rest, again when something has changed, and never twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from karnak_core.config.store import Following
from karnak_core.database.tables import delivery, instance, study_watch
from karnak_core.model import State
from karnak_core.monitor.notices import AT_ONCE, LONG_PATIENCE, PATIENCE, SEARCH_BACK, StudyWatch
from karnak_core.spool import decisions, leases
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.lost import MOST_CRASHES
from karnak_core.spool.views import Filter

if TYPE_CHECKING:
    from conftest import Studies

#: seconds; the interval of the notifications here is ten
QUIET = 11.0


def test_one_mail_says_what_became_of_the_whole_study(studies_anywhere: Studies) -> None:
    studies = studies_anywhere
    for number in range(3):
        studies.receive(4, series=f"1.2.3.{number}")
    studies.end(State.SENT, count=9)
    studies.end(State.EXCLUDED, count=2, reason="not authorized")
    studies.end(State.FAILED, count=1, reason="0xA900")
    assert studies.told() == []
    studies.later(QUIET)
    (summary,) = studies.told()
    assert (summary.received, summary.count(State.SENT)) == (12, 9)
    assert (summary.count(State.EXCLUDED), summary.count(State.FAILED)) == (2, 1)
    assert (summary.number, summary.recovered) == (1, False)
    assert summary.id
    studies.later(3600)
    assert len(studies.told()) == 1


def test_nothing_is_told_while_instances_still_come(studies: Studies) -> None:
    studies.receive(2)
    studies.end(State.SENT)
    studies.later(QUIET)
    studies.receive(1)
    assert studies.told() == []
    studies.later(QUIET)
    # the last one has not been tried
    assert studies.told() == []
    studies.end(State.SENT)
    studies.later(5)
    assert studies.told() == []
    studies.later(QUIET)
    (summary,) = studies.told()
    assert summary.count(State.SENT) == 3


def test_what_waits_is_told_after_a_while_and_once_more_when_it_is_through(studies: Studies) -> None:
    studies.receive(5)
    studies.end(State.SENT, count=2)
    studies.end(State.PENDING, reason="Connection refused")
    studies.later(QUIET)
    assert studies.told() == []
    studies.later(PATIENCE / 1000)
    (first,) = studies.told()
    assert (first.count(State.SENT), first.count(State.PENDING), first.received) == (2, 3, 5)
    assert first.waiting
    due(studies)
    studies.end(State.SENT, count=1)
    studies.later(PATIENCE / 1000)
    # no mail for every one that goes through
    assert len(studies.told()) == 1
    due(studies)
    studies.end(State.SENT)
    studies.later(QUIET)
    assert studies.told()[1:][0].count(State.SENT) == 5
    assert not studies.told()[1].recovered


def test_what_waits_for_very_long_is_told_again(studies: Studies) -> None:
    studies.receive(5)
    studies.end(State.PENDING, reason="Connection refused")
    studies.later(QUIET + PATIENCE / 1000)
    assert len(studies.told()) == 1
    due(studies)
    studies.end(State.SENT, count=1)
    studies.later(QUIET + LONG_PATIENCE / 1000)
    assert [one.count(State.PENDING) for one in studies.told()] == [5, 4]


def test_instances_that_never_cease_are_told_about_all_the_same(studies: Studies) -> None:
    mail = {"type": "email", "recipients": "a@x.org", "interval": 300}
    studies.configure({"name": "pacs", "type": "folder", "directory": "received", "notifications": [mail]})
    for _ in range(20):
        studies.receive(1)
        studies.end(State.SENT)
        studies.later(200)
        # it is due when PATIENCE and the interval have passed, twenty minutes
        studies.receive(1)
        studies.end(State.SENT)
        studies.watch.look()
    assert 2 <= len(studies.notices()) <= 4


def due(studies: Studies) -> None:
    with studies.database.write() as connection:
        connection.execute(sa.update(delivery).where(delivery.c.not_before.is_not(None)).values(not_before=0))


def retry(studies: Studies) -> None:
    with studies.database.write() as connection:
        assert decisions.retry(connection, Filter(states=(State.FAILED,)), "somebody")


def failed_and_told(studies: Studies) -> None:
    studies.receive(3)
    studies.end(State.SENT, count=2)
    studies.end(State.FAILED, reason="0xA900")
    studies.later(QUIET)
    assert [one.failed for one in studies.told()] == [True]


def test_repaired_failure_is_told_as_a_recovery(studies: Studies) -> None:
    failed_and_told(studies)
    retry(studies)
    studies.watch.look()
    studies.end(State.SENT)
    studies.later(QUIET)
    first, second = studies.told()
    assert (second.number, second.recovered, second.count(State.SENT)) == (2, True, 3)
    assert second.id != first.id


def test_failure_that_was_told_while_it_is_tried_again_recovers_too(studies: Studies) -> None:
    failed_and_told(studies)
    retry(studies)
    studies.end(State.PENDING, reason="later")
    studies.later(QUIET + PATIENCE / 1000)
    due(studies)
    assert [one.waiting for one in studies.told()] == [False, True]
    studies.end(State.SENT)
    studies.later(QUIET)
    assert [one.recovered for one in studies.told()] == [False, False, True]


def test_failure_that_fails_again_for_the_same_reason_is_no_news(studies: Studies) -> None:
    failed_and_told(studies)
    retry(studies)
    studies.end(State.FAILED, reason="0xA900")
    studies.later(QUIET)
    assert len(studies.told()) == 1


def test_failure_that_fails_again_for_another_reason_is_told(studies: Studies) -> None:
    failed_and_told(studies)
    retry(studies)
    studies.end(State.FAILED, reason="0xC000")
    studies.later(QUIET)
    assert [one.series[0].reasons[0].text for one in studies.told()] == ["0xA900", "0xC000"]


def test_what_still_waits_after_long_is_told_once_more_and_no_more(studies: Studies) -> None:
    studies.receive(5)
    studies.end(State.PENDING, reason="Connection refused")
    studies.later(QUIET + PATIENCE / 1000)
    assert len(studies.told()) == 1
    # it is tried in vain meanwhile, which is no news
    for _ in range(3):
        due(studies)
        studies.end(State.PENDING, reason="Connection refused")
        studies.later(QUIET + PATIENCE / 1000)
        assert len(studies.told()) == 1
    studies.later(LONG_PATIENCE / 1000 - 2 * PATIENCE / 1000)
    assert [one.count(State.PENDING) for one in studies.told()] == [5, 5]
    studies.later(10 * LONG_PATIENCE / 1000)
    assert len(studies.told()) == 2
    due(studies)
    studies.end(State.SENT)
    studies.later(QUIET)
    assert [one.count(State.PENDING) for one in studies.told()] == [5, 5, 0]


def test_failure_that_somebody_gave_up_is_told_and_is_no_recovery(studies: Studies) -> None:
    failed_and_told(studies)
    with studies.database.write() as connection:
        decisions.discard(connection, Filter(states=(State.FAILED,)), "somebody")
    studies.later(QUIET)
    second = studies.told()[1]
    assert (second.count(State.DISCARDED), second.recovered) == (1, False)


def test_series_that_comes_later_is_told_with_the_whole_study(studies: Studies) -> None:
    studies.receive(2)
    studies.end(State.SENT)
    studies.later(QUIET)
    studies.told()
    studies.receive(3, series="1.2.3.2")
    studies.end(State.SENT)
    studies.later(QUIET)
    first, second = studies.told()
    assert (first.received, second.received, second.number, second.recovered) == (2, 5, 2, False)


def test_study_that_comes_again_and_is_there_already_is_no_news(studies: Studies) -> None:
    uids = studies.receive(2)
    studies.end(State.SENT)
    studies.later(QUIET)
    studies.told()
    studies.receive(sop=uids)
    studies.end(State.DUPLICATE)
    studies.later(QUIET)
    assert len(studies.told()) == 1
    studies.receive(sop=uids)
    studies.end(State.SENT)
    studies.later(QUIET)
    assert len(studies.told()) == 1


def test_outcome_that_comes_while_it_is_being_told_makes_it_due_again(studies: Studies) -> None:
    studies.receive(2)
    studies.end(State.SENT, count=1)
    studies.later(QUIET)
    (before,) = studies.watched()
    studies.end(State.SENT)
    (after,) = studies.watched()
    assert after["changed_at"] > before["changed_at"]
    assert after["due_at"] > before["due_at"]
    assert after["since"] == before["since"]


def test_many_watches_at_once_tell_it_once(studies_anywhere: Studies) -> None:
    studies = studies_anywhere
    for number in range(10):
        studies.receive(1, study=f"1.2.{number}")
    studies.end(State.SENT)
    studies.later(QUIET)
    barrier = threading.Barrier(4)

    def look() -> None:
        watch = StudyWatch(studies.database, studies.following)
        barrier.wait()
        watch.look()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["study_instance_uid"] for row in studies.notices()) == [f"1.2.{number}" for number in range(10)]


def test_study_is_looked_at_no_more_when_nobody_is_to_be_told(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.SENT)
    studies.later(QUIET)
    studies.configure({"name": "pacs", "type": "folder", "directory": "received"})
    assert studies.told() == []
    assert studies.watched() == []


def test_studies_that_are_not_to_be_told_yet_keep_no_other_from_its_turn(studies_anywhere: Studies) -> None:
    studies = studies_anywhere
    for number in range(AT_ONCE + 1):
        studies.receive(1, study=f"1.9.{number}")
    studies.end(State.PENDING, reason="busy")
    studies.later(QUIET + PATIENCE / 1000)
    while studies.watch.look():
        pass
    assert len(studies.told()) == AT_ONCE + 1
    # of all of them something happens all the time, and of one more, that nobody was told about
    for number in range(AT_ONCE + 1):
        studies.receive(1, study=f"1.9.{number}")
    studies.end(State.PENDING, reason="busy")
    studies.receive(1, study="1.10")
    studies.end(State.PENDING, reason="busy")
    with studies.database.write() as connection:
        connection.execute(sa.update(study_watch).values(since=study_watch.c.since - PATIENCE - 10_000))
        last = study_watch.c.study_instance_uid == "1.10"
        one_ms = {"due_at": study_watch.c.due_at + 1, "changed_at": study_watch.c.changed_at + 1}
        connection.execute(sa.update(study_watch).where(last).values(one_ms))
    assert len(studies.told()) == AT_ONCE + 2


def test_study_of_a_notification_that_this_process_does_not_know_yet_is_kept(studies: Studies) -> None:
    behind = StudyWatch(studies.database, Following(studies.database, studies.plugins))
    mail = {"type": "email", "name": "new", "recipients": "ward@x.org", "interval": 10}
    studies.configure({"name": "pacs", "type": "folder", "directory": "received", "notifications": [mail]})
    studies.receive(1)
    studies.end(State.SENT)
    studies.later(QUIET)
    behind.look()
    studies.later(QUIET)
    behind.look()
    assert len(studies.notices()) == 1


def test_those_who_are_to_be_told_instead_are_told(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.SENT)
    mail: dict[str, Any] = {"type": "email", "recipients": "other@x.org", "interval": 10}
    studies.configure({"name": "pacs", "type": "folder", "directory": "received", "notifications": [mail]})
    studies.later(QUIET)
    assert studies.told() == []
    studies.later(QUIET)
    (summary,) = studies.told()
    assert summary.received == 1


def test_study_that_the_ledger_has_forgotten_is_forgotten(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.SENT)
    studies.later(QUIET)
    with studies.database.write() as connection:
        connection.execute(sa.delete(delivery))
        connection.execute(sa.delete(instance))
    assert studies.told() == []
    assert studies.watched() == []


@pytest.mark.parametrize("tried", [False, True])
def test_study_that_nobody_tries_to_deliver_is_found(studies_anywhere: Studies, tried: bool) -> None:
    """Its destination is paused, or held: nothing becomes of its instances."""
    studies = studies_anywhere
    studies.receive(3)
    studies.later(PATIENCE / 1000 + 1)
    if tried:
        studies.end(State.SENT)
    studies.watch.search()
    studies.later(QUIET)
    (summary,) = studies.told()
    assert summary.count(State.PENDING) == (0 if tried else 3)
    # it is found once, and again when more comes that nobody tries
    studies.watch.search()
    studies.later(LONG_PATIENCE / 1000)
    assert len(studies.told()) == 1
    studies.receive(2)
    studies.later(PATIENCE / 1000 + 1)
    studies.watch.search()
    studies.later(QUIET + LONG_PATIENCE / 1000)
    assert studies.told()[1].count(State.PENDING) == (2 if tried else 5)


def test_instance_that_kills_the_processes_that_deliver_it_is_told_as_failed(studies: Studies) -> None:
    studies.receive(2)
    studies.end(State.SENT, count=1)
    studies.later(QUIET + PATIENCE / 1000)
    assert [one.count(State.PENDING) for one in studies.told()] == [1]
    for _ in range(MOST_CRASHES):
        due(studies)
        with studies.database.write() as connection:
            assert leases.claim(connection, SpoolFolder(studies.directory / "spool"), "FORWARD", "pacs", "victim", 1)
            assert leases.release(connection, ["victim"], crashed=True)
    studies.later(QUIET)
    assert [one.count(State.FAILED) for one in studies.told()] == [0, 1]


def test_study_that_cannot_be_looked_at_keeps_nobody_from_the_others(studies: Studies) -> None:
    for study in ("1.2.3", "1.2.4"):
        studies.receive(1, study=study)
    studies.end(State.SENT)
    studies.later(QUIET)
    with studies.database.write() as connection:
        told = {"series": "no mapping"}
        connection.execute(
            sa.update(study_watch).where(study_watch.c.study_instance_uid == "1.2.3").values(told=told, due_at=0)
        )
        connection.execute(sa.update(instance).where(instance.c.study_instance_uid == "1.2.3").values(facts="no facts"))
    assert studies.told()[0].study_instance_uid == "1.2.4"
    assert len(studies.told()) == 1


def test_many_studies_that_cannot_be_looked_at_keep_nobody_from_the_others(studies: Studies) -> None:
    for number in range(AT_ONCE + 5):
        studies.receive(1, study=f"1.3.{number}")
    studies.end(State.SENT)
    with studies.database.write() as connection:
        connection.execute(sa.update(study_watch).values(told={"series": "no mapping"}))
        connection.execute(sa.update(instance).values(facts="no facts"))
    studies.later(QUIET)
    studies.receive(1)
    studies.end(State.SENT)
    studies.later(QUIET)
    for _ in range(3):
        studies.watch.look()
    assert [one.study_instance_uid for one in studies.told()] == ["1.2.3"]


def test_study_that_waits_is_found_however_old_and_old_failures_are_not(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.FAILED, reason="0xA900")
    studies.receive(1, study="1.2.4")
    studies.later(SEARCH_BACK / 1000 + 3600)
    with studies.database.write() as connection:
        connection.execute(sa.delete(study_watch))
    studies.watch.search()
    studies.later(QUIET)
    assert [one.study_instance_uid for one in studies.told()] == ["1.2.4"]


def test_each_notification_of_a_destination_tells_by_itself(studies: Studies) -> None:
    mails = [
        {"type": "email", "recipients": f"{who}@x.org", "interval": after} for who, after in (("a", 10), ("b", 60))
    ]
    studies.configure({"name": "pacs", "type": "folder", "directory": "received", "notifications": mails})
    studies.receive(1)
    studies.end(State.SENT)
    studies.later(QUIET)
    assert len(studies.told()) == 1
    studies.later(50)
    assert len(studies.told()) == 2
    assert len({row["part"] for row in studies.notices()}) == 2
