"""The top of what people see of the ledger, fast however long that is: counts by destination, and the latest studies.

:mod:`karnak_core.spool.aggregates` adds everything up; here only as much is visited as a page shows, and only for as
long as somebody waits (:mod:`karnak_core.spool.searching`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool.searching import CHUNK, Patience, Stretch, ground, stretches
from karnak_core.spool.views import Filter, matching, narrowed

#: failed deliveries whose studies come first, the newest ones
MOST_FAILED: Final = 10_000
#: instances of the studies of one page, at most, and where a text is looked for in each; one study may have more
MOST_INSTANCES: Final = 8000
MOST_SEARCHED: Final = 2000

#: a study at a destination: Study Instance UID as received, forward node, destination
Key = tuple[str, str, str]
#: by node and destination
Counts = Mapping[tuple[str, str], Mapping[State, int]]


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
    #: ms; not null: patience was over before the page was full, and what was received before this was not looked at
    looked_back_to: int | None = None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Numbers of deliveries, or of the first of them."""

    counts: Counts
    #: only those with smaller numbers than this are not counted yet; None: all are
    before: int | None


def by_state(
    connection: sa.Connection,
    chosen: Filter,
    *,
    begun: Counted | None = None,
    patience: Patience | None = None,
) -> Counted:
    """Return the numbers of deliveries by destination and state; what a worker has is waiting.

    Parameters
    ----------
    begun
        What was counted before patience was over.
    """
    patience = patience or Patience()
    columns = (delivery.c.forward_node, delivery.c.destination, delivery.c.state)
    count = _select(*columns, sa.func.count().label("deliveries"))
    found = {key: dict(counts) for key, counts in begun.counts.items()} if begun else {}
    each = replace(chosen, ids=())
    # every delivery is visited, its instance only where something in it is asked for
    of_instance = any((each.patient_id, each.text, each.study_instance_uid, each.series_instance_uid))
    alone = not (of_instance or each.sop_instance_uid)
    for stretch in stretches(connection, ground(connection, chosen), begun.before if begun else None):
        some = narrowed(count, each).where(stretch.within) if alone else matching(count, each, stretch.within)
        for row in connection.execute(some.group_by(*columns)):
            state = State.PENDING if row.state == State.LEASED else State(row.state)
            counts = found.setdefault((row.forward_node, row.destination), {})
            counts[state] = counts.get(state, 0) + row.deliveries
        if patience.is_over() and not stretch.final:
            return Counted(counts=_sorted(found), before=stretch.lowest)
    return Counted(counts=_sorted(found), before=None)


def _sorted(found: Counts) -> Counts:
    ordered = sorted(found.items(), key=lambda one: (not one[1].get(State.FAILED), one[0]))
    return {key: {state: counts[state] for state in State if state in counts} for key, counts in ordered}


def latest(
    connection: sa.Connection,
    chosen: Filter,
    *,
    limit: int,
    after: Place | None = None,
    patience: Patience | None = None,
) -> Latest:
    """Return studies: first those with failures, then the others, each time what was received last first."""
    failing = _failing(connection, chosen)
    found: list[tuple[int, Key]] = []
    if after is None or after.failed:
        found = [(newest, key) for key, newest in failing.items() if after is None or newest < after.before]
        found.sort(key=lambda one: -one[0])
    with_failures = len(found)
    looked: Stretch | None = None
    if with_failures <= limit:
        start = after.before if after and not after.failed else None
        for one in _distinct(connection, chosen, start, patience or Patience()):
            if isinstance(one, Stretch):
                looked = one
                break
            if one[1] not in failing:
                found.append(one)
            if len(found) > limit:
                break
    most = MOST_SEARCHED if chosen.text or chosen.patient_id else MOST_INSTANCES
    fitting = _fitting(connection, [key for _, key in found[:limit]], most)
    keys = [key for _, key in found[:fitting]]
    if len(found) > fitting:
        if with_failures == fitting:
            # the next page has the first without
            return Latest(keys=keys, next=Place(failed=False, before=found[fitting][0] + 1))
        return Latest(keys=keys, next=Place(failed=fitting < with_failures, before=found[fitting - 1][0]))
    if looked is None:
        return Latest(keys=keys, next=None)
    at = connection.execute(_RECEIVED_AT, {"number": looked.lowest}).scalar_one()
    return Latest(keys=keys, next=Place(failed=False, before=looked.lowest), looked_back_to=at)


def within(connection: sa.Connection, chosen: Filter, keys: Sequence[Key]) -> Filter:
    """Return a filter for the same deliveries of these studies, which names them where they are few."""
    if not (chosen.text or chosen.patient_id) or not keys:
        return chosen
    of_these = instance.c.study_instance_uid.in_(sorted({study for study, _, _ in keys}))
    found = matching(_select(delivery.c.id), chosen, of_these).limit(CHUNK + 1)
    ids = connection.execute(found).scalars().all()
    # to name very many takes longer than to look for the text again
    return chosen if len(ids) > CHUNK else Filter(ids=ids or (0,))


def _fitting(connection: sa.Connection, keys: Sequence[Key], most: int) -> int:
    """Return how many of these studies are not too large for one page together; the first always is one."""
    uids = sorted({study for study, _, _ in keys})
    sizes = {row.study_instance_uid: row.instances for row in connection.execute(_SIZES, {"studies": uids})}
    instances = 0
    for count, (study, _, _) in enumerate(keys):
        instances += sizes.pop(study, 0)
        if instances > most and count:
            return count
    return len(keys)


def _failing(connection: sa.Connection, chosen: Filter) -> dict[Key, int]:
    if chosen.states and State.FAILED not in chosen.states:
        return {}
    open_ones = replace(chosen, states=(State.FAILED,), text=None, patient_id=None)
    some = narrowed(_select(delivery.c.id), open_ones).order_by(delivery.c.id.desc()).limit(MOST_FAILED).subquery()
    newest = sa.func.max(delivery.c.id).label("newest")
    asked = Filter(text=chosen.text, patient_id=chosen.patient_id)
    rows = connection.execute(
        matching(_select(*_KEY, newest), asked, delivery.c.id.in_(sa.select(some.c.id))).group_by(*_KEY)
    )
    return {_key(row): row.newest for row in rows}


def _distinct(
    connection: sa.Connection, chosen: Filter, before: int | None, patience: Patience
) -> Iterator[tuple[int, Key] | Stretch]:
    """Yield studies, each with the number of its newest delivery, if that is smaller than ``before``; newest first.

    When patience is over, the last stretch that was looked at ends it.
    """
    seen: set[Key] = set()
    newest = sa.func.max(delivery.c.id).label("newest")
    each = replace(chosen, ids=())
    for stretch in stretches(connection, ground(connection, chosen), before):
        rows = matching(_select(*_KEY, newest), each, stretch.within).group_by(*_KEY).order_by(newest.desc())
        for row in connection.execute(rows).all():
            key = _key(row)
            if key not in seen:
                seen.add(key)
                if before is None or not _goes_on(connection, chosen, key, before):
                    yield row.newest, key
        if patience.is_over() and not stretch.final:
            yield stretch
            return


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

_RECEIVED_AT: Final = (
    sa.select(delivery.c.created_at).where(delivery.c.id >= sa.bindparam("number")).order_by(delivery.c.id).limit(1)
)

_SIZES: Final = (
    sa.select(instance.c.study_instance_uid, sa.func.count().label("instances"))
    .where(instance.c.study_instance_uid.in_(sa.bindparam("studies", expanding=True)))
    .group_by(instance.c.study_instance_uid)
)
