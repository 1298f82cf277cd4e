"""Studies that people are to be told about: those that are due, and what was told of them last."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance, notification, study_watch
from karnak_core.model import State, now_ms
from karnak_core.spool import afterwards


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A study at a destination, and one notification of it."""

    forward_node: str
    destination: str
    part: str
    #: as received
    study_instance_uid: str
    #: ms; when it is to be looked at, when the first thing came to pass that was not told, and the last
    due_at: int
    since: int
    changed_at: int
    #: what was told last; None: nothing yet
    told: Mapping[str, Any] | None
    #: when that was, ms
    told_at: int | None
    #: how often it was told
    number: int


def due(connection: sa.Connection, patience: int, long_patience: int, limit: int) -> list[Watched]:
    """Return studies to be looked at: due, or not told for long after something happened.

    Parameters
    ----------
    patience, long_patience
        ms beyond the notification's interval; the longer one where people know already that something waits.
    """
    now = now_ms()
    # exactly those, or some that are not to be told yet would keep others from their turn
    waits = sa.case((study_watch.c.told["waiting"].as_boolean(), long_patience), else_=patience)
    # what happened last has made it due an interval later
    interval = study_watch.c.due_at - study_watch.c.changed_at
    rows = connection.execute(
        sa.select(study_watch)
        .where(
            study_watch.c.due_at.is_not(None),
            sa.or_(study_watch.c.due_at <= now, study_watch.c.since + interval + waits <= now),
        )
        .order_by(study_watch.c.due_at)
        .limit(limit)
    )
    return [
        Watched(
            forward_node=row.forward_node,
            destination=row.destination,
            part=row.part,
            study_instance_uid=row.study_instance_uid,
            due_at=row.due_at,
            since=row.since if row.since is not None else row.changed_at,
            changed_at=row.changed_at,
            told=row.told,
            told_at=row.told_at,
            number=row.number,
        )
        for row in rows
    ]


def postpone(connection: sa.Connection, watched: Watched, due_at: int) -> bool:
    """Look again at another time; False, as of all that follow: something has happened meanwhile, and it stays due."""
    return bool(connection.execute(sa.update(study_watch).where(_as_seen(watched)).values(due_at=due_at)).rowcount)


def nothing_new(connection: sa.Connection, watched: Watched, again_at: int | None = None) -> bool:
    """Wait until something happens, or until this time, ms."""
    done = connection.execute(sa.update(study_watch).where(_as_seen(watched)).values(due_at=again_at, since=None))
    return bool(done.rowcount)


def forget(connection: sa.Connection, watched: Watched) -> bool:
    """Look no more."""
    return bool(connection.execute(sa.delete(study_watch).where(_as_seen(watched))).rowcount)


def tell(
    connection: sa.Connection,
    watched: Watched,
    *,
    told: Mapping[str, Any],
    summary: Mapping[str, Any],
    at: int,
    again_at: int | None = None,
) -> bool:
    """Store what people are to be told, and that they were; both, or neither. ``again_at``: look again then, ms."""
    done = connection.execute(
        sa.update(study_watch)
        .where(_as_seen(watched))
        .values(due_at=again_at, since=None, told=dict(told), told_at=at, number=watched.number + 1)
    )
    if not done.rowcount:
        return False
    connection.execute(
        sa.insert(notification).values(
            forward_node=watched.forward_node,
            destination=watched.destination,
            part=watched.part,
            study_instance_uid=watched.study_instance_uid,
            state=State.PENDING,
            not_before=at,
            created_at=at,
            summary=dict(summary),
        )
    )
    return True


def set_back(connection: sa.Connection, latest: int) -> int:
    """Have what lies later than this, ms, begin now: the clock was put back. Return how many."""
    now = now_ms()
    interval = study_watch.c.due_at - study_watch.c.changed_at
    return connection.execute(
        sa.update(study_watch)
        .where(study_watch.c.due_at.is_not(None), study_watch.c.changed_at > latest)
        .values(
            due_at=sa.case((interval > 0, now + interval), else_=now),
            since=sa.case((study_watch.c.since > now, now), else_=study_watch.c.since),
            changed_at=now,
        )
    ).rowcount


def watch_study(
    connection: sa.Connection,
    forward_node: str,
    destination: str,
    study: str,
    watchers: Sequence[afterwards.Watcher],
    since: int | None = None,
) -> None:
    """Look at a study soon, for all of these; ``since``: when something came to pass that was not told, ms."""
    afterwards.watch_studies(connection, [(forward_node, destination, study)], watchers, since)


def unwatched(
    connection: sa.Connection, forward_node: str, destination: str, parts: Collection[str], since: int, until: int
) -> list[str]:
    """Return studies with open deliveries, received before ``until``, that nobody has looked at since.

    Those that failed were received after ``since``, ms, too: who is told from now on is not told of old failures.
    What was never tried, as the destination is held or paused, has no outcome that anybody would be told of.
    """
    statement = (
        sa.select(instance.c.study_instance_uid)
        .join(delivery, delivery.c.instance_id == instance.c.id)
        .where(
            delivery.c.forward_node == forward_node,
            delivery.c.destination == destination,
            delivery.c.not_before.is_not(None),
            sa.or_(delivery.c.state != State.FAILED.value, delivery.c.created_at >= since),
            delivery.c.created_at < until,
            ~sa.exists().where(
                study_watch.c.forward_node == forward_node,
                study_watch.c.destination == destination,
                study_watch.c.part.in_(parts),
                study_watch.c.study_instance_uid == instance.c.study_instance_uid,
                sa.or_(
                    study_watch.c.due_at.is_not(None),
                    study_watch.c.changed_at >= delivery.c.created_at,
                    study_watch.c.told_at >= delivery.c.created_at,
                ),
            ),
        )
        .distinct()
    )
    return list(connection.execute(statement).scalars())


def _as_seen(watched: Watched) -> sa.ColumnElement[bool]:
    """Hold nothing while the deliveries are counted: who has changed it meanwhile wins."""
    return sa.and_(
        study_watch.c.forward_node == watched.forward_node,
        study_watch.c.destination == watched.destination,
        study_watch.c.part == watched.part,
        study_watch.c.study_instance_uid == watched.study_instance_uid,
        study_watch.c.due_at == watched.due_at,
        study_watch.c.changed_at == watched.changed_at,
        study_watch.c.number == watched.number,
    )
