"""Everything that the ledger has about one UID, original or sent: an instance's, a series', or a study's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from karnak_core.database.tables import delivery, follow_up, instance, notification, study_watch

#: what a UID can be of, the closest first
KINDS: Final = ("instance", "series", "study")


@dataclass(frozen=True, kw_only=True)
class Found:
    """Rows about one UID."""

    #: instance, series or study
    kind: str
    #: true: only what was sent has it
    as_sent: bool
    #: deliveries, each with what was received, in the order of reception
    deliveries: Sequence[Any]
    follow_ups: Sequence[Any]
    notifications: Sequence[Any]
    #: what is to be looked at for notifications
    watches: Sequence[Any]


def find(connection: sa.Connection, uid: str) -> Found | None:
    """Return what there is about a UID; None: nothing."""
    rows = connection.execute(_DELIVERIES.where(delivery.c.id.in_(_with(uid)))).all()
    if not rows:
        return None
    kind, of_kind, received = _closest(rows, uid)
    studies = sorted({row.study_instance_uid for row in of_kind})
    series = {row.series_instance_uid for row in of_kind}
    keys = {(row.forward_node, row.destination) for row in of_kind}
    followed = connection.execute(_FOLLOW_UPS.where(instance.c.study_instance_uid.in_(studies))).all()
    return Found(
        kind=kind,
        as_sent=not received,
        deliveries=of_kind,
        follow_ups=[row for row in followed if row.series_instance_uid in series],
        notifications=_of_studies(connection, notification, studies, keys, notification.c.id),
        watches=_of_studies(connection, study_watch, studies, keys, study_watch.c.part),
    )


def _with(uid: str) -> sa.CompoundSelect[Any]:
    """Return the deliveries with a UID: one ``or`` over both tables would let no index serve."""
    received = sa.select(delivery.c.id).join(instance, instance.c.id == delivery.c.instance_id)
    received = received.where(sa.or_(*(original == uid for original, _ in _COLUMNS))).correlate(None)
    as_sent = sa.select(delivery.c.id).where(sa.or_(*(sent == uid for _, sent in _COLUMNS))).correlate(None)
    return sa.union(received, as_sent)


def _closest(rows: Sequence[Any], uid: str) -> tuple[str, Sequence[Any], bool]:
    """Return what the UID is of, the rows that have it so, and whether it was received with one of them."""
    for kind, (original, sent) in zip(KINDS, _COLUMNS, strict=True):
        received = [row for row in rows if getattr(row, original.name) == uid]
        found = [row for row in rows if uid in (getattr(row, original.name), getattr(row, sent.name))]
        if found:
            return kind, found, bool(received)
    raise AssertionError("every row has it somewhere")


def _of_studies(
    connection: sa.Connection,
    table: sa.Table,
    studies: Sequence[str],
    keys: set[tuple[str, str]],
    order: sa.Column[Any],
) -> list[Any]:
    rows = connection.execute(
        sa.select(table)
        .where(table.c.forward_node.in_({node for node, _ in keys}), table.c.study_instance_uid.in_(studies))
        .order_by(order)
    )
    return [row for row in rows if (row.forward_node, row.destination) in keys]


_COLUMNS: Final = (
    (instance.c.sop_instance_uid, delivery.c.sent_sop_instance_uid),
    (instance.c.series_instance_uid, delivery.c.sent_series_instance_uid),
    (instance.c.study_instance_uid, delivery.c.sent_study_instance_uid),
)

_DELIVERIES = (
    sa.select(
        delivery,
        instance.c.received_at,
        instance.c.calling_ae_title,
        instance.c.peer_host,
        instance.c.study_instance_uid,
        instance.c.series_instance_uid,
        instance.c.sop_instance_uid,
        instance.c.size,
    )
    .join(instance, instance.c.id == delivery.c.instance_id)
    .order_by(instance.c.id, delivery.c.id)
)

_FOLLOW_UPS = (
    sa.select(follow_up, instance.c.series_instance_uid)
    .join(instance, instance.c.id == follow_up.c.instance_id)
    .order_by(follow_up.c.id)
)
