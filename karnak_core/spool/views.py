"""What people and programs see of the ledger: deliveries by filter, and the numbers of ``status``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from karnak_core.database.tables import delivery, destination_health, instance
from karnak_core.model import Health, State, now_ms
from karnak_core.spool import tallies

S = TypeVar("S", bound=sa.Select[Any])


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which deliveries; what is None or empty does not narrow."""

    ids: Sequence[int] = ()
    forward_node: str | None = None
    destination: str | None = None
    states: Sequence[State] = ()
    #: original or sent
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    #: ms; received at or after, and before
    since: int | None = None
    until: int | None = None
    #: ms; last changed at or after, and before: received, ended, or decided about
    changed_since: int | None = None
    changed_until: int | None = None
    #: Patient ID, original or sent
    patient_id: str | None = None
    #: part of a reason, a UID, a patient's ID or name, an accession number or a description; in any case of letters
    text: str | None = None


def matching(statement: S, chosen: Filter, within: sa.ColumnElement[bool] | None = None) -> S:
    """Narrow a selection of deliveries joined with their instances.

    Parameters
    ----------
    within
        Only those that are looked at together, as :mod:`karnak_core.spool.searching` does.
    """
    joined = statement.join_from(delivery, instance, instance.c.id == delivery.c.instance_id)
    return narrowed(joined, chosen) if within is None else narrowed(joined, chosen, by_row=True).where(within)


def narrowed(statement: S, chosen: Filter, *, by_row: bool = False) -> S:
    """Narrow a selection of deliveries, joined with their instances where patient or text is asked for.

    Parameters
    ----------
    by_row
        True: they are joined, and few; UIDs are looked for in each, and not by an index.
    """
    if chosen.ids:
        statement = statement.where(delivery.c.id.in_(chosen.ids))
    if chosen.forward_node is not None:
        statement = statement.where(delivery.c.forward_node == chosen.forward_node)
    if chosen.destination is not None:
        statement = statement.where(delivery.c.destination == chosen.destination)
    if chosen.states:
        statement = statement.where(delivery.c.state.in_(chosen.states))
        if is_of_open_only(chosen):
            # lets the index of open deliveries serve
            statement = statement.where(delivery.c.not_before.is_not(None))
    for value, original, sent in (
        (chosen.study_instance_uid, instance.c.study_instance_uid, delivery.c.sent_study_instance_uid),
        (chosen.series_instance_uid, instance.c.series_instance_uid, delivery.c.sent_series_instance_uid),
        (chosen.sop_instance_uid, instance.c.sop_instance_uid, delivery.c.sent_sop_instance_uid),
    ):
        if value is not None:
            by_uid = sa.or_(original == value, sent == value) if by_row else _has_uid(original, sent, value)
            statement = statement.where(by_uid)
    if chosen.since is not None:
        statement = statement.where(delivery.c.created_at >= chosen.since)
    if chosen.until is not None:
        statement = statement.where(delivery.c.created_at < chosen.until)
    if chosen.changed_since is not None:
        statement = statement.where(
            sa.or_(
                delivery.c.created_at >= chosen.changed_since,
                delivery.c.finished_at >= chosen.changed_since,
                delivery.c.decided_at >= chosen.changed_since,
            )
        )
    if chosen.changed_until is not None:
        for moment in (delivery.c.created_at, delivery.c.finished_at, delivery.c.decided_at):
            statement = statement.where(sa.func.coalesce(moment, 0) < chosen.changed_until)
    if chosen.patient_id is not None:
        statement = statement.where(_patient(chosen.patient_id))
    if chosen.text:
        statement = statement.where(_has(chosen.text))
    return statement


def is_of_open_only(chosen: Filter) -> bool:
    """Say whether only deliveries are meant that wait, are under way, or failed."""
    return bool(chosen.states) and not set(chosen.states) & _FINAL


_FINAL = frozenset({State.SENT, State.DUPLICATE, State.EXCLUDED, State.DISCARDED})


def _has_uid(original: sa.Column[Any], sent: sa.Column[Any], uid: str) -> sa.ColumnElement[bool]:
    """Return the condition that a delivery's instance has a UID, or what was sent of it.

    Looked for one after the other: only of those received there is an index, which ``or`` would not let serve.
    """
    received, other = instance.alias(), delivery.alias()
    by_instance = (
        sa.select(other.c.id)
        .join(received, received.c.id == other.c.instance_id)
        .where(received.c[original.name] == uid)
    )
    after = delivery.alias()
    by_sent = sa.select(after.c.id).where(after.c[sent.name] == uid)
    return delivery.c.id.in_(sa.union_all(by_instance, by_sent))


#: facts that a text is looked for in
_SEARCHED = ("PatientID", "PatientName", "AccessionNumber", "StudyDescription", "SeriesDescription")


def _patient(patient_id: str) -> sa.ColumnElement[bool]:
    return sa.or_(
        *(
            sa.and_(
                sa.or_(*(sa.cast(facts, sa.Text).contains(spelt, autoescape=True) for spelt in _spellings(patient_id))),
                facts["PatientID"].as_string() == patient_id,
            )
            for facts in (instance.c.facts, delivery.c.sent_facts)
        )
    )


