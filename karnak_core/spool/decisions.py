"""What a person decides about deliveries that failed or wait: retry, or discard."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from karnak_core.database.tables import delivery
from karnak_core.model import State, now_ms
from karnak_core.spool import afterwards, health, history, tallies, unneeded, wakeups
from karnak_core.spool.views import Filter, matching


def retry(connection: sa.Connection, chosen: Filter, by: str) -> int:
    """Make failed deliveries pending, and pending ones due, now; return how many.

    Parameters
    ----------
    by
        Who decides; stored with the delivery.
    """
    now = now_ms()
    ids = _ids(connection, chosen, (State.FAILED, State.PENDING))
    for chunk in _chunks(ids):
        destinations = sa.select(delivery.c.forward_node, delivery.c.destination).where(delivery.c.id.in_(chunk))
        for node, destination in connection.execute(destinations.distinct()).all():
            health.probe_now(connection, node, destination)
        history.note(connection, chunk, history.RETRIED, by, now)
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id.in_(chunk))
            .values(
                state=State.PENDING,
                not_before=now,
                attempts=0,
                finished_at=None,
                waits_for=None,
                decided_by=by,
                decided_at=now,
            )
        )
        afterwards.touch(connection, chunk)
    return len(ids)


def discard(connection: sa.Connection, chosen: Filter, by: str) -> tuple[int, list[str]]:
    """Give up failed and pending deliveries; return how many, and the files that may go once this is durable."""
    now = now_ms()
    ids = _ids(connection, chosen, (State.FAILED, State.PENDING))
    removable: list[str] = []
    for chunk in _chunks(ids):
        rows = connection.execute(
            sa.select(delivery.c.forward_node, delivery.c.destination, delivery.c.instance_id).where(
                delivery.c.id.in_(chunk)
            )
        ).all()
        history.note(connection, chunk, history.DISCARDED, by, now)
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id.in_(chunk))
            .values(
                state=State.DISCARDED, not_before=None, waits_for=None, finished_at=now, decided_by=by, decided_at=now
            )
        )
        afterwards.touch(connection, chunk)
        tallies.add(
            connection,
            Counter((row.forward_node, row.destination, State.DISCARDED.value) for row in rows),
        )
        instances = sorted({row.instance_id for row in rows})
        unneeded.lock_instances(connection, instances)
        removable += unneeded.forget_files(connection, instances)
    return len(ids), removable


def pending_topics(connection: sa.Connection) -> set[str]:
    """Return the wake-up topics of every destination that something waits for."""
    rows = connection.execute(
        sa.select(delivery.c.forward_node, delivery.c.destination)
        .where(delivery.c.not_before.is_not(None), delivery.c.state == State.PENDING)
        .distinct()
    )
    return {wakeups.topic(node, destination) for node, destination in rows}


def _ids(connection: sa.Connection, chosen: Filter, states: tuple[State, ...]) -> list[int]:
    statement = (
        matching(sa.select(delivery.c.id), chosen)
        .where(delivery.c.state.in_(states), delivery.c.not_before.is_not(None))
        .order_by(delivery.c.id)
        .with_for_update(of=delivery)
    )
    return list(connection.execute(statement).scalars())


def _chunks(ids: list[int], size: int = 500) -> list[list[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
