"""Deliveries that wait for something to be stored are tried again when it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from karnak_core.database.tables import delivery
from karnak_core.model import State, now_ms
from karnak_core.spool import leases, waiting

if TYPE_CHECKING:
    from tests.spool.conftest import Ledger


def ended(ledger: Ledger, ids: list[int], waits_for: str, state: State = State.FAILED) -> None:
    """Let these deliveries have ended so."""
    with ledger.database.write() as connection:
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id.in_(ids))
            .values(state=state, waits_for=waits_for, attempts=3, finished_at=now_ms(), reason="no pseudonym")
        )


def test_what_waits_for_it_is_pending_again_and_nothing_else(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.receive("pacs", "cloud")
    first, second, third, fourth, fifth, sixth = sorted(ledger.rows())
    ended(ledger, [first, second], "key-1")
    ended(ledger, [third], "key-2")
    ended(ledger, [fourth], "key-1", State.SENT)
    ended(ledger, [fifth], "key-3")
    before = now_ms()
    with ledger.database.write() as connection:
        assert waiting.wake(connection, ["key-1", "key-2", "key-4"], "somebody") == (3, {"NODE/pacs", "NODE/cloud"})
    rows = ledger.rows()
    assert [rows[number]["state"] for number in sorted(rows)] == [
        State.PENDING, State.PENDING, State.PENDING, State.SENT, State.FAILED, State.PENDING
    ]  # fmt: skip
    for number in (first, second, third):
        row = rows[number]
        assert (row["waits_for"], row["finished_at"], row["attempts"], row["decided_by"]) == (None, None, 0, "somebody")
        assert before <= row["not_before"] == row["decided_at"] <= now_ms()
    assert rows[sixth]["decided_by"] is None
    assert {item.id for item in ledger.claim("pacs", "owner")} == {first, third}


def test_many_keys_and_many_deliveries_are_woken_at_once(ledger: Ledger) -> None:
    ledger.record(*(ledger.received("pacs", small=True) for _ in range(1201)))
    rows = [number for number in ledger.rows() if number % 3 == 0]
    ended(ledger, rows, "to be replaced")
    with ledger.database.write() as connection:
        keyed = sa.update(delivery).where(delivery.c.id == sa.bindparam("number"))
        connection.execute(keyed, [{"number": number, "waits_for": f"key-{number}"} for number in rows])
    with ledger.database.write() as connection:
        count, topics = waiting.wake(connection, {f"key-{number}" for number in range(5000)}, "somebody")
    assert (count, topics) == (400, {"NODE/pacs"})


def test_nothing_waits_for_it(ledger: Ledger) -> None:
    ledger.receive("pacs")
    with ledger.database.write() as connection:
        assert waiting.wake(connection, [], "somebody") == (0, set())
        assert waiting.wake(connection, ["key"], "somebody") == (0, set())


def test_the_time_to_be_retried_begins_anew(ledger: Ledger) -> None:
    ledger.receive("pacs", received_at=1000)
    (number,) = ledger.rows()
    ended(ledger, [number], "key")
    before = now_ms()
    with ledger.database.write() as connection:
        waiting.wake(connection, ["key"], "somebody")
        (item,) = leases.claim(connection, ledger.folder, "NODE", "pacs", "owner", 1)
    assert item.since >= before
