"""What was decided about deliveries is written down, and goes with them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import decision, delivery
from karnak_core.model import Outcome, State
from karnak_core.spool import decisions, history, waiting
from karnak_core.spool.retention import forget_finished
from karnak_core.spool.views import Filter


def told(ledger: Any, number: int) -> list[tuple[str, str, str]]:
    with ledger.database.read() as connection:
        return [(one.what, one.reason, one.decided_by) for one in history.of(connection, [number])]


def fail(ledger: Any, reason: str, waits_for: str = "") -> int:
    (item,) = ledger.claim("a", "p")
    ledger.settle("p", (item, Outcome(state=State.FAILED, reason=reason, waits_for=waits_for)))
    return int(item.id)


def test_every_decision_is_remembered_with_what_was_before(ledger: Any) -> None:
    ledger.receive("a")
    number = fail(ledger, "first")
    with ledger.database.write() as connection:
        decisions.retry(connection, Filter(ids=[number]), "ada")
    fail(ledger, "second", waits_for="x" * 64)
    with ledger.database.write() as connection:
        assert waiting.wake(connection, ["x" * 64], "import by bob")[0] == 1
    fail(ledger, "third")
    with ledger.database.write() as connection:
        ledger.folder.remove(decisions.discard(connection, Filter(ids=[number]), "c" * 128)[1])
    assert told(ledger, number) == [
        ("retried", "first", "ada"),
        ("retried", "second", "import by bob"),
        ("discarded", "third", "c" * 128),
    ]


def test_nothing_is_written_down_of_what_was_not_changed(ledger: Any) -> None:
    ledger.receive("a")
    (item,) = ledger.end("a", State.SENT)
    with ledger.database.write() as connection:
        assert decisions.retry(connection, Filter(ids=[item.id]), "ada") == 0
    assert told(ledger, item.id) == []


def test_decisions_are_forgotten_with_their_deliveries(ledger: Any) -> None:
    ledger.receive("a")
    first = fail(ledger, "one")
    ledger.receive("a")
    second = fail(ledger, "two")
    with ledger.database.write() as connection:
        ledger.folder.remove(decisions.discard(connection, Filter(ids=[first, second]), "ada")[1])
        connection.execute(sa.update(delivery).where(delivery.c.id == first).values(finished_at=1))
    forget_finished(ledger.database, days=1, at_most=100)
    assert (told(ledger, first), len(told(ledger, second))) == ([], 1)
    with ledger.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(decision)).scalar_one() == 1
