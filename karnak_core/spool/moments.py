"""From a moment to a number: rows are numbered as time goes on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def first_since(
    connection: sa.Connection, number: sa.Column[Any], moment_of: sa.Column[Any], moment: int
) -> int | None:
    """Return the number of the first row at or after a moment, ms; None: there is none.

    Numbers rise with time, so it is found by halving, without an index that every reception would have to pay for.
    Where several write at once it may be off by a few.
    """
    at = sa.select(moment_of).where(number >= sa.bindparam("number")).order_by(number).limit(1)
    # each by itself: asked for together, SQLite would look at every row
    high = connection.execute(sa.select(sa.func.max(number))).scalar_one()
    if high is None or connection.execute(at, {"number": high}).scalar_one() < moment:
        return None
    low = connection.execute(sa.select(sa.func.min(number))).scalar_one()
    while low < high:
        middle = (low + high) // 2
        # the next one that is there: retention leaves gaps
        if connection.execute(at, {"number": middle}).scalar_one() < moment:
            low = middle + 1
        else:
            high = middle
    return int(low)
