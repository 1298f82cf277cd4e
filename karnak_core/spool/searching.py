"""Look through deliveries from the newest back, a stretch at a time, for as long as whoever asks can wait.

What no index finds, such as a part of a text, is looked for in every delivery. How long that takes grows with the
ledger; how long an answer takes must not. So an answer says how far back it has looked, and the next goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import sqlalchemy as sa

from karnak_core.database.tables import delivery
from karnak_core.spool.moments import first_since
from karnak_core.spool.views import Filter, deliveries, is_of_open_only, narrowed

#: deliveries looked at in one step
STEP: Final = 4000
#: deliveries that are known by their numbers, at most, and those of one statement
MOST_KNOWN: Final = 5000
CHUNK: Final = 500
#: ms by which clocks of several machines, and the order in which they write, may differ
MARGIN: Final = 600_000


class Patience:
    """How long one answer may look; at least one step is always made."""

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds

    def is_over(self) -> bool:
        """Say whether it is time to answer; never without a number of seconds."""
        return self._end is not None and self._clock() >= self._end


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where deliveries that match can be: all others need not be looked at."""

    #: in a row: from this number to that one, both included; nothing where it is larger
    first: int
    last: int
    #: and these by themselves, all smaller than ``first``, the largest first
    apart: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some deliveries that are looked at together."""

    #: the smallest number among them
    lowest: int
    within: sa.ColumnElement[bool]
    #: true: there is nothing to look at after it
    final: bool


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Some of the deliveries that match."""

    #: as :func:`karnak_core.spool.views.deliveries` gives them
    rows: Sequence[dict[str, Any]]
    #: those that follow have a smaller number than this; None: there are none
    next: int | None
    #: false: patience was over before the rows were as many as asked for
    full: bool


def newest(
    connection: sa.Connection,
    chosen: Filter,
    *,
    limit: int,
    before: int | None = None,
    patience: Patience | None = None,
) -> Listed:
    """Return deliveries, the newest first, with numbers smaller than ``before``: ``limit`` at most."""
    patience = patience or Patience()
    cheap = resolved(connection, chosen)
    rows: list[dict[str, Any]] = []
    for stretch in stretches(connection, ground(connection, cheap), before):
        asked = replace(cheap, ids=())
        rows += deliveries(connection, asked, limit=limit + 1 - len(rows), newest_first=True, within=stretch.within)
        if len(rows) > limit:
            return Listed(rows=rows[:limit], next=rows[limit - 1]["id"], full=True)
        if patience.is_over() and not stretch.final:
            return Listed(rows=rows, next=stretch.lowest, full=False)
    return Listed(rows=rows, next=None, full=True)


def resolved(connection: sa.Connection, chosen: Filter) -> Filter:
    """Return a filter for the same deliveries that names those of a study, series or instance by their numbers.

    For one transaction only. The filter itself where no UID is asked for, or has too many.
    """
    uids = (chosen.study_instance_uid, chosen.series_instance_uid, chosen.sop_instance_uid)
    if not any(uids) or chosen.ids:
        return chosen
    # a text is looked for afterwards, in these only
    by_uid = replace(chosen, text=None, patient_id=None)
    ids = connection.execute(narrowed(_ids(), by_uid).limit(MOST_KNOWN + 1)).scalars().all()
    if len(ids) > MOST_KNOWN:
        return chosen
    # an empty one would not narrow; no row has the number 0
    return Filter(ids=ids or (0,), text=chosen.text, patient_id=chosen.patient_id)


def ground(connection: sa.Connection, chosen: Filter) -> Ground:
    """Return where to look for what matches; for one transaction only."""
    if chosen.ids:
        return Ground(first=1, last=0, apart=sorted(set(chosen.ids), reverse=True))
    if is_of_open_only(chosen):
        known = _open(connection, chosen)
        if len(known) <= MOST_KNOWN:
            return Ground(first=1, last=0, apart=sorted(known, reverse=True))
    last = connection.execute(sa.select(sa.func.max(delivery.c.id))).scalar() or 0
    ends = [end for end in (chosen.until, chosen.changed_until) if end is not None]
    if ends and (beyond := _since(connection, min(ends) + MARGIN)) is not None:
        last = min(last, beyond)
    begins = [begin for begin in (chosen.since, chosen.changed_since) if begin is not None]
    if not begins:
        return Ground(first=1, last=last)
    begin = _since(connection, max(begins) - MARGIN)
    first = last + 1 if begin is None else begin
    if chosen.changed_since is None:
        return Ground(first=first, last=last)
    # received before, and ended or decided about since
    older = delivery.c.id < first
    ended = (delivery.c.finished_at.is_not(None), delivery.c.not_before.is_(None))
    known = [
        *_known(connection, older, *ended, delivery.c.finished_at >= chosen.changed_since),
        *_known(connection, older, delivery.c.not_before.is_not(None)),
    ]
    if len(known) > MOST_KNOWN:
        return Ground(first=1, last=last)
    return Ground(first=first, last=last, apart=sorted(set(known), reverse=True))


def stretches(connection: sa.Connection, where: Ground, before: int | None = None) -> Iterator[Stretch]:
    """Yield what is to be looked at, the newest first; only what has smaller numbers than ``before``."""
    apart = [number for number in where.apart if before is None or number < before]
    last = where.last if before is None else min(where.last, before - 1)
    while last >= where.first:
        # by rows, not by numbers: retention leaves long gaps
        low = connection.execute(_LOWEST, {"last": last, "others": STEP - 1}).scalar()
        lowest = max(low or 1, where.first)
        final = lowest == where.first and not apart
        yield Stretch(lowest=lowest, within=delivery.c.id.between(lowest, last), final=final)
        last = lowest - 1
    for start in range(0, len(apart), CHUNK):
        some = apart[start : start + CHUNK]
        yield Stretch(lowest=some[-1], within=delivery.c.id.in_(some), final=start + CHUNK >= len(apart))


def _open(connection: sa.Connection, chosen: Filter) -> list[int]:
    of_these = Filter(forward_node=chosen.forward_node, destination=chosen.destination, states=chosen.states)
    return list(connection.execute(narrowed(_ids(), of_these).limit(MOST_KNOWN + 1)).scalars())


def _known(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[int]:
    return list(connection.execute(_ids().where(*conditions).limit(MOST_KNOWN + 1)).scalars())


def _since(connection: sa.Connection, moment: int) -> int | None:
    return first_since(connection, delivery.c.id, delivery.c.created_at, moment)


def _ids() -> sa.Select[Any]:
    # pyright counts columns otherwise
    return cast("sa.Select[Any]", sa.select(delivery.c.id))


_LOWEST: Final = (
    sa.select(delivery.c.id)
    .where(delivery.c.id <= sa.bindparam("last"))
    .order_by(delivery.c.id.desc())
    .limit(1)
    .offset(sa.bindparam("others"))
)
