"""What follows an outcome, stored with it: things to be done once, and studies that people are to be told about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from karnak_core.database.tables import delivery, follow_up, instance, study_watch
from karnak_core.model import Delivery, Outcome, State, now_ms

#: ms that a time may be ahead of the clock; where it is more, the clock was put back
AHEAD: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """A notification of a destination."""

    part: str
    #: ms without news until a study is told about
    interval: int


def store_due(connection: sa.Connection, settled: Sequence[tuple[Delivery, Outcome]], version: int = 0) -> list[int]:
    """Store what is to be done after these were sent; what was stored for its subject before is left as it is.

    What is still to be done is, from then on, for the instance that newer settings brought in: the one before may not
    meet them. Return the instances that are no longer needed for it.

    Parameters
    ----------
    version
        Of the configuration by which these were delivered.
    """
    now = now_ms()
    due: dict[tuple[str, ...], dict[str, Any]] = {}
    for item, outcome in settled:
        for one in outcome.due:
            # the first of several with one subject
            due.setdefault(
                (item.instance.forward_node, item.destination, one.part, one.subject),
                {
                    "instance_id": item.instance.id,
                    "delivery_id": item.id,
                    "forward_node": item.instance.forward_node,
                    "destination": item.destination,
                    "part": one.part,
                    "subject": one.subject,
                    "state": State.FAILED.value if one.problem else State.PENDING.value,
                    "reason": one.problem,
                    "not_before": now,
                    "created_at": now,
                    "finished_at": now if one.problem else None,
                    "sent": _sent(outcome),
                    "version": version,
                },
            )
    replaced: list[int] = []
    # always in the same order: two transactions never wait for one another
    rows = [due[key] for key in sorted(due)]
    while rows:
        connection.execute(_store(connection.dialect.name), rows)
        rows = _take_over(connection, rows, version, replaced) if version else []
    return replaced


def _take_over(
    connection: sa.Connection, rows: Sequence[dict[str, Any]], version: int, replaced: list[int]
) -> list[dict[str, Any]]:
    """Put these in the place of what older settings brought in and is still to be done.

    Add to ``replaced`` whose place was taken; return those that are to be stored anew: what was there is forgotten.
    """
    gone = []
    older: dict[int, dict[str, Any]] = {}
    for row in rows:
        found = connection.execute(_FIND, {name: row[name] for name in _KEY}).first()
        if found is None:
            gone.append(row)
        elif found.not_before is not None and found.version < version:
            older[found.id] = row
    if older:
        locked = {one.id: one for one in connection.execute(_LOCK, {"ids": list(older)})}
        for number, row in older.items():
            found = locked.get(number)
            if found is None:
                gone.append(row)
            elif found.not_before is not None and found.version < version:
                values = {name: row[name] for name in ("instance_id", "delivery_id", "sent", "version")}
                connection.execute(sa.update(follow_up).where(follow_up.c.id == number).values(values))
                replaced.append(found.instance_id)
    return gone


def watch(connection: sa.Connection, settled: Sequence[tuple[Delivery, Outcome]], watchers: Sequence[Watcher]) -> None:
    """Note that something became of studies, so that people are told when nothing more comes for a while."""
    studies = {
        (item.instance.forward_node, item.destination, item.instance.study_instance_uid)
        for item, outcome in settled
        # who was not tried is no news
        if outcome.counts or outcome.reason
    }
    watch_studies(connection, studies, watchers)


def watch_studies(
    connection: sa.Connection,
    studies: Iterable[tuple[str, str, str]],
    watchers: Sequence[Watcher],
    since: int | None = None,
) -> None:
    """Have a look at studies, each of a node and a destination, when nothing more comes for a while.

    Parameters
    ----------
    since
        When what is to be told came to pass, ms; None: now.
    """
    now = now_ms()
    rows = [
        {
            "forward_node": node,
            "destination": destination,
            "part": watcher.part,
            "study_instance_uid": study,
            "due_at": now + watcher.interval,
            "since": now if since is None else since,
            "changed_at": now,
        }
        for node, destination, study in sorted(studies)
        for watcher in sorted(watchers, key=lambda one: one.part)
    ]
    if rows:
        connection.execute(_watch(connection.dialect.name), rows)


def _sent(outcome: Outcome) -> dict[str, Any]:
    outgoing = outcome.outgoing
    assert outgoing is not None, "only what was sent has something due"
    return {
        "sop_class_uid": outgoing.sop_class_uid,
        "sop_instance_uid": outgoing.sop_instance_uid,
        "study_instance_uid": outgoing.study_instance_uid,
        "series_instance_uid": outgoing.series_instance_uid,
        "transfer_syntax_uid": outgoing.transfer_syntax_uid,
        "facts": None if outgoing.facts is None else dict(outgoing.facts),
    }


_KEY = ("forward_node", "destination", "part", "subject")

_COLUMNS = (follow_up.c.id, follow_up.c.instance_id, follow_up.c.not_before, follow_up.c.version)

_FIND = sa.select(*_COLUMNS).where(*(follow_up.c[name] == sa.bindparam(name) for name in _KEY))

_LOCK = (
    sa.select(*_COLUMNS)
    .where(follow_up.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(follow_up.c.id)
    .with_for_update()
)


@cache
def _store(dialect_name: str) -> Any:
    statement: Any = (sqlite if dialect_name == "sqlite" else postgresql).insert(follow_up)
    return statement.on_conflict_do_nothing(index_elements=["forward_node", "destination", "part", "subject"])


def touch(connection: sa.Connection, deliveries: Sequence[int]) -> None:
    """Have another look at the studies of these deliveries, which people decided about, where one was taken before."""
    ids = sorted(set(deliveries))
    if not ids:
        return
    studies = (
        sa.select(delivery.c.forward_node, delivery.c.destination, instance.c.study_instance_uid)
        .join(instance, instance.c.id == delivery.c.instance_id)
        .where(delivery.c.id.in_(ids))
        .distinct()
    )
    now = now_ms()
    rows = [
        {"node": node, "to": destination, "study": study, "now": now}
        for node, destination, study in sorted(tuple(row) for row in connection.execute(studies))
    ]
    if rows:
        connection.execute(_touch(), rows)


@cache
def _touch() -> sa.Update:
    now = sa.bindparam("now", type_=sa.BigInteger)
    return (
        sa.update(study_watch)
        .where(
            study_watch.c.forward_node == sa.bindparam("node"),
            study_watch.c.destination == sa.bindparam("to"),
            study_watch.c.study_instance_uid == sa.bindparam("study"),
        )
        .values(due_at=now, since=sa.func.coalesce(study_watch.c.since, now), changed_at=_later(now))
    )


def _later(then: Any) -> Any:
    """Another time for every change, however fast they come; but none that stays ahead when the clock was put back."""
    before = study_watch.c.changed_at
    return sa.case((before.between(then, then + AHEAD), before + 1), else_=then)


@cache
def _watch(dialect_name: str) -> Any:
    statement: Any = (sqlite if dialect_name == "sqlite" else postgresql).insert(study_watch)
    return statement.on_conflict_do_update(
        index_elements=["forward_node", "destination", "part", "study_instance_uid"],
        set_={
            "due_at": statement.excluded.due_at,
            "since": sa.func.coalesce(study_watch.c.since, statement.excluded.since),
            "changed_at": _later(statement.excluded.changed_at),
        },
    )
