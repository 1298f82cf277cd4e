"""What is stuck, in the ledger: reasons of failures, and what follows deliveries and does not get done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from karnak_core.database.tables import delivery, follow_up, notification, process
from karnak_core.model import State, now_ms
from karnak_core.spool.processes import LEASE_MS

#: reasons that are told of each destination, the most frequent ones
MOST_REASONS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Open:
    """What is open of one follow-up or notification of a destination."""

    forward_node: str
    destination: str
    part: str
    pending: int
    failed: int
    #: of one of them; a failed one, if there is any
    reason: str
    #: ms; when the oldest of them came to be
    oldest_at: int


@dataclass(frozen=True, kw_only=True)
class LiveProcess:
    """A process that was seen not long ago."""

    role: str
    node: str
    pid: int
    #: ms
    seen_at: int


def failed_reasons(connection: sa.Connection) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Return why deliveries failed, of each destination the most frequent reasons with their numbers."""
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for row in connection.execute(_FAILED):
        some = found.setdefault((row.forward_node, row.destination), [])
        if len(some) < MOST_REASONS:
            some.append((row.reason, row.deliveries))
    return found


def open_follow_ups(connection: sa.Connection) -> list[Open]:
    """Return what is to be done after deliveries."""
    return _open(connection, follow_up)


def open_notifications(connection: sa.Connection) -> list[Open]:
    """Return what people are to be told."""
    return _open(connection, notification)


def live_processes(connection: sa.Connection) -> Sequence[LiveProcess]:
    """Return the processes of every gateway on this ledger that have been seen lately."""
    rows = connection.execute(
        sa.select(process).where(process.c.seen_at >= now_ms() - LEASE_MS).order_by(process.c.node, process.c.role)
    )
    return [LiveProcess(role=row.role, node=row.node, pid=row.pid, seen_at=row.seen_at) for row in rows]


def _open(connection: sa.Connection, table: sa.Table) -> list[Open]:
    keys = (table.c.forward_node, table.c.destination, table.c.part)
    failed = table.c.state == State.FAILED.value
    rows = connection.execute(
        sa.select(
            *keys,
            sa.func.sum(sa.case((failed, 0), else_=1)).label("pending"),
            sa.func.sum(sa.case((failed, 1), else_=0)).label("failed"),
            sa.func.max(sa.case((failed, table.c.reason), else_="")).label("failed_reason"),
            sa.func.max(table.c.reason).label("any_reason"),
            sa.func.min(table.c.created_at).label("oldest"),
        )
        .where(table.c.not_before.is_not(None))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [
        Open(
            forward_node=row.forward_node,
            destination=row.destination,
            part=row.part,
            pending=int(row.pending),
            failed=int(row.failed),
            reason=row.failed_reason or row.any_reason,
            oldest_at=row.oldest,
        )
        for row in rows
    ]


_FAILED = (
    sa.select(
        delivery.c.forward_node,
        delivery.c.destination,
        delivery.c.reason,
        sa.func.count().label("deliveries"),
    )
    .where(delivery.c.not_before.is_not(None), delivery.c.state == State.FAILED.value)
    .group_by(delivery.c.forward_node, delivery.c.destination, delivery.c.reason)
    .order_by(sa.func.count().desc(), delivery.c.reason)
)
