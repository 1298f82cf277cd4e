"""Write what was received into the ledger: one instance, one delivery for each destination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import Header, State
from karnak_core.spool import tallies


@dataclass(frozen=True, kw_only=True)
class Received:
    """An instance whose file is durable, ready for the ledger."""

    forward_node: str
    calling_ae_title: str
    peer_host: str
    received_at: int
    transfer_syntax_uid: str
    header: Header
    #: relative to the spool; None: not kept, excluded everywhere
    path: str | None
    dataset_offset: int
    size: int
    destinations: tuple[str, ...]
    #: not empty: excluded for every destination, by this rule
    excluded: str = ""


def record(connection: sa.Connection, batch: Sequence[Received]) -> None:
    """Insert a batch; durable, and visible to workers, once the transaction is."""
    ids = connection.execute(
        sa.insert(instance).returning(instance.c.id, sort_by_parameter_order=True),
        [_instance_row(received) for received in batch],
    ).scalars()
    deliveries = [
        _delivery_row(received, instance_id, destination)
        for received, instance_id in zip(batch, ids, strict=True)
        for destination in received.destinations
    ]
    if deliveries:
        connection.execute(sa.insert(delivery), deliveries)
    counts = Counter((received.forward_node, "", tallies.RECEIVED) for received in batch)
    counts.update(
        (received.forward_node, destination, State.EXCLUDED.value)
        for received in batch
        if received.excluded
        for destination in received.destinations
    )
    tallies.add(connection, counts)


def _instance_row(received: Received) -> dict[str, Any]:
    header = received.header
    return {
        "forward_node": received.forward_node,
        "calling_ae_title": received.calling_ae_title,
        "peer_host": received.peer_host,
        "received_at": received.received_at,
        "sop_class_uid": header.sop_class_uid,
        "sop_instance_uid": header.sop_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "series_instance_uid": header.series_instance_uid,
        "transfer_syntax_uid": received.transfer_syntax_uid,
        "path": received.path,
        "dataset_offset": received.dataset_offset,
        "size": received.size,
        "facts": dict(header.facts),
    }


def _delivery_row(received: Received, instance_id: int, destination: str) -> dict[str, Any]:
    excluded = bool(received.excluded)
    return {
        "instance_id": instance_id,
        "forward_node": received.forward_node,
        "destination": destination,
        "state": State.EXCLUDED if excluded else State.PENDING,
        "reason": received.excluded,
        "attempts": 0,
        "not_before": None if excluded else received.received_at,
        "created_at": received.received_at,
        "finished_at": received.received_at if excluded else None,
    }
