"""What is forgotten, and what never is."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from karnak_core.database.tables import delivery, study_watch
from karnak_core.model import FINAL_STATES, Outcome, State, now_ms
from karnak_core.spool import decisions, retention, tallies, views
from karnak_core.spool.retention import CHUNK, DAY_MS, forget_finished

EVERYTHING = 10**9


def finish(ledger: Any, state: State, *, days_ago: float) -> int:
    """Receive and finish one delivery; return its id."""
    before = set(ledger.rows())
    ledger.receive("a")
    (number,) = set(ledger.rows()) - before
    if state is State.DISCARDED:
        with ledger.database.write() as connection:
            ledger.folder.remove(decisions.discard(connection, views.Filter(ids=[number]), "somebody")[1])
    else:
        (item,) = ledger.claim("a", "p")
        ledger.settle("p", (item, Outcome(state=state)))
    with ledger.database.write() as connection:
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id == number)
            .values(finished_at=now_ms() - int(days_ago * DAY_MS), created_at=now_ms() - int(days_ago * DAY_MS))
        )
    return number


@pytest.mark.parametrize("state", FINAL_STATES)
def test_finished_ones_older_than_the_days_go_and_younger_ones_stay(ledger: Any, state: State) -> None:
    old, young = finish(ledger, state, days_ago=31), finish(ledger, state, days_ago=29)
    assert forget_finished(ledger.database, days=30, at_most=EVERYTHING) == 1
    assert set(ledger.rows()) == {young}
    assert len(ledger.paths()) == 1
    assert old != young


def test_beyond_the_number_the_oldest_go(ledger: Any) -> None:
    numbers = [finish(ledger, State.SENT, days_ago=days) for days in (1, 5, 2, 4, 3)]
    assert forget_finished(ledger.database, days=30, at_most=2) == 3
    assert set(ledger.rows()) == {numbers[0], numbers[2]}


def test_no_more_than_asked_for_is_forgotten_when_they_are_fewer(ledger: Any) -> None:
    for days in (1, 2, 3):
        finish(ledger, State.SENT, days_ago=days)
    assert forget_finished(ledger.database, days=30, at_most=3) == 0
    assert forget_finished(ledger.database, days=30, at_most=0) == 3
    assert ledger.paths() == {}


@pytest.mark.parametrize(("days", "at_most"), [(0, EVERYTHING), (-1, 0), (30, 0)])
def test_failed_and_open_ones_stay_however_old(ledger: Any, days: float, at_most: int) -> None:
    failed = finish(ledger, State.FAILED, days_ago=1000)
    ledger.receive("a", "b", received_at=now_ms() - 1000 * DAY_MS)
    ledger.end("b", State.SENT)
    ledger.receive("b", received_at=now_ms() - 1000 * DAY_MS)
    ledger.claim("b", "p")
    open_ones = {n for n, row in ledger.rows().items() if row["state"] in (State.PENDING, State.LEASED)}
    assert len(open_ones) == 2
    files = {relative for relative, _ in ledger.folder.files()}
    forget_finished(ledger.database, days=days, at_most=at_most)
    assert {failed, *open_ones} == set(ledger.rows())
    # each of the three still has its instance and its file
    assert {relative for relative, _ in ledger.folder.files()} == files
    assert {path for path in ledger.paths().values() if path} == files
    assert {row["instance_id"] for row in ledger.rows().values()} == set(ledger.paths())


def test_failed_ones_do_not_push_finished_ones_out(ledger: Any) -> None:
    sent = [finish(ledger, State.SENT, days_ago=days) for days in (5, 6)]
    for _ in range(4):
        finish(ledger, State.FAILED, days_ago=1)
    assert forget_finished(ledger.database, days=30, at_most=2) == 0
    assert set(sent) <= set(ledger.rows())


def test_an_instance_stays_until_its_last_delivery_is_forgotten(ledger: Any) -> None:
    ledger.receive("a", "b")
    ledger.end("a", State.SENT)
    ledger.end("b", State.EXCLUDED)
    with ledger.database.write() as connection:
        connection.execute(
            sa.update(delivery).where(delivery.c.destination == "a").values(finished_at=now_ms() - 40 * DAY_MS)
        )
    assert forget_finished(ledger.database, days=30, at_most=EVERYTHING) == 1
    assert len(ledger.paths()) == 1
    assert forget_finished(ledger.database, days=-1, at_most=EVERYTHING) == 1
    assert ledger.paths() == {}


def test_what_was_excluded_when_it_came_is_forgotten_too(ledger: Any) -> None:
    ledger.receive("a", "b", excluded="DICOMDIR not forwarded", received_at=now_ms() - 31 * DAY_MS)
    assert forget_finished(ledger.database, days=30, at_most=EVERYTHING) == 2
    assert ledger.paths() == {}


def test_totals_outlive_the_rows(ledger: Any) -> None:
    finish(ledger, State.SENT, days_ago=31)
    with ledger.database.read() as connection:
        before = tallies.read(connection)
    forget_finished(ledger.database, days=30, at_most=EVERYTHING)
    with ledger.database.read() as connection:
        assert tallies.read(connection) == before
        assert views.destination_numbers(connection)["NODE", "a"].sent == 1


def test_more_than_a_chunk_is_forgotten_in_one_call(ledger: Any) -> None:
    count = 2 * CHUNK + 5
    ledger.record(*(ledger.received("a", excluded="rule", received_at=1000 + n) for n in range(count)))
    assert forget_finished(ledger.database, days=30, at_most=EVERYTHING) == count
    assert ledger.rows() == {}
    assert ledger.paths() == {}


def test_more_than_a_chunk_beyond_the_number_is_forgotten_exactly(ledger: Any) -> None:
    now = now_ms()
    ledger.record(*(ledger.received("a", excluded="rule", received_at=now - n) for n in range(2 * CHUNK + 10)))
    assert forget_finished(ledger.database, days=30, at_most=7) == 2 * CHUNK + 3
    assert min(row["finished_at"] for row in ledger.rows().values()) == now - 6


@pytest.mark.parametrize("days", [30, 1000], ids=["by days", "by number"])
def test_finished_ones_of_a_study_that_is_still_told_of_stay_for_twice_the_days(ledger: Any, days: float) -> None:
    sent = [finish(ledger, State.SENT, days_ago=days_ago) for days_ago in (70, 40, 35)]
    finish(ledger, State.FAILED, days_ago=40)
    at_most = EVERYTHING if days == 30 else 1
    with ledger.database.write() as connection:
        watch = {"destination": "a", "part": "email", "study_instance_uid": "2.25.7", "changed_at": 0}
        connection.execute(sa.insert(study_watch).values(forward_node="NODE", **watch))
    assert forget_finished(ledger.database, days=days, at_most=at_most) == (1 if days == 30 else 0)
    assert set(sent[1:]) <= set(ledger.rows())
    # a decision about what is open is told however old it is
    retention.forget_afterwards(ledger.database, days=1)
    with ledger.database.write() as connection:
        assert connection.execute(sa.select(study_watch)).all()
        ledger.folder.remove(decisions.discard(connection, views.Filter(), "somebody")[1])
    # that was not told yet
    assert forget_finished(ledger.database, days=days, at_most=at_most) == 0
    with ledger.database.write() as connection:
        connection.execute(sa.update(study_watch).values(due_at=None, changed_at=0))
    assert retention.forget_afterwards(ledger.database, days=30)["study_watch"] == 1
    assert forget_finished(ledger.database, days=30, at_most=1) >= 2
    assert len(ledger.rows()) == 1


def test_finished_ones_go_where_nobody_is_told(ledger: Any) -> None:
    sent = finish(ledger, State.SENT, days_ago=40)
    finish(ledger, State.FAILED, days_ago=40)
    with ledger.database.write() as connection:
        for study, destination in (("2.25.7", "b"), ("2.25.8", "a")):
            watch = {"part": "email", "study_instance_uid": study, "changed_at": 0, "due_at": 1}
            connection.execute(sa.insert(study_watch).values(forward_node="NODE", destination=destination, **watch))
    assert forget_finished(ledger.database, days=30, at_most=EVERYTHING) == 1
    assert sent not in ledger.rows()


def test_a_sweep_leaves_what_the_ledger_names(ledger: Any) -> None:
    ledger.receive("a")
    ledger.receive("a")
    ledger.end("a", State.FAILED)
    unnamed = ledger.received("a")
    ledger.writer.close()
    assert retention.sweep_files(ledger.database, ledger.folder) == 1
    left = {relative for relative, _ in ledger.folder.files()}
    assert len(left) == 2
    assert unnamed.path not in left
