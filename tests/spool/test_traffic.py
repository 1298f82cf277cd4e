"""What came in and went out, by the hour."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool.traffic import HOUR, Traffic

NOW = 500_000 * HOUR + 30 * 60_000


def add(ledger: Any, hours_ago: float, state: State | None = State.SENT) -> None:
    """Add an instance that was received then, with one delivery that ended at once, or waits."""
    then = NOW - int(hours_ago * HOUR)
    with ledger.database.write() as connection:
        number = connection.execute(
            sa.insert(instance)
            .values(
                forward_node="NODE",
                calling_ae_title="CT",
                peer_host="127.0.0.1",
                received_at=then,
                sop_class_uid="1.2",
                sop_instance_uid="1.2.3",
                study_instance_uid="1.2.4",
                series_instance_uid="1.2.5",
                transfer_syntax_uid="1.2.840.10008.1.2",
                path=None,
                dataset_offset=0,
                size=10,
                facts={},
            )
            .returning(instance.c.id)
        ).scalar_one()
        connection.execute(
            sa.insert(delivery).values(
                instance_id=number,
                forward_node="NODE",
                destination="a",
                state=(state or State.PENDING).value,
                not_before=then if state in (None, State.FAILED) else None,
                created_at=then,
                finished_at=then if state else None,
            )
        )


def test_hours_have_what_was_received_and_how_it_ended_in_them(ledger: Any) -> None:
    add(ledger, 30)
    for state in (State.SENT, State.DUPLICATE, State.EXCLUDED, State.FAILED, None):
        add(ledger, 2, state)
    add(ledger, 0)
    with ledger.database.read() as connection:
        hours = Traffic().hours(connection, NOW)
    assert len(hours) == 24
    assert [hour.start for hour in hours[-2:]] == [NOW - NOW % HOUR - HOUR, NOW - NOW % HOUR]
    told = [(hour.received, hour.sent, hour.excluded, hour.failed) for hour in hours]
    assert told[-3:] == [(5, 2, 1, 1), (0, 0, 0, 0), (1, 1, 0, 0)]
    assert not any(any(hour) for hour in told[:-3])


def test_nothing_was_received_in_an_empty_ledger(ledger: Any) -> None:
    with ledger.database.read() as connection:
        assert {hour.received for hour in Traffic().hours(connection, NOW)} == {0}


def test_instances_that_were_forgotten_leave_gaps(ledger: Any) -> None:
    for ago in (5, 3, 3, 3, 1):
        add(ledger, ago)
    with ledger.database.write() as connection:
        connection.execute(sa.delete(delivery).where(delivery.c.id.in_((2, 3))))
        connection.execute(sa.delete(instance).where(instance.c.id.in_((2, 3))))
    with ledger.database.read() as connection:
        hours = Traffic().hours(connection, NOW)
    assert [hour.received for hour in hours[-6:]] == [1, 0, 1, 0, 1, 0]


def test_an_hour_that_is_over_is_counted_once_and_the_present_one_each_time(ledger: Any) -> None:
    traffic = Traffic()
    add(ledger, 2)
    add(ledger, 0)
    with ledger.database.read() as connection:
        traffic.hours(connection, NOW)
    with ledger.database.write() as connection:
        connection.execute(sa.delete(delivery))
    with ledger.database.read() as connection:
        later = traffic.hours(connection, NOW + 1000)
        much_later = traffic.hours(connection, NOW + Traffic.KEPT)
    assert (later[-3].sent, later[-1].sent) == (1, 0)
    assert much_later[-3].sent == 0
