"""The breaker: when a destination is left alone, who may probe, and what an answer changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import destination_health
from karnak_core.model import Health, Outcome, State, now_ms
from karnak_core.spool import health, views
from karnak_core.spool.health import FAILURES_UNTIL_UNREACHABLE, FIRST_PROBE_MS, LONGEST_PROBE_MS

KEY = ("NODE", "a")


def fail(ledger: Any, *, misconfigured: bool = False, reason: str = "refused") -> health.DestinationHealth:
    with ledger.database.write() as connection:
        return health.note_failure(connection, *KEY, reason, misconfigured=misconfigured)


def answer(ledger: Any) -> None:
    with ledger.database.write() as connection:
        health.note_answer(connection, *KEY)


def known(ledger: Any) -> health.DestinationHealth:
    with ledger.database.read() as connection:
        return health.read(connection, *KEY)


def make_probe_due(ledger: Any) -> None:
    with ledger.database.write() as connection:
        connection.execute(sa.update(destination_health).values(next_probe_at=now_ms() - 1))


def take(ledger: Any) -> bool:
    with ledger.database.write(durable=False) as connection:
        return health.take_probe(connection, *KEY)


def test_a_destination_nobody_complained_about_is_well(ledger: Any) -> None:
    assert known(ledger).well


def test_it_is_unreachable_after_failures_in_a_row_and_not_before(ledger: Any) -> None:
    for count in range(1, FAILURES_UNTIL_UNREACHABLE):
        noted = fail(ledger)
        assert (noted.health, noted.failures) == (Health.OK, count)
        assert not noted.well
    assert fail(ledger).health is Health.UNREACHABLE
    assert known(ledger).reason == "refused"


def test_an_answer_between_failures_begins_the_count_anew(ledger: Any) -> None:
    for _ in range(4):
        for _ in range(FAILURES_UNTIL_UNREACHABLE - 1):
            assert fail(ledger).health is Health.OK
        answer(ledger)
        assert known(ledger).well


def test_what_is_noted_is_what_is_stored(ledger: Any) -> None:
    for misconfigured in (False, False, False, True, False):
        assert fail(ledger, misconfigured=misconfigured) == known(ledger)


def test_a_refusal_of_us_holds_at_once(ledger: Any) -> None:
    noted = fail(ledger, misconfigured=True, reason="calling AE title not recognised")
    assert noted.health is Health.HELD
    assert noted.next_probe_at > now_ms()


def test_a_held_destination_that_no_longer_answers_is_unreachable(ledger: Any) -> None:
    fail(ledger, misconfigured=True)
    assert fail(ledger).health is Health.UNREACHABLE


def test_since_tells_when_the_state_began(ledger: Any) -> None:
    for _ in range(FAILURES_UNTIL_UNREACHABLE):
        noted = fail(ledger)
    first = noted.since
    assert fail(ledger).since == first
    assert fail(ledger, misconfigured=True).since >= first


def test_probes_are_at_growing_intervals_within_bounds(ledger: Any) -> None:
    for count in range(1, 40):
        before = now_ms()
        noted = fail(ledger)
        if noted.health is Health.OK:
            assert noted.next_probe_at == 0
            continue
        ceiling = min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 2 ** (count - FAILURES_UNTIL_UNREACHABLE))
        assert before + ceiling // 2 <= noted.next_probe_at <= now_ms() + ceiling


def test_nobody_probes_before_its_time(ledger: Any) -> None:
    fail(ledger, misconfigured=True)
    assert not take(ledger)
    make_probe_due(ledger)
    assert take(ledger)
    assert not take(ledger)


def test_of_many_threads_one_takes_the_probe(ledger: Any) -> None:
    for _ in range(FAILURES_UNTIL_UNREACHABLE):
        fail(ledger)
    for _ in range(5):
        make_probe_due(ledger)
        gate = threading.Barrier(8)
        taken: list[bool] = []

        def try_it(gate: threading.Barrier = gate, taken: list[bool] = taken) -> None:
            gate.wait(60)
            taken.append(take(ledger))

        threads = [threading.Thread(target=try_it) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(taken) == [False] * 7 + [True]


def test_there_is_no_probe_of_a_destination_that_is_well(ledger: Any) -> None:
    assert not take(ledger)


def test_an_answer_makes_what_waited_due_now(ledger: Any) -> None:
    ledger.record(ledger.received("a", "b"), ledger.received("a"))
    for name in ("a", "b"):
        later = Outcome(state=State.PENDING, not_before=now_ms() + 600_000)
        ledger.settle("p", *((item, later) for item in ledger.claim(name, "p")))
    fail(ledger, misconfigured=True)
    assert ledger.claim("a", "p") == []
    answer(ledger)
    assert known(ledger).well
    assert len(ledger.claim("a", "p")) == 2
    assert ledger.claim("b", "p") == []


def test_an_answer_leaves_failed_leased_and_finished_ones_alone(ledger: Any) -> None:
    ledger.receive("a")
    ledger.end("a", State.FAILED)
    ledger.receive("a")
    ledger.end("a", State.SENT)
    ledger.receive("a")
    ledger.claim("a", "p")
    before = ledger.rows()
    fail(ledger, misconfigured=True)
    answer(ledger)
    assert ledger.rows() == before


def test_an_answer_while_it_still_counted_failures_leaves_each_ones_time(ledger: Any) -> None:
    ledger.receive("a")
    later = now_ms() + 600_000
    ledger.settle("p", *((i, Outcome(state=State.PENDING, not_before=later)) for i in ledger.claim("a", "p")))
    fail(ledger)
    answer(ledger)
    (row,) = ledger.rows().values()
    assert row["not_before"] == later


def test_destinations_do_not_share_their_trouble(ledger: Any) -> None:
    fail(ledger, misconfigured=True)
    with ledger.database.write() as connection:
        assert health.read(connection, "NODE", "b").well
        assert health.read(connection, "OTHER", "a").well
        health.note_answer(connection, "NODE", "b")
    assert known(ledger).health is Health.HELD


def test_status_shows_the_trouble_and_its_reason(ledger: Any) -> None:
    ledger.receive("a")
    fail(ledger, misconfigured=True, reason="no TLS")
    with ledger.database.read() as connection:
        numbers = views.destination_numbers(connection)[KEY]
    assert (numbers.health, numbers.reason, numbers.pending) == (Health.HELD, "no TLS", 1)


def test_a_forgotten_trouble_is_no_trouble(ledger: Any) -> None:
    fail(ledger, misconfigured=True)
    with ledger.database.write() as connection:
        health.forget(connection, *KEY)
    assert known(ledger).well


def test_no_reason_is_too_odd_to_be_noted(ledger: Any) -> None:
    for reason in ("refused\0", "refused \ud800"):
        fail(ledger, misconfigured=True, reason=reason)
        assert known(ledger).reason.startswith("refused")


def test_failures_noted_by_threads_at_once_are_all_counted(ledger: Any) -> None:
    errors: list[Exception] = []
    gate = threading.Barrier(6)

    def run() -> None:
        gate.wait(60)
        try:
            for _ in range(5):
                fail(ledger)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert known(ledger).failures == 30


def test_two_first_failures_at_once_are_two(
    postgresql_ledger: Any,
    eventually: Callable[[Callable[[], bool]], None],
    somebody_waits_for_a_lock: Callable[[], bool],
) -> None:
    ledger = postgresql_ledger
    errors: list[Exception] = []

    def second() -> None:
        try:
            fail(ledger)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    with ledger.database.write() as connection:
        health.note_failure(connection, *KEY, "refused", misconfigured=False)
        thread.start()
        eventually(lambda: not thread.is_alive() or somebody_waits_for_a_lock())
    thread.join(60)
    assert errors == []
    assert known(ledger).failures == 2
