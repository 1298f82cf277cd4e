"""Processes that are seen keep their leases; those that are not lose them, and nothing else."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import process
from karnak_core.model import State, now_ms
from karnak_core.spool import processes
from karnak_core.spool.processes import LEASE_MS


def register(ledger: Any, owner: str, node: str = "machine") -> None:
    with ledger.database.write() as connection:
        processes.register(connection, owner, node, "deliver")


def silent(ledger: Any, owner: str) -> None:
    """Let the last sign of life be long ago."""
    with ledger.database.write() as connection:
        connection.execute(sa.update(process).where(process.c.owner == owner).values(seen_at=now_ms() - LEASE_MS - 1))


def states(ledger: Any) -> list[str]:
    return sorted(row["state"] for row in ledger.rows().values())


def test_a_process_not_seen_for_too_long_loses_its_leases_and_learns_it(ledger: Any) -> None:
    ledger.record(ledger.received("a"), ledger.received("a"))
    for owner in ("p", "q"):
        register(ledger, owner)
        assert len(ledger.claim("a", owner, 1)) == 1
    silent(ledger, "p")
    with ledger.database.write() as connection:
        assert processes.release_unseen(connection) == 1
    assert states(ledger) == [State.LEASED, State.PENDING]
    with ledger.database.write() as connection:
        assert not processes.heartbeat(connection, "p")
        assert processes.heartbeat(connection, "q")


def test_a_sign_of_life_in_time_keeps_the_leases(ledger: Any) -> None:
    ledger.receive("a")
    register(ledger, "p")
    ledger.claim("a", "p")
    silent(ledger, "p")
    with ledger.database.write() as connection:
        assert processes.heartbeat(connection, "p")
        assert processes.release_unseen(connection) == 0
    assert states(ledger) == [State.LEASED]


def test_a_machine_that_starts_again_takes_back_its_own_leases_only(ledger: Any) -> None:
    ledger.record(ledger.received("a"), ledger.received("a"), ledger.received("a"))
    register(ledger, "p", "one")
    register(ledger, "q", "one")
    register(ledger, "r", "two")
    for owner in ("p", "q", "r"):
        ledger.claim("a", owner, 1)
    with ledger.database.write() as connection:
        assert processes.release_node(connection, "one") == 2
    assert states(ledger) == [State.LEASED, State.PENDING, State.PENDING]
    with ledger.database.write() as connection:
        assert processes.release_node(connection, "one") == 0
