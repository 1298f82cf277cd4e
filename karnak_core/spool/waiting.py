"""Deliveries that failed for want of something that somebody has to store, such as a pseudonym."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

import sqlalchemy as sa

from karnak_core.database.tables import STORING_LOCK, delivery, pseudonym
from karnak_core.model import State, now_ms
from karnak_core.spool import history, wakeups

T = TypeVar("T")

#: ms: what was stored so shortly before an attempt began may not have been seen by it
UNSEEN: Final = 5000
#: ms until such an attempt is made again
LOOK_AGAIN: Final = 2000
#: values in one statement, at most
CHUNK: Final = 500


def wake(connection: sa.Connection, keys: Collection[str], by: str) -> tuple[int, set[str]]:
    """Make failed deliveries that wait for one of these pending.

    Call it in the transaction that stores what they wait for.

    Parameters
    ----------
    keys
        What was stored, as `Outcome.waits_for` has it.
    by
        Who stored it; recorded with the deliveries, whose time to be retried begins anew.

    Returns
    -------
    int
        How many deliveries.
    set of str
        Topics to be published after the commit, see `karnak_core.spool.wakeups`.
    """
    waiting: list[int] = []
    for chunk in _chunks(sorted(keys)):
        waiting += connection.execute(
            sa.select(delivery.c.id).where(delivery.c.waits_for.in_(chunk), delivery.c.state == State.FAILED)
        ).scalars()
    now = now_ms()
    count = 0
    topics: set[str] = set()
    # in the order in which settlements and people's decisions lock them, so that two never wait for one another
    for ids in _chunks(sorted(waiting)):
        rows = connection.execute(
            sa.select(delivery.c.id, delivery.c.forward_node, delivery.c.destination)
            .where(delivery.c.id.in_(ids), delivery.c.state == State.FAILED)
            .order_by(delivery.c.id)
            .with_for_update()
        ).all()
        if not rows:
            continue
        history.note(connection, [row.id for row in rows], history.RETRIED, by, now)
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id.in_([row.id for row in rows]))
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
        count += len(rows)
        topics |= {wakeups.topic(row.forward_node, row.destination) for row in rows}
    return count, topics


def stored_meanwhile(connection: sa.Connection, keys: Collection[str], since: int) -> set[str]:
    """Return which of these were stored after an attempt began that did not find them.

    Parameters
    ----------
    keys
        What failed deliveries are about to wait for.
    since
        When the attempt began, ms since 1970.
    """
    if keys and connection.dialect.name != "sqlite":  # where there is one writer at a time anyway
        # who stores holds it until it is stored: either we see it here, or it sees us waiting
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(STORING_LOCK)))
    found: set[str] = set()
    for chunk in _chunks(sorted(keys)):
        found |= set(
            connection.execute(
                sa.select(pseudonym.c.patient_key).where(
                    pseudonym.c.patient_key.in_(chunk), pseudonym.c.changed_at > since - UNSEEN
                )
            ).scalars()
        )
    return found


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))
