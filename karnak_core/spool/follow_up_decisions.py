"""What people and programs see of follow-ups, and what a person decides about them: retry, or discard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from karnak_core.database.tables import delivery, follow_up, instance
from karnak_core.model import State, now_ms
from karnak_core.spool import afterwards
from karnak_core.spool.follow_ups import CHUNK, DONE
from karnak_core.spool.unneeded import forget_instances, lock_idle, lock_instances
from karnak_core.spool.views import iso

S = TypeVar("S", bound=sa.Select[Any])

#: every state that a follow-up can be in
STATES: Final = (State.PENDING.value, State.LEASED.value, DONE, State.FAILED.value, State.DISCARDED.value)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which follow-ups; what is None or empty does not narrow."""

    ids: Sequence[int] = ()
    forward_node: str | None = None
    destination: str | None = None
    #: the follow-up's name, or the beginning of what stands for it
    follow_up: str | None = None
    states: Sequence[str] = ()
    #: original or sent
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None


#: names of what ``follow-ups list --json`` gives, in order
FIELDS: Final = (
    "id",
    "forward_node",
    "destination",
    "follow_up",
    "subject",
    "state",
    "reason",
    "attempts",
    "not_before",
    "study_instance_uid",
    "series_instance_uid",
    "sent_study_instance_uid",
    "sent_series_instance_uid",
    "delivery_id",
    "created_at",
    "finished_at",
    "decided_by",
    "decided_at",
)


def follow_ups(
    connection: sa.Connection,
    chosen: Filter,
    *,
    limit: int | None = None,
    newest_first: bool = False,
    before: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield follow-ups with the names of :data:`FIELDS`; times are ISO 8601 in UTC, or None.

    Parameters
    ----------
    before
        Only those with a smaller number.
    """
    statement = _matching(
        sa.select(
            follow_up,
            follow_up.c.part.label("follow_up"),
            instance.c.study_instance_uid,
            instance.c.series_instance_uid,
            delivery.c.sent_study_instance_uid,
            delivery.c.sent_series_instance_uid,
        ),
        chosen,
    ).order_by(follow_up.c.id.desc() if newest_first else follow_up.c.id)
    if before is not None:
        statement = statement.where(follow_up.c.id < before)
    if limit is not None:
        statement = statement.limit(limit)
    for row in connection.execution_options(yield_per=1000).execute(statement).mappings():
        found = {name: row[name] for name in FIELDS}
        found["not_before"] = iso(row["not_before"]) if row["state"] == State.PENDING else None
        for name in ("created_at", "finished_at", "decided_at"):
            found[name] = iso(row[name])
        yield found


def retry(connection: sa.Connection, chosen: Filter, by: str) -> int:
    """Make failed follow-ups pending, and pending ones due, now; return how many.

    Parameters
    ----------
    by
        Who decides; stored with the follow-up.
    """
    now = now_ms()
    count = 0
    for ids in _undone(connection, chosen):
        rows = _locked(connection, chosen, ids)
        connection.execute(
            _of(rows).values(
                state=State.PENDING, not_before=now, attempts=0, finished_at=None, decided_by=by, decided_at=now
            )
        )
        afterwards.touch(connection, [row.delivery_id for row in rows])
        count += len(rows)
    return count


def discard(connection: sa.Connection, chosen: Filter, by: str) -> tuple[int, list[str]]:
    """Give up failed and pending follow-ups; return how many, and the files that may go once this is durable."""
    now = now_ms()
    count = 0
    removable: list[str] = []
    for ids in _undone(connection, chosen):
        instances = sorted(
            set(connection.execute(sa.select(follow_up.c.instance_id).where(follow_up.c.id.in_(ids))).scalars())
        )
        lock_instances(connection, instances)
        rows = _locked(connection, chosen, ids)
        connection.execute(
            _of(rows).values(state=State.DISCARDED, not_before=None, finished_at=now, decided_by=by, decided_at=now)
        )
        afterwards.touch(connection, [row.delivery_id for row in rows])
        # another instance may have taken the place of one meanwhile
        others = lock_idle(connection, {row.instance_id for row in rows} - set(instances))
        removable += forget_instances(connection, [*instances, *others])
        count += len(rows)
    return count, removable


def _undone(connection: sa.Connection, chosen: Filter) -> list[list[int]]:
    """Return what a person can decide about, in chunks."""
    statement = _open(sa.select(follow_up.c.id), chosen).order_by(follow_up.c.id)
    ids = list(connection.execute(statement).scalars())
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]


def _locked(connection: sa.Connection, chosen: Filter, ids: list[int]) -> list[Any]:
    """Lock those of these that can still be decided about, and return them."""
    columns: sa.Select[Any] = sa.select(*(follow_up.c[name] for name in ("id", "instance_id", "delivery_id")))
    statement = _open(columns, chosen).where(follow_up.c.id.in_(ids)).order_by(follow_up.c.id)
    return list(connection.execute(statement.with_for_update(of=follow_up)))


def _of(rows: list[Any]) -> sa.Update:
    return sa.update(follow_up).where(follow_up.c.id.in_([row.id for row in rows]))


def _open(statement: S, chosen: Filter) -> S:
    return _matching(statement, chosen).where(
        follow_up.c.not_before.is_not(None),
        follow_up.c.state.in_((State.FAILED.value, State.PENDING.value)),
    )


def _matching(statement: S, chosen: Filter) -> S:
    # a delivery, and its instance, may have been forgotten before what was done after it
    statement = statement.select_from(
        follow_up.outerjoin(instance, instance.c.id == follow_up.c.instance_id).outerjoin(
            delivery, delivery.c.id == follow_up.c.delivery_id
        )
    )
    if chosen.ids:
        statement = statement.where(follow_up.c.id.in_(chosen.ids))
    if chosen.forward_node is not None:
        statement = statement.where(follow_up.c.forward_node == chosen.forward_node)
    if chosen.destination is not None:
        statement = statement.where(follow_up.c.destination == chosen.destination)
    if chosen.follow_up is not None:
        statement = statement.where(follow_up.c.part.startswith(chosen.follow_up, autoescape=True))
    if chosen.states:
        statement = statement.where(follow_up.c.state.in_(chosen.states))
        if not set(chosen.states) & {DONE, State.DISCARDED}:
            # lets the index of open ones serve
            statement = statement.where(follow_up.c.not_before.is_not(None))
    for value, original, sent in (
        (chosen.study_instance_uid, instance.c.study_instance_uid, delivery.c.sent_study_instance_uid),
        (chosen.series_instance_uid, instance.c.series_instance_uid, delivery.c.sent_series_instance_uid),
    ):
        if value is not None:
            statement = statement.where(sa.or_(original == value, sent == value))
    return statement
