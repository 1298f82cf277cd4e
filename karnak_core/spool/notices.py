"""What people are to be told, row by row: claim, replace by what is newer, settle."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from karnak_core.database.tables import notification, process
from karnak_core.model import State, now_ms
from karnak_core.spool.texts import storable

#: a notification of a destination: node, destination, part
Part = tuple[str, str, str]
#: ``not_before`` of what a person has asked for: it is tried although the others of its notification have to wait
NOW: Final = 0


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that a notifier is to tell."""

    id: int
    forward_node: str
    destination: str
    part: str
    #: as received
    study_instance_uid: str
    attempts: int
    created_at: int
    #: a person has asked for it
    asked: bool
    #: JSON of a :class:`karnak_core.summary.StudySummary`, and what comparing needs
    summary: Mapping[str, Any]

    @property
    def of(self) -> Part:
        """The notification of the destination that it is for."""
        return self.forward_node, self.destination, self.part


def claim(
    connection: sa.Connection,
    owner: str,
    limit: int,
    without: Collection[Part] = (),
    busy: Collection[Part] = (),
) -> list[Notice]:
    """Lease what is due, the oldest first; of a study only the newest is told.

    It replaces what waits or has failed beside it: nobody has seen that, and it has all of it. A study that somebody
    else is at is left alone.

    Parameters
    ----------
    without
        Notifications that are not to be tried now, but for what a person has asked for.
    busy
        Those of which nothing at all is to be tried.
    """
    keys = [
        notification.c.forward_node,
        notification.c.destination,
        notification.c.part,
        notification.c.study_instance_uid,
    ]
    waiting = sa.and_(notification.c.not_before.is_not(None), notification.c.state == State.PENDING.value)
    other = notification.alias("other")
    under_way = sa.exists().where(
        *(other.c[key.name] == key for key in keys),
        other.c.not_before.is_not(None),
        other.c.state == State.LEASED.value,
    )
    first = sa.select(notification.c.id, *keys).where(waiting, notification.c.not_before <= now_ms(), ~under_way)
    for part in {*without, *busy}:
        # spelled out, as SQLite has no tuples on the right
        of_it = sa.and_(*(column == value for column, value in zip(keys[:3], part, strict=True)))
        first = first.where(~of_it if part in busy else sa.or_(~of_it, notification.c.not_before == NOW))
    due = connection.execute(
        first.order_by(notification.c.not_before, notification.c.id).limit(limit).with_for_update(skip_locked=True)
    ).all()
    claimed = []
    for key in sorted({tuple(row[1:]) for row in due}):
        rows = _all_of_a_study(connection, [column == value for column, value in zip(keys, key, strict=True)])
        if not any(row.state == State.PENDING.value for row in rows):
            continue
        summary = _together([row.summary for row in rows])
        older = [row.id for row in rows[:-1]]
        if older:
            connection.execute(
                _of(older).values(
                    state=State.DISCARDED,
                    reason="replaced by a newer one",
                    not_before=None,
                    finished_at=now_ms(),
                )
            )
        newest = rows[-1]
        connection.execute(
            _of([newest.id]).values(state=State.LEASED, lease_owner=owner, summary=summary)
            if older
            else _of([newest.id]).values(state=State.LEASED, lease_owner=owner)
        )
        claimed.append(
            Notice(
                id=newest.id,
                forward_node=newest.forward_node,
                destination=newest.destination,
                part=newest.part,
                study_instance_uid=newest.study_instance_uid,
                attempts=newest.attempts,
                created_at=newest.created_at,
                asked=any(row.not_before == NOW for row in rows),
                summary=summary,
            )
        )
    return sorted(claimed, key=lambda one: one.id)


