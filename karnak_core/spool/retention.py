"""Forget finished deliveries and what followed them after their time, and files that nothing names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.tables import delivery, follow_up, instance, notification, study_watch
from karnak_core.model import now_ms
from karnak_core.spool import history
from karnak_core.spool.files import SpoolFolder

DAY_MS = 24 * 3600 * 1000
#: rows removed in one transaction, so that nobody waits long
CHUNK = 1000


#: spelled so that the index over open ones is none for it: there may be very many, and few of one study
_IS_OPEN = sa.func.coalesce(delivery.c.not_before, -1) >= 0
_IS_TO_FOLLOW = sa.func.coalesce(follow_up.c.not_before, -1) >= 0
#: of a watched study: something of it waits or has failed, or what follows it does
_HAS_SOMETHING_OPEN = sa.or_(
    *(
        sa.exists().where(
            instance.c.study_instance_uid == study_watch.c.study_instance_uid,
            table.c.instance_id == instance.c.id,
            table.c.forward_node == study_watch.c.forward_node,
            table.c.destination == study_watch.c.destination,
            is_open,
        )
        for table, is_open in ((delivery, _IS_OPEN), (follow_up, _IS_TO_FOLLOW))
    )
)


def forget_finished(database: Database, *, days: float, at_most: int) -> int:
    """Remove final deliveries older than ``days``, and the oldest beyond ``at_most``; return how many.

    Those of a study that people are still to be told of stay for up to twice the days: what they are told adds up.
    """
    forgotten, after = 0, (-1, -1)
    with database.read() as connection:
        parts = _watching(connection)
    while True:
        now = now_ms()
        with database.write() as connection:
            cutoff = max(now - int(days * DAY_MS), _finished_at_of_rank(connection, at_most))
            rows = _finished(connection, cutoff, after)
            told = _still_told(connection, rows, parts) if days > 0 else set()
            longest = now - int(2 * days * DAY_MS)
            gone = [row for row in rows if row.finished_at < longest or _study(row) not in told]
            _forget(connection, gone)
        forgotten += len(gone)
        if len(rows) < CHUNK:
            return forgotten
        after = (rows[-1].finished_at, rows[-1].id)


def forget_afterwards(database: Database, *, days: float) -> dict[str, int]:
    """Remove what followed deliveries and is done or given up for so long; return how many rows of each kind.

    What is done is remembered for a day at least, so that it is not done again for the next instance of its subject.
    """
    cutoff = now_ms() - int(max(days, 1.0) * DAY_MS)
    # a decision about what is open is told, too
    at_rest = ~_HAS_SOMETHING_OPEN
    return {
        table.name: _forget_all(database, table, gone)
        for table, gone in (
            (follow_up, sa.and_(follow_up.c.not_before.is_(None), follow_up.c.finished_at < cutoff)),
            (notification, sa.and_(notification.c.not_before.is_(None), notification.c.finished_at < cutoff)),
            (study_watch, sa.and_(study_watch.c.due_at.is_(None), study_watch.c.changed_at < cutoff, at_rest)),
        )
    }


def _forget_all(database: Database, table: sa.Table, gone: sa.ColumnElement[bool]) -> int:
    keys = list(table.primary_key.columns)
    forgotten = 0
    while True:
        with database.write() as connection:
            some = [tuple(row) for row in connection.execute(sa.select(*keys).where(gone).limit(CHUNK))]
            for key in some:
                # what has changed meanwhile is not gone any more
                of_key = (column == value for column, value in zip(keys, key, strict=True))
                connection.execute(sa.delete(table).where(gone, *of_key))
        forgotten += len(some)
        if len(some) < CHUNK:
            return forgotten


def sweep_files(database: Database, folder: SpoolFolder) -> int:
    """Remove files that crashed writers left and the ledger does not name; return how many."""
    # writers found dead afterwards have committed all that they ever will
    dead = folder.dead_writers()
    with database.read() as connection:
        named = set(connection.execute(sa.select(instance.c.path).where(instance.c.path.is_not(None))).scalars())
    return folder.sweep(named, dead)


def _finished_at_of_rank(connection: sa.Connection, rank: int) -> int:
    """Return when the delivery after the newest ``rank`` finished ones finished, plus one; 0: there are fewer."""
    finished = connection.execute(
        sa.select(delivery.c.finished_at).where(_final()).order_by(delivery.c.finished_at.desc()).limit(1).offset(rank)
    ).scalar()
    return 0 if finished is None else finished + 1


def _final() -> sa.ColumnElement[bool]:
    """Say of a delivery what the index of finished ones does; failed ones are kept and count for nothing here."""
    return sa.and_(delivery.c.finished_at.is_not(None), delivery.c.not_before.is_(None))


def _finished(connection: sa.Connection, cutoff: int, after: tuple[int, int]) -> list[Any]:
    """Return the next deliveries that finished before the cutoff, by when they did and by number."""
    finished_at, number = after
    rows = connection.execute(
        sa.select(
            delivery.c.id,
            delivery.c.instance_id,
            delivery.c.finished_at,
            delivery.c.forward_node,
            delivery.c.destination,
            instance.c.study_instance_uid,
        )
        .join(instance, instance.c.id == delivery.c.instance_id)
        .where(
            _final(),
            delivery.c.finished_at < cutoff,
            delivery.c.finished_at >= finished_at,
            sa.or_(delivery.c.finished_at > finished_at, delivery.c.id > number),
        )
        .order_by(delivery.c.finished_at, delivery.c.id)
        .limit(CHUNK)
    )
    return list(rows)


def _study(row: Any) -> tuple[str, str, str]:
    return row.forward_node, row.destination, row.study_instance_uid


def _watching(connection: sa.Connection) -> dict[tuple[str, str], list[str]]:
    """Return the notifications of each destination that studies are watched for."""
    columns = (study_watch.c.forward_node, study_watch.c.destination, study_watch.c.part)
    found: dict[tuple[str, str], list[str]] = {}
    for row in connection.execute(sa.select(*columns).distinct()):
        found.setdefault((row.forward_node, row.destination), []).append(row.part)
    return found


def _still_told(
    connection: sa.Connection, rows: Sequence[Any], parts: Mapping[tuple[str, str], list[str]]
) -> set[tuple[str, str, str]]:
    """Return the studies among these that are watched, and have something open or that was not told yet."""
    return {
        (node, destination, study)
        for node, destination, study in sorted({_study(row) for row in rows})
        if (every := parts.get((node, destination)))
        and connection.execute(
            _STILL_TOLD, {"node": node, "destination": destination, "study": study, "parts": every}
        ).first()
    }


_STILL_TOLD = (
    sa.select(study_watch.c.part)
    .where(
        study_watch.c.forward_node == sa.bindparam("node"),
        study_watch.c.destination == sa.bindparam("destination"),
        # all of the key, so that its index serves
        study_watch.c.part.in_(sa.bindparam("parts", expanding=True)),
        study_watch.c.study_instance_uid == sa.bindparam("study"),
        sa.or_(study_watch.c.due_at.is_not(None), _HAS_SOMETHING_OPEN),
    )
    .limit(1)
)


def _forget(connection: sa.Connection, rows: Sequence[Any]) -> None:
    if not rows:
        return
    history.forget(connection, [row.id for row in rows])
    connection.execute(sa.delete(delivery).where(delivery.c.id.in_([row.id for row in rows])))
    connection.execute(
        sa.delete(instance).where(
            instance.c.id.in_(sorted({row.instance_id for row in rows})),
            instance.c.path.is_(None),
            ~sa.exists().where(delivery.c.instance_id == instance.c.id),
        )
    )
