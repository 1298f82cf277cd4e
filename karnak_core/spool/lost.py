"""What processes that are gone had leased, made pending again; alike for deliveries and for what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from karnak_core.model import State, now_ms

#: what was under way so often when a process died is failed, and kept
MOST_CRASHES: Final = 20


def release(connection: sa.Connection, table: sa.Table, owners: Sequence[str], *, crashed: bool = False) -> int:
    """Make the rows that these owners had leased pending again; return how many.

    Parameters
    ----------
    table
        With the columns of a ledger's row: state, lease_owner, attempts, not_before, reason, finished_at.
    crashed
        The owners died by themselves, maybe of one of these rows: that counts as an attempt of each, and from the
        third on they wait longer and longer, so that the one that kills does not keep the others from their turn.
    """
    leased = sa.and_(table.c.lease_owner.in_(owners), table.c.not_before.is_not(None))
    # in the order in which settlements lock them, so that the two never wait for one another
    connection.execute(sa.select(table.c.id).where(leased).order_by(table.c.id).with_for_update()).all()
    released = connection.execute(
        sa.update(table)
        .where(leased)
        .values(**{"state": State.PENDING, "lease_owner": None, **(_counted(table) if crashed else {})})
    )
    return released.rowcount


def _counted(table: sa.Table) -> dict[str, Any]:
    beyond = table.c.attempts - 2
    seconds = sa.case((beyond <= 0, 0), else_=beyond * beyond)
    now = sa.literal(now_ms(), sa.BigInteger)
    last = table.c.attempts >= MOST_CRASHES - 1
    return {
        "attempts": table.c.attempts + 1,
        "not_before": now + 1000 * seconds,
        "reason": "the process that was at it ended unexpectedly",
        "state": sa.case((last, State.FAILED.value), else_=State.PENDING.value),
        "finished_at": sa.case((last, now), else_=sa.null()),
    }
