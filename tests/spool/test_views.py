"""What people see of the ledger."""

from __future__ import annotations

from typing import Any

from karnak_core.model import Outcome, State, now_ms
from karnak_core.spool import tallies, views
from karnak_core.spool.record import Received


def found(ledger: Any, **chosen: Any) -> list[dict[str, Any]]:
    with ledger.database.read() as connection:
        return list(views.deliveries(connection, views.Filter(**chosen)))


def test_a_row_has_every_promised_name_and_times_in_utc(ledger: Any) -> None:
    received: Received = ledger.receive("a", received_at=1_700_000_000_123)
    (row,) = found(ledger)
    assert tuple(row) == views.FIELDS
    assert row["received_at"] == "2023-11-14T22:13:20.123Z"
    assert row["not_before"] == "2023-11-14T22:13:20.123Z"
    assert (row["state"], row["finished_at"], row["attempts"]) == ("pending", None, 0)
    assert row["sop_instance_uid"] == received.header.sop_instance_uid


def test_a_failed_one_has_an_end_and_no_next_time(ledger: Any) -> None:
    ledger.receive("a")
    ledger.end("a", State.FAILED)
    (row,) = found(ledger, states=(State.FAILED,))
    assert row["not_before"] is None
    assert row["finished_at"].endswith("Z")


def test_filters_narrow(ledger: Any) -> None:
    now = now_ms()
    ledger.receive("a", "b", received_at=now - 5000)
    ledger.receive("a", received_at=now)
    ledger.end("b", State.SENT)
    ids = [row["id"] for row in found(ledger)]
    assert len(ids) == 3
    assert len(found(ledger, destination="a")) == 2
    assert len(found(ledger, states=(State.SENT,))) == 1
    assert len(found(ledger, states=(State.SENT, State.PENDING))) == 3
    assert len(found(ledger, states=(State.FAILED, State.SENT))) == 1
    assert len(found(ledger, since=now - 1000)) == 1
    assert len(found(ledger, until=now)) == 2
    assert [row["id"] for row in found(ledger, ids=ids[1:])] == ids[1:]
    assert found(ledger, forward_node="OTHER") == []
    assert len(found(ledger, study_instance_uid="2.25.7")) == 3
    assert found(ledger, study_instance_uid="2.25.8") == []


def test_ids_by_the_thousand_can_be_asked_for(ledger: Any) -> None:
    ledger.record(*(ledger.received("a", excluded="rule") for _ in range(3)))
    assert len(found(ledger, ids=list(range(20_000)))) == 3


def test_excluded_when_it_came_is_shown_with_its_rule_and_counted(ledger: Any) -> None:
    ledger.receive("a", "b", excluded="DICOMDIR not forwarded")
    assert [row["reason"] for row in found(ledger, states=(State.EXCLUDED,))] == ["DICOMDIR not forwarded"] * 2
    with ledger.database.read() as connection:
        numbers = views.destination_numbers(connection)
        assert tallies.read(connection)["NODE", "", tallies.RECEIVED] == 1
    assert {key: n.excluded for key, n in numbers.items()} == {("NODE", "a"): 1, ("NODE", "b"): 1}


def test_the_oldest_that_waits_is_told_leased_ones_too(ledger: Any) -> None:
    ledger.receive("a", received_at=now_ms() - 90_000)
    ledger.claim("a", "p")
    ledger.receive("a")
    with ledger.database.read() as connection:
        numbers = views.destination_numbers(connection)["NODE", "a"]
    assert numbers.pending == 2
    assert numbers.oldest_pending_seconds is not None
    assert 90 <= numbers.oldest_pending_seconds < 120


def test_nothing_waits_when_only_failed_ones_are_left(ledger: Any) -> None:
    ledger.receive("a")
    ledger.end("a", State.FAILED)
    with ledger.database.read() as connection:
        numbers = views.destination_numbers(connection)["NODE", "a"]
    assert (numbers.pending, numbers.failed, numbers.oldest_pending_seconds) == (0, 1, None)


def test_attempts_count_only_what_was_tried(ledger: Any) -> None:
    ledger.receive("a")
    for counts in (True, False, True):
        (item,) = ledger.claim("a", "p")
        ledger.settle("p", (item, Outcome(state=State.PENDING, not_before=1, counts=counts)))
    (row,) = found(ledger)
    assert row["attempts"] == 2