def _all_of_a_study(connection: sa.Connection, of_it: Sequence[sa.ColumnElement[bool]]) -> list[Any]:
    """Lock and return what waits or has failed of a study; nothing, where somebody else is at some of it."""
    is_open = notification.c.not_before.is_not(None)
    rows = connection.execute(
        sa.select(notification)
        .where(is_open, *of_it, notification.c.state.in_((State.PENDING.value, State.FAILED.value)))
        .order_by(notification.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    every = set(connection.execute(sa.select(notification.c.id).where(is_open, *of_it)).scalars())
    return list(rows) if every == {row.id for row in rows} else []


#: keys beside those of the summary: whether a failure had been told before, and whether all is well now
AFTER_FAILURE, ALL_WELL = "after_failure", "all_well"
#: a key of the summary: what its notifier has left for the next attempt
REMEMBERED: Final = "remembered"


def _together(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the newest of several, as if those before had never been made: nobody has seen them."""
    oldest, newest = summaries[0], dict(summaries[-1])
    if len(summaries) > 1:
        newest["number"] = oldest["number"]
        newest[AFTER_FAILURE] = bool(oldest.get(AFTER_FAILURE))
        newest["recovered"] = newest[AFTER_FAILURE] and bool(newest.get(ALL_WELL))
        newest[REMEMBERED] = next((one[REMEMBERED] for one in reversed(summaries) if one.get(REMEMBERED)), {})
    return newest


def sent(connection: sa.Connection, notice: Notice, owner: str, to: str) -> None:
    """Store that it was told, and to whom."""
    _settle(connection, notice, owner, state=State.SENT, reason=to, attempted=1)


def failed(connection: sa.Connection, notice: Notice, owner: str, reason: str) -> None:
    """Store that it could not be told; it is kept for a person to decide."""
    _settle(connection, notice, owner, state=State.FAILED, reason=reason, attempted=1, not_before=now_ms())


def again(
    connection: sa.Connection,
    notice: Notice,
    owner: str,
    reason: str,
    not_before: int,
    remember: Mapping[str, Any] | None = None,
) -> None:
    """Try again later; ``remember``: what its notifier is given then, None: what it was given this time."""
    if remember is not None:
        left = {**notice.summary, REMEMBERED: dict(remember)}
        connection.execute(_of([notice.id]).where(notification.c.lease_owner == owner).values(summary=left))
    _settle(connection, notice, owner, state=State.PENDING, reason=reason, attempted=1, not_before=not_before)


def give_back(connection: sa.Connection, notices: Sequence[Notice], owner: str, not_before: int | None = None) -> None:
    """Give back what was not tried; ``not_before``: it is not to be tried before then, ms."""
    if notices:
        later = {} if not_before is None else {"not_before": not_before}
        connection.execute(
            _of([one.id for one in notices])
            .where(notification.c.lease_owner == owner)
            .values(state=State.PENDING, lease_owner=None, **later)
        )


def release_lost(connection: sa.Connection, owner: str, under_way: Collection[int] = ()) -> int:
    """Make pending again what processes had that are no more, and what this owner could not settle; return how many.

    Parameters
    ----------
    under_way
        What the owner is telling; it is left alone.
    """
    released = connection.execute(
        sa.update(notification)
        .where(notification.c.not_before.is_not(None), _lost(owner, under_way))
        .values(state=State.PENDING, lease_owner=None)
    )
    return released.rowcount


def anything_due(connection: sa.Connection, owner: str, under_way: Collection[int] = ()) -> bool:
    """Say whether something is to be told now, or is to be released."""
    due = sa.and_(notification.c.state == State.PENDING.value, notification.c.not_before <= now_ms())
    # one after the other, each by the index: there may be many that are neither
    return any(
        connection.execute(
            sa.select(notification.c.id).where(notification.c.not_before.is_not(None), wanted).limit(1)
        ).first()
        for wanted in (due, _lost(owner, under_way))
    )


def _lost(owner: str, under_way: Collection[int]) -> sa.ColumnElement[bool]:
    ours = sa.and_(notification.c.lease_owner == owner, notification.c.id.not_in(list(under_way)))
    return sa.and_(
        notification.c.state == State.LEASED.value,
        sa.or_(ours, notification.c.lease_owner.not_in(sa.select(process.c.owner))),
    )


def waiting_parts(connection: sa.Connection) -> list[Part]:
    """Return every notification of a destination that something waits for."""
    columns = (notification.c.forward_node, notification.c.destination, notification.c.part)
    rows = connection.execute(sa.select(*columns).where(notification.c.not_before.is_not(None)).distinct())
    return [(row.forward_node, row.destination, row.part) for row in rows]


def due_at_last(connection: sa.Connection, part: Part, latest: int) -> int:
    """Have tried now what would not be before this, ms, which no pause can reach: the clock was put back."""
    node, destination, name = part
    return connection.execute(
        sa.update(notification)
        .where(
            notification.c.state == State.PENDING.value,
            notification.c.not_before.is_not(None),
            notification.c.not_before > latest,
            notification.c.forward_node == node,
            notification.c.destination == destination,
            notification.c.part == name,
        )
        .values(not_before=now_ms())
    ).rowcount


def rename(connection: sa.Connection, part: Part, new: str) -> None:
    """Have what waits told by another notification of the destination."""
    connection.execute(_waiting_of(part).values(part=new))


def drop(connection: sa.Connection, part: Part) -> int:
    """Give up what waits for a notification that is no more; return how many."""
    return connection.execute(
        _waiting_of(part).values(
            state=State.DISCARDED,
            reason="the notification was removed from the configuration",
            not_before=None,
            finished_at=now_ms(),
        )
    ).rowcount


def _waiting_of(part: Part) -> sa.Update:
    node, destination, name = part
    return sa.update(notification).where(
        notification.c.not_before.is_not(None),
        notification.c.state.in_((State.PENDING.value, State.FAILED.value)),
        notification.c.forward_node == node,
        notification.c.destination == destination,
        notification.c.part == name,
    )


def _settle(
    connection: sa.Connection,
    notice: Notice,
    owner: str,
    *,
    state: State,
    reason: str,
    attempted: int,
    not_before: int | None = None,
) -> None:
    # a lease that was lost meanwhile is left as it is
    connection.execute(
        _of([notice.id])
        .where(notification.c.lease_owner == owner)
        .values(
            state=state,
            reason=storable(reason),
            attempts=notification.c.attempts + attempted,
            not_before=not_before,
            lease_owner=None,
            finished_at=None if state is State.PENDING else now_ms(),
        )
    )


def _of(ids: Sequence[int]) -> sa.Update:
    return sa.update(notification).where(notification.c.id.in_(ids))
