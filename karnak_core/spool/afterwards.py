"""What follows an outcome, stored with it: things to be done once, and studies that people are to be told about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from karnak_core.database.tables import delivery, follow_up, instance, study_watch
from karnak_core.model import Delivery, Outcome, State, now_ms


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """A notification of a destination."""

    part: str
    #: ms without news until a study is told about
    interval: int


def store_due(connection: sa.Connection, settled: Sequence[tuple[Delivery, Outcome]]) -> None:
    """Store what is to be done after these were sent; what was stored for its subject before is left as it is."""
    now = now_ms()
    rows = [
        {
            "instance_id": item.instance.id,
            "delivery_id": item.id,
            "forward_node": item.instance.forward_node,
            "destination": item.destination,
            "part": due.part,
            "subject": due.subject,
            "state": State.FAILED.value if due.problem else State.PENDING.value,
            "reason": due.problem,
            "not_before": now,
            "created_at": now,
            "finished_at": now if due.problem else None,
            "sent": _sent(outcome),
        }
        for item, outcome in settled
        for due in outcome.due
    ]
    if rows:
        # always in the same order: two transactions never wait for one another
        rows.sort(key=lambda row: (row["forward_node"], row["destination"], row["part"], row["subject"]))
        connection.execute(_store(connection.dialect.name), rows)


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
    for node, destination, study in sorted(tuple(row) for row in connection.execute(studies)):
        connection.execute(
            sa.update(study_watch)
            .where(
                study_watch.c.forward_node == node,
                study_watch.c.destination == destination,
                study_watch.c.study_instance_uid == study,
            )
            .values(
                due_at=now,
                since=sa.func.coalesce(study_watch.c.since, now),
                changed_at=_later(now),
            )
        )


def _later(then: Any) -> Any:
    """Another time for every change, however fast they come."""
    return sa.case((study_watch.c.changed_at >= then, study_watch.c.changed_at + 1), else_=then)


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
