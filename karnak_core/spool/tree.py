"""The top of what people see of the ledger, fast however long that is: counts by destination, and the latest studies.

:mod:`karnak_core.spool.aggregates` adds everything up; here only as much is visited as a page shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool.views import Filter, matching, narrowed

#: deliveries looked at in one step
STEP: Final = 2000
#: deliveries named by their numbers in one statement
MOST_RESOLVED: Final = 5000

#: a study at a destination: Study Instance UID as received, forward node, destination
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page of studies begins: after those with failures down to a delivery, or after all down to one."""

    #: true: of those with failures
    failed: bool
    #: only studies whose newest delivery has a smaller number
    before: int


@dataclass(frozen=True, kw_only=True)
class Latest:
    """Some of the studies."""

    keys: Sequence[Key]
    #: where the next page begins; None: there is none
    next: Place | None


def resolved(connection: sa.Connection, chosen: Filter) -> Filter:
    """Return a filter for the same deliveries that costs little to ask several times, if they are not too many.

    What is searched for in every row, such as a text, is then searched for once. For one transaction only.
    """
    costly = (
        chosen.study_instance_uid,
        chosen.series_instance_uid,
        chosen.sop_instance_uid,
        chosen.patient_id,
        chosen.text,
    )
    if not any(costly):
        return chosen
    ids = connection.execute(matching(_select(delivery.c.id), chosen).limit(MOST_RESOLVED + 1)).scalars().all()
    if len(ids) > MOST_RESOLVED:
        return chosen
    # an empty one would not narrow; no row has the number 0
    return Filter(ids=ids or (0,))


def by_state(connection: sa.Connection, chosen: Filter) -> dict[tuple[str, str], Mapping[State, int]]:
    """Return the numbers of deliveries by destination and state; what a worker has is waiting."""
    columns = (delivery.c.forward_node, delivery.c.destination, delivery.c.state)
    # every delivery is visited, its instance only where something in it is asked for
    narrow = matching if chosen.patient_id or chosen.text else narrowed
    rows = connection.execute(narrow(_select(*columns, sa.func.count().label("deliveries")), chosen).group_by(*columns))
    found: dict[tuple[str, str], dict[State, int]] = {}
    for row in rows:
        state = State.PENDING if row.state == State.LEASED else State(row.state)
        counts = found.setdefault((row.forward_node, row.destination), {})
        counts[state] = counts.get(state, 0) + row.deliveries
    return dict(sorted(found.items(), key=lambda one: (not one[1].get(State.FAILED), one[0])))


def latest(connection: sa.Connection, chosen: Filter, *, limit: int, after: Place | None = None) -> Latest:
    """Return studies: first those with failures, then the others, each time what was received last first."""
    failing = _failing(connection, chosen)
    found: list[tuple[int, Key]] = []
    if after is None or after.failed:
        found = [(newest, key) for key, newest in failing.items() if after is None or newest < after.before]
        found.sort(key=lambda one: -one[0])
    with_failures = len(found)
    if with_failures <= limit:
        start = after.before if after and not after.failed else None
        for newest, key in _distinct(connection, chosen, start):
            if key not in failing:
                found.append((newest, key))
            if len(found) > limit:
                break
    keys = [key for _, key in found[:limit]]
    if len(found) <= limit:
        return Latest(keys=keys, next=None)
    if with_failures == limit:
        # the next page has the first without
        return Latest(keys=keys, next=Place(failed=False, before=found[limit][0] + 1))
    return Latest(keys=keys, next=Place(failed=limit < with_failures, before=found[limit - 1][0]))


def _failing(connection: sa.Connection, chosen: Filter) -> dict[Key, int]:
    if chosen.states and State.FAILED not in chosen.states:
        return {}
    newest = sa.func.max(delivery.c.id).label("newest")
    rows = connection.execute(matching(_select(*_KEY, newest), replace(chosen, states=(State.FAILED,))).group_by(*_KEY))
    return {_key(row): row.newest for row in rows}


def _distinct(connection: sa.Connection, chosen: Filter, before: int | None) -> Iterator[tuple[int, Key]]:
    """Yield studies, each with the number of its newest delivery, if that is smaller than ``before``; newest first."""
    seen: set[Key] = set()
    statement = matching(_select(delivery.c.id, *_KEY), chosen).order_by(delivery.c.id.desc()).limit(STEP)
    last = before
    while True:
        rows = connection.execute(statement if last is None else statement.where(delivery.c.id < last)).all()
        for row in rows:
            key = _key(row)
            if key not in seen:
                seen.add(key)
                if before is None or not _goes_on(connection, chosen, key, before):
                    yield row.id, key
        if len(rows) < STEP:
            return
        last = rows[-1].id


def _goes_on(connection: sa.Connection, chosen: Filter, key: Key, number: int) -> bool:
    """Say whether a study has a delivery of this number or a later one: an earlier page has it."""
    of_it = (column == value for column, value in zip(_KEY, key, strict=True))
    statement = matching(_select(delivery.c.id), chosen).where(*of_it, delivery.c.id >= number).limit(1)
    return connection.execute(statement).first() is not None


def _key(row: Any) -> Key:
    return row.study_instance_uid, row.forward_node, row.destination


def _select(*columns: Any) -> sa.Select[Any]:
    # pyright counts columns otherwise
    return cast("sa.Select[Any]", sa.select(*columns))


_KEY: Final = (instance.c.study_instance_uid, delivery.c.forward_node, delivery.c.destination)
