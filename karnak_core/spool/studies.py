"""What the ledger has of one study at one destination, by the index of its UID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import delivery, follow_up, instance
from karnak_core.model import State


@dataclass(frozen=True, slots=True)
class StudyDelivery:
    """One instance of the study, once received, on its way to the destination."""

    id: int
    state: State
    reason: str
    attempts: int
    received_at: int
    #: of its last change that the ledger has, ms
    changed_at: int
    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sent_study_instance_uid: str | None
    sent_series_instance_uid: str | None
    #: true: it was changed before it was sent
    changed: bool


@dataclass(frozen=True, slots=True)
class StudyFollowUp:
    """Something done, or to be done, after a part of the study was sent."""

    part: str
    subject: str
    #: as received
    series_instance_uid: str
    #: pending, done, failed or discarded
    state: str
    reason: str
    sent: Mapping[str, Any]


def deliveries(connection: sa.Connection, forward_node: str, destination: str, study: str) -> list[StudyDelivery]:
    """Return the deliveries of a study, named by the UID it was received with, in the order of their reception."""
    rows = connection.execute(_DELIVERIES, {"study": study, "node": forward_node, "destination": destination})
    return [
        StudyDelivery(
            id=row.id,
            state=_STATES[row.state],
            reason=row.reason,
            attempts=row.attempts,
            received_at=row.received_at,
            changed_at=max(row.received_at, row.finished_at or 0, row.decided_at or 0),
            sop_class_uid=row.sop_class_uid,
            series_instance_uid=row.series_instance_uid,
            sop_instance_uid=row.sop_instance_uid,
            sent_study_instance_uid=row.sent_study_instance_uid,
            sent_series_instance_uid=row.sent_series_instance_uid,
            changed=bool(row.changed),
        )
        for row in rows
    ]


def facts(connection: sa.Connection, ids: Sequence[int]) -> dict[int, tuple[Mapping[str, str], Mapping[str, str]]]:
    """Return the facts of deliveries, as received and as sent; the latter empty where they are not known."""
    found: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}
    for start in range(0, len(ids), 500):
        for row in connection.execute(_FACTS, {"ids": ids[start : start + 500]}):
            found[row.id] = (row.facts or {}, row.sent_facts or {})
    return found


def follow_ups(connection: sa.Connection, forward_node: str, destination: str, study: str) -> list[StudyFollowUp]:
    """Return the follow-ups of a study at a destination, in the order in which they came to be."""
    return [
        StudyFollowUp(
            row.part,
            row.subject,
            row.series_instance_uid,
            str(_STATES.get(row.state) or row.state),
            row.reason,
            row.sent or {},
        )
        # the study first: the destination may have followed up many
        for row in connection.execute(_FOLLOW_UPS, {"study": study})
        if (row.forward_node, row.destination) == (forward_node, destination)
    ]


#: where things stand as people see it: what a worker has is waiting
_STATES = {state.value: State.PENDING if state is State.LEASED else state for state in State}

_DELIVERIES = (
    sa.select(
        delivery.c.id,
        delivery.c.state,
        delivery.c.reason,
        delivery.c.attempts,
        instance.c.received_at,
        delivery.c.finished_at,
        delivery.c.decided_at,
        instance.c.sop_class_uid,
        instance.c.series_instance_uid,
        instance.c.sop_instance_uid,
        delivery.c.sent_study_instance_uid,
        delivery.c.sent_series_instance_uid,
        delivery.c.sent_facts.is_not(sa.null()).label("changed"),
    )
    .join(instance, instance.c.id == delivery.c.instance_id)
    .where(
        instance.c.study_instance_uid == sa.bindparam("study"),
        delivery.c.forward_node == sa.bindparam("node"),
        delivery.c.destination == sa.bindparam("destination"),
    )
    .order_by(instance.c.id)
)

_FACTS = (
    sa.select(delivery.c.id, instance.c.facts, delivery.c.sent_facts)
    .join(instance, instance.c.id == delivery.c.instance_id)
    .where(delivery.c.id.in_(sa.bindparam("ids", expanding=True)))
)

_FOLLOW_UPS = (
    sa.select(
        follow_up.c.forward_node,
        follow_up.c.destination,
        follow_up.c.part,
        follow_up.c.subject,
        instance.c.series_instance_uid,
        follow_up.c.state,
        follow_up.c.reason,
        follow_up.c.sent,
    )
    .join(instance, instance.c.id == follow_up.c.instance_id)
    .where(instance.c.study_instance_uid == sa.bindparam("study"))
    .order_by(follow_up.c.id)
)