def _has(text: str) -> sa.ColumnElement[bool]:
    # one at a time, the cheapest first, as most rows have it nowhere
    found: list[sa.ColumnElement[bool]] = [delivery.c.reason.icontains(text, autoescape=True)]
    if not set(text) - set("0123456789."):
        found += [
            column.contains(text, autoescape=True)
            for column in (
                instance.c.study_instance_uid,
                instance.c.series_instance_uid,
                instance.c.sop_instance_uid,
                delivery.c.sent_study_instance_uid,
                delivery.c.sent_series_instance_uid,
                delivery.c.sent_sop_instance_uid,
            )
        ]
    for facts in (instance.c.facts, delivery.c.sent_facts):
        values = sa.or_(*(facts[keyword].as_string().icontains(text, autoescape=True) for keyword in _SEARCHED))
        whole = sa.cast(facts, sa.Text)
        found.append(sa.and_(sa.or_(*(whole.icontains(spelt, autoescape=True) for spelt in _spellings(text))), values))
    return sa.or_(*found)


def _spellings(text: str) -> list[str]:
    """Return how facts that have a text may be stored: to look for that first costs less than to take them apart."""
    return sorted({json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)})


#: names of what ``deliveries list --json`` and the CSV give, in order
FIELDS = (
    "id",
    "forward_node",
    "destination",
    "state",
    "reason",
    "attempts",
    "not_before",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "sent_study_instance_uid",
    "sent_series_instance_uid",
    "sent_sop_instance_uid",
    "received_at",
    "finished_at",
    "calling_ae_title",
    "peer_host",
    "sop_class_uid",
    "transfer_syntax_uid",
    "size",
    "decided_by",
    "decided_at",
)


def deliveries(
    connection: sa.Connection,
    chosen: Filter,
    *,
    limit: int | None = None,
    newest_first: bool = False,
    before: int | None = None,
    within: sa.ColumnElement[bool] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield deliveries with the names of :data:`FIELDS`; times are ISO 8601 in UTC, or None.

    Parameters
    ----------
    before
        Only those with a smaller number.
    within
        Only those that are looked at together, as :mod:`karnak_core.spool.searching` does.
    """
    order = delivery.c.id.desc() if newest_first else delivery.c.id
    statement = matching(
        sa.select(
            delivery,
            instance.c.received_at,
            instance.c.study_instance_uid,
            instance.c.series_instance_uid,
            instance.c.sop_instance_uid,
            instance.c.calling_ae_title,
            instance.c.peer_host,
            instance.c.sop_class_uid,
            instance.c.transfer_syntax_uid,
            instance.c.size,
        ),
        chosen,
        within,
    ).order_by(order)
    if before is not None:
        statement = statement.where(delivery.c.id < before)
    if limit is not None:
        statement = statement.limit(limit)
    for row in connection.execution_options(yield_per=1000).execute(statement).mappings():
        found = {name: row[name] for name in FIELDS}
        found["not_before"] = iso(row["not_before"]) if row["state"] == State.PENDING else None
        for name in ("received_at", "finished_at", "decided_at"):
            found[name] = iso(row[name])
        yield found


def iso(ms: int | None) -> str | None:
    """Return a time of the ledger as ISO 8601 in UTC with milliseconds."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class DestinationNumbers:
    """What the ledger knows about one destination."""

    forward_node: str
    destination: str
    health: Health
    reason: str
    #: ms; since when it is so; None: it is well, or that is not known
    since: int | None = None
    pending: int
    sent: int
    duplicate: int
    excluded: int
    failed: int
    discarded: int
    #: seconds since the oldest delivery that is not finished was received; None: nothing waits
    oldest_pending_seconds: float | None


def destination_numbers(connection: sa.Connection) -> dict[tuple[str, str], DestinationNumbers]:
    """Return the numbers of every destination that the ledger knows.

    Counts what is open by an index that holds nothing else, and finished ones by running totals.
    """
    totals = tallies.read(connection)
    waiting: dict[tuple[str, str], tuple[int, int]] = {}
    failed: dict[tuple[str, str], int] = {}
    for row in connection.execute(_OPEN_COUNTS):
        key = (row.forward_node, row.destination)
        if row.state == State.FAILED:
            failed[key] = row.deliveries
        else:
            count, oldest = waiting.get(key, (0, row.oldest))
            waiting[key] = (count + row.deliveries, min(oldest, row.oldest))
    troubles = {(row.forward_node, row.destination): row for row in connection.execute(sa.select(destination_health))}
    keys = {(node, name) for node, name, _ in totals if name} | set(waiting) | set(failed) | set(troubles)
    now = now_ms()
    numbers = {}
    for node, name in sorted(keys):
        key = (node, name)
        pending, oldest = waiting.get(key, (0, 0))
        trouble = troubles.get(key)
        numbers[key] = DestinationNumbers(
            forward_node=node,
            destination=name,
            health=Health(trouble.health) if trouble else Health.OK,
            reason=trouble.reason if trouble and trouble.health != Health.OK else "",
            since=trouble.since if trouble and trouble.health != Health.OK else None,
            pending=pending,
            failed=failed.get(key, 0),
            sent=totals.get((node, name, State.SENT.value), 0),
            duplicate=totals.get((node, name, State.DUPLICATE.value), 0),
            excluded=totals.get((node, name, State.EXCLUDED.value), 0),
            discarded=totals.get((node, name, State.DISCARDED.value), 0),
            oldest_pending_seconds=max(0.0, (now - oldest) / 1000) if pending else None,
        )
    return numbers


_OPEN_COUNTS = (
    sa.select(
        delivery.c.forward_node,
        delivery.c.destination,
        delivery.c.state,
        sa.func.count().label("deliveries"),
        sa.func.min(delivery.c.created_at).label("oldest"),
    )
    .where(delivery.c.not_before.is_not(None))
    .group_by(delivery.c.forward_node, delivery.c.destination, delivery.c.state)
)
