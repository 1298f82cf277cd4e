"""What people see of notifications, and decide about those that failed or wait: tell again, or give up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from karnak_core.database.tables import notification
from karnak_core.model import State, now_ms
from karnak_core.spool.notices import NOW
from karnak_core.spool.views import iso

S = TypeVar("S", sa.Select[Any], sa.Update)

#: where a notification can stand
STATES: Final = tuple(state.value for state in (State.PENDING, State.LEASED, State.SENT, State.FAILED, State.DISCARDED))


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which notifications; what is None or empty does not narrow."""

    ids: Sequence[int] = ()
    forward_node: str | None = None
    destination: str | None = None
    states: Sequence[str] = ()
    #: as received
    study_instance_uid: str | None = None


def notifications(
    connection: sa.Connection, chosen: Filter, *, limit: int | None = None, before: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield notifications, the newest first; times are ISO 8601 in UTC, or None.

    Parameters
    ----------
    before
        Only those with a smaller number.
    """
    # without the summaries: there may be very many
    columns: sa.Select[Any] = sa.select(*(column for column in notification.c if column is not notification.c.summary))
    statement = _matching(columns, chosen).order_by(notification.c.id.desc())
    if before is not None:
        statement = statement.where(notification.c.id < before)
    if limit is not None:
        statement = statement.limit(limit)
    for row in connection.execution_options(yield_per=1000).execute(statement).mappings():
        yield {
            "id": row["id"],
            "forward_node": row["forward_node"],
            "destination": row["destination"],
            "notification": row["part"],
            "state": row["state"],
            "reason": row["reason"],
            "attempts": row["attempts"],
            "not_before": iso(row["not_before"]) if row["state"] == State.PENDING else None,
            "study_instance_uid": row["study_instance_uid"],
            "created_at": iso(row["created_at"]),
            "finished_at": iso(row["finished_at"]),
        }


def drop_outdated(connection: sa.Connection, chosen: Filter) -> int:
    """Give up what failed and would contradict a newer one about the study that people have; return how many."""
    newer = notification.alias("newer")
    keys = ("forward_node", "destination", "part", "study_instance_uid")
    has_newer = sa.exists().where(
        *(newer.c[key] == notification.c[key] for key in keys),
        newer.c.id > notification.c.id,
        newer.c.state.in_((State.SENT.value, State.LEASED.value)),
    )
    done = connection.execute(
        _open(chosen)
        .where(has_newer)
        .values(state=State.DISCARDED, not_before=None, finished_at=now_ms(), reason="a newer one was told")
    )
    return done.rowcount


def retry(connection: sa.Connection, chosen: Filter) -> int:
    """Have failed notifications told again, and pending ones now, but for outdated ones; return how many."""
    drop_outdated(connection, chosen)
    done = connection.execute(
        _open(chosen).values(state=State.PENDING, not_before=NOW, attempts=0, finished_at=None, created_at=now_ms())
    )
    return done.rowcount


def discard(connection: sa.Connection, chosen: Filter, by: str) -> int:
    """Give up failed and pending notifications; return how many."""
    done = connection.execute(
        _open(chosen).values(state=State.DISCARDED, not_before=None, finished_at=now_ms(), reason=f"discarded by {by}")
    )
    return done.rowcount


def _open(chosen: Filter) -> sa.Update:
    return _matching(sa.update(notification), chosen).where(
        notification.c.not_before.is_not(None),
        notification.c.state.in_((State.PENDING.value, State.FAILED.value)),
    )


def _matching(statement: S, chosen: Filter) -> S:
    if chosen.ids:
        statement = statement.where(notification.c.id.in_(chosen.ids))
    if chosen.states:
        statement = statement.where(notification.c.state.in_(chosen.states))
        if not set(chosen.states) & {State.SENT.value, State.DISCARDED.value}:
            # lets the index of open ones serve
            statement = statement.where(notification.c.not_before.is_not(None))
    for column, value in (
        (notification.c.forward_node, chosen.forward_node),
        (notification.c.destination, chosen.destination),
        (notification.c.study_instance_uid, chosen.study_instance_uid),
    ):
        if value is not None:
            statement = statement.where(column == value)
    return statement
