"""How much came in and went out, hour by hour."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool.moments import first_since

HOUR: Final = 3600_000


@dataclass(frozen=True, kw_only=True)
class Hour:
    """What happened in one hour."""

    #: ms; when it began
    start: int
    #: instances
    received: int
    #: deliveries that ended so; those sent with duplicates
    sent: int
    excluded: int
    failed: int


class Traffic:
    """Counts hours, and remembers those that are over. For any number of threads.

    What a person retries counts where it ends, so an hour that is over may lose some; it is counted anew when it is
    ``KEPT`` old in memory.
    """

    #: ms that a count of an hour that is over is good for
    KEPT: Final = 600_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[int, tuple[int, Hour]] = {}

    def hours(self, connection: sa.Connection, now: int, count: int = 24) -> Sequence[Hour]:
        """Return the hour of ``now`` (ms) and those before it, ``count`` in all, the oldest first."""
        current = now - now % HOUR
        starts = [current - HOUR * back for back in reversed(range(count))]
        with self._lock:
            known = {
                start: hour
                for start, (at, hour) in self._counted.items()
                # what ends an hour is settled a moment later
                if start in starts and now - at < self.KEPT and at >= start + HOUR + 60_000
            }
        # in one go where nothing is known
        found = dict(known)
        for start in starts:
            if start not in found:
                found[start] = _count(connection, start)
        with self._lock:
            before = self._counted
            self._counted = {
                start: before[start] if start in known and start in before else (now, found[start]) for start in starts
            }
        return [found[start] for start in starts]


def _count(connection: sa.Connection, start: int) -> Hour:
    end = start + HOUR
    first, last = _first_received(connection, start), _first_received(connection, end)
    received = 0
    if first is not None:
        within = instance.c.id >= first if last is None else sa.and_(instance.c.id >= first, instance.c.id < last)
        received = connection.execute(sa.select(sa.func.count()).select_from(instance).where(within)).scalar_one()
    ended = {
        str(row.state): int(row.deliveries) for row in connection.execute(_ENDED, {"start": start, "end": end}).all()
    }
    failed = connection.execute(_FAILED, {"start": start, "end": end}).scalar_one()
    return Hour(
        start=start,
        received=received,
        sent=ended.get(State.SENT, 0) + ended.get(State.DUPLICATE, 0),
        excluded=ended.get(State.EXCLUDED, 0),
        failed=failed,
    )


def _first_received(connection: sa.Connection, moment: int) -> int | None:
    return first_since(connection, instance.c.id, instance.c.received_at, moment)


_ENDED: Final = (
    sa.select(delivery.c.state, sa.func.count().label("deliveries"))
    .where(
        delivery.c.finished_at.is_not(None),
        delivery.c.not_before.is_(None),
        delivery.c.finished_at >= sa.bindparam("start"),
        delivery.c.finished_at < sa.bindparam("end"),
    )
    .group_by(delivery.c.state)
)

_FAILED: Final = (
    sa.select(sa.func.count())
    .select_from(delivery)
    .where(
        delivery.c.not_before.is_not(None),
        delivery.c.state == State.FAILED.value,
        delivery.c.finished_at >= sa.bindparam("start"),
        delivery.c.finished_at < sa.bindparam("end"),
    )
)
