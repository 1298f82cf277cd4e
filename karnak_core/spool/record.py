"""Write what was received into the ledger: one instance, one delivery for each destination."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.exc import DBAPIError

from karnak_core.database.tables import content, delivery, instance
from karnak_core.model import Header, State
from karnak_core.spool import tallies


@dataclass(frozen=True, kw_only=True)
class Received:
    """An instance ready for the ledger: small as a whole, or with a file that is durable."""

    forward_node: str
    calling_ae_title: str
    peer_host: str
    received_at: int
    transfer_syntax_uid: str
    header: Header
    #: relative to the spool; empty: in ``content``; None: not kept, excluded everywhere
    path: str | None
    dataset_offset: int
    size: int
    destinations: tuple[str, ...]
    #: not empty: excluded for every destination, by this rule
    excluded: str = ""
    #: the Part 10 file of a small instance
    content: bytes = b""


def record(connection: sa.Connection, batch: Sequence[Received]) -> None:
    """Insert a batch; durable, and visible to workers, once the transaction is.

    Runs for every instance that is received: the statements are compiled once, and go to the driver as they are.
    """
    statements = _statements(connection.dialect.name)
    driver: Any = connection.connection.dbapi_connection
    cursor = driver.cursor()
    try:
        instances: list[dict[str, Any]] = []
        contents: list[dict[str, Any]] = []
        deliveries: list[dict[str, Any]] = []
        counts: Counter[tuple[str, str, str]] = Counter()
        for instance_id, received in zip(_next_ids(cursor, connection, len(batch)), batch, strict=True):
            instances.append(_instance_row(received, instance_id))
            if received.content:
                contents.append({"instance_id": instance_id, "data": received.content})
            deliveries += [_delivery_row(received, instance_id, name) for name in received.destinations]
            counts[received.forward_node, "", tallies.RECEIVED] += 1
            if received.excluded:
                for name in received.destinations:
                    counts[received.forward_node, name, State.EXCLUDED.value] += 1
        cursor.executemany(statements.instance, instances)
        if contents:
            cursor.executemany(statements.content, contents)
        if deliveries:
            cursor.executemany(statements.delivery, deliveries)
        cursor.executemany(statements.tally, tallies.rows(counts))
    except driver_errors(connection) as error:
        raise DBAPIError.instance("record", None, error, driver_errors(connection)) from error
    finally:
        cursor.close()


@dataclass(frozen=True)
class _Statements:
    instance: str
    content: str
    delivery: str
    tally: str


@cache
def _statements(dialect_name: str) -> _Statements:
    dialect = sqlite.dialect(paramstyle="named") if dialect_name == "sqlite" else psycopg.dialect()  # type: ignore[no-untyped-call]
    return _Statements(
        *(
            str(statement.compile(dialect=dialect, column_keys=keys))
            for statement, keys in (
                (sa.insert(instance), [column.name for column in instance.c]),
                (sa.insert(content).inline(), ["instance_id", "data"]),
                (sa.insert(delivery).inline(), list(_delivery_row(_SAMPLE, 0, ""))),
                (tallies.upsert(dialect_name), ["forward_node", "destination", "name", "count"]),
            )
        )
    )


def _next_ids(cursor: Any, connection: sa.Connection, count: int) -> Iterable[int]:
    """Return unused ids of instances."""
    if connection.dialect.name == "sqlite":
        # nobody else writes meanwhile
        last = cursor.execute("SELECT COALESCE(MAX(id), 0) FROM instance").fetchone()[0]
        return range(last + 1, last + 1 + count)
    cursor.execute("SELECT nextval('instance_id_seq') FROM generate_series(1, %(count)s)", {"count": count})
    return [row[0] for row in cursor.fetchall()]


def driver_errors(connection: sa.Connection) -> type[Exception]:
    """Return the base class of what the driver raises."""
    errors: type[Exception] = connection.dialect.dbapi.Error  # type: ignore[union-attr]
    return errors


def _instance_row(received: Received, instance_id: int) -> dict[str, Any]:
    header = received.header
    return {
        "id": instance_id,
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
        "facts": json.dumps(dict(header.facts), ensure_ascii=False),
    }


def _delivery_row(received: Received, instance_id: int, destination: str) -> dict[str, Any]:
    excluded = bool(received.excluded)
    return {
        "instance_id": instance_id,
        "forward_node": received.forward_node,
        "destination": destination,
        "state": (State.EXCLUDED if excluded else State.PENDING).value,
        "reason": received.excluded,
        "attempts": 0,
        "not_before": None if excluded else received.received_at,
        "created_at": received.received_at,
        "finished_at": received.received_at if excluded else None,
    }


_SAMPLE = Received(
    forward_node="",
    calling_ae_title="",
    peer_host="",
    received_at=0,
    transfer_syntax_uid="",
    header=Header(),
    path=None,
    dataset_offset=0,
    size=0,
    destinations=(),
)
