"""Deliveries added up: destinations, their studies, the series of these, and why what was not sent was not.

Counted from the deliveries whenever somebody asks, so that nothing can drift away from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool import studies as of_study
from karnak_core.spool.views import Filter, matching

#: different reasons of a series that are told, the most frequent ones
MOST_REASONS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of deliveries; those by state add up to ``deliveries``."""

    deliveries: int = 0
    #: different SOP Instance UIDs, as received
    instances: int = 0
    #: attempts beyond the first of each delivery, and instances that were received again
    retries: int = 0
    sent: int = 0
    duplicate: int = 0
    excluded: int = 0
    failed: int = 0
    #: pending or under way
    waiting: int = 0
    discarded: int = 0
    #: ms since 1970: the first reception, and the last reception, end or decision
    first_at: int = 0
    last_at: int = 0


@dataclass(frozen=True, kw_only=True)
class DestinationTotals:
    """Everything at one destination."""

    forward_node: str
    destination: str
    studies: int
    series: int
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class NodeTotals:
    """Everything that one forward node received for all of its destinations."""

    forward_node: str
    studies: int
    series: int
    counts: Counts
    deidentified: int
    tag_morphed: int


@dataclass(frozen=True, kw_only=True)
class ReasonCount:
    """Why deliveries stand as they do."""

    state: State
    text: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series at a destination."""

    series_instance_uid: str
    #: null: nothing was sent
    sent_series_instance_uid: str | None
    counts: Counts
    sop_class_uids: Sequence[str] = ()
    #: of one of its instances; those sent are empty where nothing was sent
    facts: Mapping[str, str] = field(default_factory=dict)
    sent_facts: Mapping[str, str] = field(default_factory=dict)
    reasons: Sequence[ReasonCount] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study at a destination."""

    forward_node: str
    destination: str
    study_instance_uid: str
    sent_study_instance_uid: str | None
    counts: Counts
    series: Sequence[Series]

    @property
    def facts(self) -> Mapping[str, str]:
        """As received."""
        return self.series[0].facts

    @property
    def sent_facts(self) -> Mapping[str, str]:
        """As sent; empty: nothing was."""
        return next((one.sent_facts for one in self.series if one.sent_facts), {})


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the studies."""

    studies: Sequence[Study]
    #: how many there are on all pages
    total: int


def destinations(connection: sa.Connection, chosen: Filter) -> list[DestinationTotals]:
    """Return every destination with something to count: those with failures first, then by name."""
    inner = _by_series(chosen).subquery()
    summed = [sa.func.sum(inner.c[name]).label(name) for name in _SUMS]
    rows = connection.execute(
        sa.select(
            inner.c.forward_node,
            inner.c.destination,
            sa.func.count(inner.c.study_instance_uid.distinct()).label("studies"),
            sa.func.count().label("series"),
            *summed,
            sa.func.min(inner.c.first_at).label("first_at"),
            sa.func.max(inner.c.last_at).label("last_at"),
        ).group_by(inner.c.forward_node, inner.c.destination)
    )
    found = [
        DestinationTotals(
            forward_node=row.forward_node,
            destination=row.destination,
            studies=row.studies,
            series=row.series,
            counts=_counts(row._mapping),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.counts.failed == 0, one.forward_node, one.destination))


def nodes(
    totals: Sequence[DestinationTotals],
    *,
    deidentifying: Sequence[tuple[str, str]],
    morphing: Sequence[tuple[str, str]],
) -> list[NodeTotals]:
    """Add destinations up to forward nodes, the busiest first.

    Parameters
    ----------
    deidentifying, morphing
        Node and name of the destinations that de-identify, or morph tags.
    """
    found = []
    for node in {one.forward_node for one in totals}:
        own = [one for one in totals if one.forward_node == node]

        def instances(keys: Sequence[tuple[str, str]], own: list[DestinationTotals] = own) -> int:
            return sum(one.counts.instances for one in own if (one.forward_node, one.destination) in keys)

        found.append(
            NodeTotals(
                forward_node=node,
                studies=sum(one.studies for one in own),
                series=sum(one.series for one in own),
                counts=added(one.counts for one in own),
                deidentified=instances(deidentifying),
                tag_morphed=instances(morphing),
            )
        )
    return sorted(found, key=lambda one: (-one.counts.instances, one.forward_node))


def studies(connection: sa.Connection, chosen: Filter, *, limit: int = 25, offset: int = 0) -> Page:
    """Return a page of studies with their series: those with failures first, then what changed last."""
    failed = _sum_of(State.FAILED)
    keys = (instance.c.study_instance_uid, delivery.c.forward_node, delivery.c.destination)
    rows = connection.execute(
        matching(_select(*keys, sa.func.count().over().label("total")), chosen)
        .group_by(*keys)
        .order_by(sa.case((failed > 0, 0), else_=1), sa.func.max(_CHANGED).desc(), *keys)
        .limit(limit)
        .offset(offset)
    ).all()
    if not rows:
        return Page(studies=(), total=0 if not offset else _count(connection, chosen))
    return Page(studies=with_series(connection, chosen, [tuple(row[:3]) for row in rows]), total=rows[0].total)


def series_of_all(connection: sa.Connection, chosen: Filter) -> Iterator[tuple[Study, Series]]:
    """Yield every series, each with its study, whose other series are not told; a few at a time are in memory."""
    keys = (instance.c.study_instance_uid, delivery.c.forward_node, delivery.c.destination)
    every = connection.execute(matching(_select(*keys), chosen).group_by(*keys).order_by(*keys)).all()
    for start in range(0, len(every), 50):
        for study in with_series(connection, chosen, [tuple(row) for row in every[start : start + 50]]):
            for series in study.series:
                yield study, series


def _count(connection: sa.Connection, chosen: Filter) -> int:
    keys = (instance.c.study_instance_uid, delivery.c.forward_node, delivery.c.destination)
    inner = matching(_select(*keys), chosen).group_by(*keys).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(inner)).scalar_one()


def with_series(connection: sa.Connection, chosen: Filter, wanted: Sequence[tuple[str, ...]]) -> list[Study]:
    """Return studies, by study, node and destination, with everything about their series, in the order wanted."""
    uids = sorted({study for study, _, _ in wanted})
    kept = set(wanted)
    found: dict[tuple[str, ...], list[Any]] = {key: [] for key in wanted}
    of_these = instance.c.study_instance_uid.in_(uids)
    if chosen.ids:
        # from deliveries that are named to their studies, never the other way round
        of_these = sa.func.coalesce(instance.c.study_instance_uid, "").in_(uids)
    for row in connection.execute(_by_series(chosen, of_these)):
        if (row.study_instance_uid, row.forward_node, row.destination) in kept:
            found[row.study_instance_uid, row.forward_node, row.destination].append(row)
    examples = {one for rows in found.values() for row in rows for one in (row.example, row.example_sent) if one}
    facts = of_study.facts(connection, sorted(examples))
    reasons = _reasons(connection, chosen, of_these)
    classes = _sop_classes(connection, chosen, of_these)
    made = []
    for key, rows in found.items():
        series = sorted(
            (_series(row, facts, reasons.get((*key, row.series_instance_uid), ()), classes) for row in rows), key=_order
        )
        made.append(
            Study(
                study_instance_uid=key[0],
                forward_node=key[1],
                destination=key[2],
                sent_study_instance_uid=next((row.sent_study for row in rows if row.sent_study), None),
                counts=added(one.counts for one in series),
                series=series,
            )
        )
    return made


def _series(row: Any, facts: Mapping[int, Any], reasons: Sequence[ReasonCount], classes: Mapping[Any, Any]) -> Series:
    sent = facts[row.example_sent] if row.example_sent else None
    return Series(
        series_instance_uid=row.series_instance_uid,
        sent_series_instance_uid=row.sent_series,
        counts=_counts(row._mapping),
        sop_class_uids=tuple(sorted(classes.get((row.study_instance_uid, row.series_instance_uid), ()))),
        facts=facts[row.example][0],
        # what has no facts of its own went out with those it came with
        sent_facts=(sent[1] or sent[0]) if sent else {},
        reasons=reasons,
    )


def _reasons(
    connection: sa.Connection, chosen: Filter, of_these: sa.ColumnElement[bool]
) -> dict[tuple[str, ...], list[ReasonCount]]:
    keys = (
        instance.c.study_instance_uid,
        delivery.c.forward_node,
        delivery.c.destination,
        instance.c.series_instance_uid,
    )
    counted = sa.func.count().label("deliveries")
    rows = connection.execute(
        matching(_select(*keys, delivery.c.state, delivery.c.reason, counted), chosen, of_these)
        .where(delivery.c.reason != "")
        .group_by(*keys, delivery.c.state, delivery.c.reason)
        .order_by(counted.desc(), delivery.c.reason)
    )
    found: dict[tuple[str, ...], list[ReasonCount]] = {}
    for row in rows:
        some = found.setdefault(tuple(row[:4]), [])
        if len(some) < MOST_REASONS:
            some.append(ReasonCount(state=_SHOWN[row.state], text=row.reason, count=row.deliveries))
    for some in found.values():
        some.sort(key=lambda one: _REASONS_FIRST.get(one.state, 2))
    return found


def _sop_classes(
    connection: sa.Connection, chosen: Filter, of_these: sa.ColumnElement[bool]
) -> dict[tuple[str, str], list[str]]:
    columns = (instance.c.study_instance_uid, instance.c.series_instance_uid, instance.c.sop_class_uid)
    found: dict[tuple[str, str], list[str]] = {}
    for row in connection.execute(matching(_select(*columns).distinct(), chosen, of_these)):
        found.setdefault((row.study_instance_uid, row.series_instance_uid), []).append(row.sop_class_uid)
    return found


def _order(series: Series) -> tuple[bool, int, str]:
    number = series.facts.get("SeriesNumber", "")
    return (series.counts.failed == 0, int(number) if number.isdecimal() else 1 << 31, series.series_instance_uid)


def added(several: Any) -> Counts:
    """Return the sum of counts."""
    every = list(several)
    return Counts(
        **{name: sum(getattr(one, name) for one in every) for name in ("instances", "retries", *_SUMS[1:-1])},
        first_at=min((one.first_at for one in every), default=0),
        last_at=max((one.last_at for one in every), default=0),
    )


def _counts(row: Mapping[Any, Any]) -> Counts:
    numbers = {name: int(row[name]) for name in _SUMS}
    numbers["retries"] = numbers.pop("more_attempts") + numbers["deliveries"] - numbers["instances"]
    return Counts(**numbers, first_at=row["first_at"], last_at=row["last_at"])


def _select(*columns: Any) -> sa.Select[Any]:
    # pyright counts columns otherwise
    return cast("sa.Select[Any]", sa.select(*columns))


def _sum_of(*states: State) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((delivery.c.state.in_([state.value for state in states]), 1), else_=0))


#: what is summed up, as columns are called
_SUMS: Final = (
    "instances",
    "deliveries",
    "sent",
    "duplicate",
    "excluded",
    "failed",
    "waiting",
    "discarded",
    "more_attempts",
)

#: where a delivery changed last, ms
_CHANGED: Final = sa.func.coalesce(delivery.c.finished_at, delivery.c.decided_at, delivery.c.created_at)

#: what a worker has is waiting, for people
_SHOWN: Final = {state.value: State.PENDING if state is State.LEASED else state for state in State}

_REASONS_FIRST: Final = {State.FAILED: 0, State.EXCLUDED: 1}


def _by_series(chosen: Filter, of_these: sa.ColumnElement[bool] | None = None) -> sa.Select[Any]:
    keys = (
        instance.c.study_instance_uid,
        instance.c.series_instance_uid,
        delivery.c.forward_node,
        delivery.c.destination,
    )
    return matching(
        _select(
            *keys,
            sa.func.count(instance.c.sop_instance_uid.distinct()).label("instances"),
            sa.func.count().label("deliveries"),
            _sum_of(State.SENT).label("sent"),
            _sum_of(State.DUPLICATE).label("duplicate"),
            _sum_of(State.EXCLUDED).label("excluded"),
            _sum_of(State.FAILED).label("failed"),
            _sum_of(State.PENDING, State.LEASED).label("waiting"),
            _sum_of(State.DISCARDED).label("discarded"),
            sa.func.sum(sa.case((delivery.c.attempts > 1, delivery.c.attempts - 1), else_=0)).label("more_attempts"),
            sa.func.min(delivery.c.created_at).label("first_at"),
            sa.func.max(_CHANGED).label("last_at"),
            sa.func.max(delivery.c.id).label("example"),
            sa.func.max(sa.case((delivery.c.sent_sop_instance_uid.is_not(None), delivery.c.id))).label("example_sent"),
            sa.func.max(delivery.c.sent_study_instance_uid).label("sent_study"),
            sa.func.max(delivery.c.sent_series_instance_uid).label("sent_series"),
        ),
        chosen,
        of_these,
    ).group_by(*keys)
