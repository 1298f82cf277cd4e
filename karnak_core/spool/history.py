"""What was decided about deliveries, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from karnak_core.database.tables import decision, delivery

RETRIED: Final = "retried"
DISCARDED: Final = "discarded"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Something that was decided about a delivery."""

    #: retried or discarded
    what: str
    #: why the delivery stood as it did until then
    reason: str
    decided_by: str
    #: ms since 1970
    decided_at: int


def note(connection: sa.Connection, deliveries: Sequence[int], what: str, by: str, at: int) -> None:
    """Write down a decision about these, before they are changed by it."""
    values = (sa.literal(what), delivery.c.reason, sa.literal(by), sa.literal(at, sa.BigInteger))
    before = sa.select(delivery.c.id, *values).where(delivery.c.id.in_(deliveries))
    names = ("delivery_id", "what", "reason", "decided_by", "decided_at")
    connection.execute(sa.insert(decision).from_select(list(names), before))


def of(connection: sa.Connection, deliveries: Sequence[int]) -> list[Decision]:
    """Return what was decided about these, the oldest first."""
    rows = connection.execute(sa.select(decision).where(decision.c.delivery_id.in_(deliveries)).order_by(decision.c.id))
    return [
        Decision(what=row.what, reason=row.reason, decided_by=row.decided_by, decided_at=row.decided_at) for row in rows
    ]


def forget(connection: sa.Connection, deliveries: Sequence[int]) -> None:
    """Forget what was decided about deliveries that are forgotten."""
    connection.execute(sa.delete(decision).where(decision.c.delivery_id.in_(deliveries)))
