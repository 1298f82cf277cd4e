"""No query that runs for every instance costs more the more is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from karnak_core.database.tables import delivery, instance
from karnak_core.model import Outcome, State, now_ms
from karnak_core.monitor import metrics
from karnak_core.spool import aggregates, decisions, health, leases, processes, retention, standing, views

NODE = "NODE"
FINISHED, PENDING = 50_000, 10_000


@pytest.fixture
def crowded(ledger: Any) -> Any:
    """A ledger with 50 000 finished and 10 000 pending deliveries, and statistics of them."""
    now = now_ms()
    instances = [
        {
            "id": n,
            "forward_node": NODE,
            "calling_ae_title": "CALLER",
            "peer_host": "127.0.0.1",
            "received_at": now,
            "sop_class_uid": "1.2.3",
            "sop_instance_uid": f"2.25.{n}",
            "study_instance_uid": f"2.25.{n // 500}",
            "series_instance_uid": f"2.25.{n // 100}",
            "transfer_syntax_uid": "1.2.840.10008.1.2",
            "path": None if n <= FINISHED else f"folder/{n}.dcm",
            "dataset_offset": 132,
            "size": 1,
            "facts": {},
        }
        for n in range(1, FINISHED + PENDING + 1)
    ]
    deliveries = [
        {
            "instance_id": n,
            "forward_node": NODE,
            "destination": "ab"[n % 2],
            "state": State.SENT if n <= FINISHED else State.PENDING,
            "not_before": None if n <= FINISHED else now,
            "created_at": now,
            "finished_at": now if n <= FINISHED else None,
        }
        for n in range(1, FINISHED + PENDING + 1)
    ]
    with ledger.database.write() as connection:
        connection.execute(sa.insert(instance), instances)
        connection.execute(sa.insert(delivery), deliveries)
    with ledger.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return ledger


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is sent to the database."""
    seen: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            seen.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", keep)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", keep)


def plans(ledger: Any, work: Callable[[sa.Connection], object]) -> list[tuple[str, str]]:
    """Return every statement that ``work`` sends, with its plan."""
    with ledger.database.write() as connection:
        with statements(ledger.database.engine) as seen:
            work(connection)
        explain = "EXPLAIN QUERY PLAN " if ledger.database.is_sqlite else "EXPLAIN "
        return [
            (statement, "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)))
            for statement, parameters in seen
        ]


def settle_some(ledger: Any, state: State) -> Callable[[sa.Connection], object]:
    def work(connection: sa.Connection) -> object:
        items = leases.claim(connection, ledger.folder, NODE, "a", "p", 64)
        assert len(items) == 64
        return leases.settle(connection, "p", [(item, Outcome(state=state, not_before=1)) for item in items])

    return work


def test_no_query_for_each_instance_or_for_status_scans_the_tables(crowded: Any) -> None:
    works: dict[str, Callable[[sa.Connection], object]] = {
        "claim": lambda connection: leases.claim(connection, crowded.folder, NODE, "a", "p", 64),
        "next_due": lambda connection: leases.next_due(connection, NODE, "a"),
        "settle sent": settle_some(crowded, State.SENT),
        "settle pending": settle_some(crowded, State.PENDING),
        "release": lambda connection: leases.release(connection, ["p"]),
        "heartbeat": lambda connection: processes.heartbeat(connection, "p"),
        "numbers": views.destination_numbers,
        "answer": lambda connection: (
            health.note_failure(connection, NODE, "a", "", misconfigured=True),
            health.note_answer(connection, NODE, "a"),
        ),
        "fail_removed": lambda connection: leases.fail_removed(connection, [(NODE, "a"), (NODE, "b")]),
        "topics": decisions.pending_topics,
        "retention": lambda connection: retention._finished(connection, 0, (-1, -1)),
        "failed reasons": standing.failed_reasons,
        "open follow-ups": standing.open_follow_ups,
        "open notifications": standing.open_notifications,
        "attempts": metrics.attempts,
        "studies with failures": lambda connection: aggregates.studies(
            connection, views.Filter(states=(State.FAILED,))
        ),
        "rank": lambda connection: retention._finished_at_of_rank(connection, 10),
    }
    scans: list[str] = []
    for name, work in works.items():
        found = plans(crowded, work)
        assert found, f"{name} sent nothing"
        for statement, plan in found:
            for line in plan.splitlines():
                # SQLite says SCAN … USING INDEX of a walk over a partial index; PostgreSQL says Seq Scan
                table = any(f"SCAN {word}" in line for word in ("delivery", "instance")) and "INDEX" not in line
                table = table or "Seq Scan on delivery" in line or "Seq Scan on instance" in line
                whole = "INDEX ix_delivery_instance_id" in line and "SCAN" in line
                if table or whole:
                    scans.append(f"{name}: {line.strip()}\n    {' '.join(statement.split())}")
    assert scans == []

    by_index: list[tuple[str, Callable[[sa.Connection], object]]] = [
        ("ix_delivery_open", works["claim"]),
        ("ix_delivery_open", works["next_due"]),
        ("ix_delivery_open", lambda connection: connection.execute(views._OPEN_COUNTS).all()),
        ("ix_delivery_leased", works["release"]),
        ("ix_delivery_finished", works["rank"]),
    ]
    for index, work in by_index:
        _, plan = plans(crowded, work)[0]
        assert index in plan
    if crowded.database.is_sqlite:
        # the oldest due is found without sorting what waits
        for name in ("claim", "next_due"):
            assert "TEMP B-TREE" not in plans(crowded, works[name])[0][1]
        # PostgreSQL may take a table of this size as a whole
        page = plans(
            crowded,
            lambda connection: aggregates.with_series(
                connection, views.Filter(), [("2.25.3", NODE, "a"), ("2.25.4", NODE, "b")]
            ),
        )
        assert len(page) >= 3
        assert [plan for _, plan in page if "SCAN" in plan] == []
