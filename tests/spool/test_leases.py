"""Claims and settlements that happen at the same time."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import delivery
from karnak_core.model import Delivery, Outcome, State, now_ms
from karnak_core.spool import decisions, leases, lost, views

NODE = "NODE"
SENT = Outcome(state=State.SENT)

Eventually = Callable[[Callable[[], bool]], None]


def together(*works: Callable[[], object]) -> None:
    """Run in threads that begin at once; raise what any of them raised."""
    gate = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        gate.wait(60)
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "they wait for one another"
    if errors:
        raise errors[0]


def test_what_is_due_longest_is_claimed_first(ledger: Any) -> None:
    now = now_ms()
    for age in (1000, 3000, 2000):
        ledger.receive("a", received_at=now - age)
    assert [now - item.created_at for item in ledger.claim("a", "p", 2)] == [3000, 2000]
    assert [now - item.created_at for item in ledger.claim("a", "p", 2)] == [1000]


def test_what_is_not_due_is_not_claimed_and_says_when(ledger: Any) -> None:
    ledger.receive("a")
    (item,) = ledger.claim("a", "p")
    later = now_ms() + 60_000
    ledger.settle("p", (item, Outcome(state=State.PENDING, not_before=later)))
    assert ledger.claim("a", "p") == []
    with ledger.database.read() as connection:
        assert leases.next_due(connection, NODE, "a") == later
        assert leases.next_due(connection, NODE, "b") is None


def test_another_node_or_destination_gets_nothing_of_it(ledger: Any) -> None:
    ledger.receive("a")
    assert ledger.claim("b", "p") == []
    with ledger.database.write() as connection:
        assert leases.claim(connection, ledger.folder, "OTHER", "a", "p", 10) == []


def test_owners_that_claim_at_once_never_get_the_same_delivery(ledger: Any) -> None:
    ledger.record(*(ledger.received("a") for _ in range(400)))
    got: list[tuple[str, int]] = []

    def claim_all(owner: str) -> Callable[[], None]:
        def work() -> None:
            misses = 0
            while misses < 3:
                items = ledger.claim("a", owner, 7)
                misses = 0 if items else misses + 1
                got.extend((owner, item.id) for item in items)

        return work

    together(*(claim_all(owner) for owner in "pqrs"))
    counts = Counter(number for _, number in got)
    assert len(counts) == 400
    assert set(counts.values()) == {1}
    assert {number: row["lease_owner"] for number, row in ledger.rows().items()} == {n: owner for owner, n in got}


def test_of_destinations_that_settle_one_instance_at_once_exactly_one_gets_the_file(ledger: Any) -> None:
    names = ("a", "b", "c")
    ledger.record(*(ledger.received(*names) for _ in range(60)))
    claimed = {name: ledger.claim(name, name, 100) for name in names}
    files: list[str] = []

    def settle_all(name: str) -> Callable[[], None]:
        def work() -> None:
            # in unlike order, as the destinations' own speeds would have it
            items = claimed[name] if name != "b" else claimed[name][::-1]
            for start in range(0, len(items), 5):
                files.extend(ledger.settle(name, *((item, SENT) for item in items[start : start + 5])))

        return work

    together(*(settle_all(name) for name in names))
    assert len(files) == len(set(files)) == 60
    assert set(ledger.paths().values()) == {None}
    assert list(ledger.folder.files()) == []


def test_a_discard_and_a_settlement_at_once_still_remove_the_file(ledger: Any) -> None:
    ledger.record(*(ledger.received("a", "b") for _ in range(40)))
    ledger.end("b", State.FAILED)
    items = ledger.claim("a", "p", 100)

    def settle() -> None:
        for item in items:
            ledger.settle("p", (item, SENT))

    def discard() -> None:
        for row in sorted(ledger.rows().values(), key=lambda row: row["id"]):
            if row["destination"] == "b":
                with ledger.database.write() as connection:
                    _, removable = decisions.discard(connection, views.Filter(ids=[row["id"]]), "somebody")
                ledger.folder.remove(removable)

    together(settle, discard)
    assert {row["state"] for row in ledger.rows().values()} == {State.SENT, State.DISCARDED}
    assert set(ledger.paths().values()) == {None}
    assert list(ledger.folder.files()) == []


def test_a_discard_that_meets_an_unfinished_settlement_leaves_no_file_behind(
    postgresql_ledger: Any, eventually: Eventually, somebody_waits_for_a_lock: Callable[[], bool]
) -> None:
    ledger = postgresql_ledger
    ledger.receive("a", "b")
    ledger.end("b", State.FAILED)
    (item,) = ledger.claim("a", "p")
    discarded: list[tuple[int, list[str]]] = []

    def discard() -> None:
        with ledger.database.write() as connection:
            discarded.append(decisions.discard(connection, views.Filter(destination="b"), "somebody"))

    thread = threading.Thread(target=discard)
    with ledger.database.write() as connection:
        settled = leases.settle(connection, "p", [(item, SENT)])
        thread.start()
        eventually(lambda: not thread.is_alive() or somebody_waits_for_a_lock())
    thread.join(60)
    assert not thread.is_alive()
    assert len(settled) + len(discarded[0][1]) == 1
    assert set(ledger.paths().values()) == {None}


def test_two_discards_at_once_leave_no_file_behind(
    postgresql_ledger: Any, eventually: Eventually, somebody_waits_for_a_lock: Callable[[], bool]
) -> None:
    ledger = postgresql_ledger
    ledger.receive("a", "b")
    files: list[str] = []

    def discard(name: str) -> None:
        with ledger.database.write() as connection:
            files.extend(decisions.discard(connection, views.Filter(destination=name), "somebody")[1])

    thread = threading.Thread(target=discard, args=("b",))
    with ledger.database.write() as connection:
        files.extend(decisions.discard(connection, views.Filter(destination="a"), "somebody")[1])
        thread.start()
        eventually(lambda: not thread.is_alive() or somebody_waits_for_a_lock())
    thread.join(60)
    assert len(files) == 1
    assert set(ledger.paths().values()) == {None}


def test_a_lease_lost_while_it_is_settled_stays_lost(
    postgresql_ledger: Any, eventually: Eventually, somebody_waits_for_a_lock: Callable[[], bool]
) -> None:
    ledger = postgresql_ledger
    ledger.receive("a")
    (item,) = ledger.claim("a", "p")
    files: list[str] = []
    thread = threading.Thread(target=lambda: files.extend(ledger.settle("p", (item, SENT))))
    with ledger.database.write() as connection:
        assert leases.release(connection, ["p"]) == 1
        thread.start()
        eventually(lambda: not thread.is_alive() or somebody_waits_for_a_lock())
    thread.join(60)
    (row,) = ledger.rows().values()
    assert (row["state"], row["lease_owner"]) == (State.PENDING, None)
    assert files == []
    with ledger.database.read() as connection:
        assert views.destination_numbers(connection)[NODE, "a"].sent == 0


def test_a_lost_lease_cannot_be_settled(ledger: Any) -> None:
    ledger.receive("a")
    (item,) = ledger.claim("a", "p")
    with ledger.database.write() as connection:
        assert leases.release(connection, ["p"]) == 1
    (again,) = ledger.claim("a", "q")
    assert again.id == item.id
    before = ledger.rows()
    for state in (State.SENT, State.FAILED, State.PENDING, State.EXCLUDED):
        assert ledger.settle("p", (item, Outcome(state=state))) == []
    assert ledger.rows() == before
    assert again.instance.path.exists()
    assert ledger.settle("q", (again, SENT))


def test_settling_twice_counts_once(ledger: Any) -> None:
    ledger.receive("a")
    (item,) = ledger.claim("a", "p")
    assert len(ledger.settle("p", (item, SENT))) == 1
    assert ledger.settle("p", (item, SENT)) == []
    with ledger.database.read() as connection:
        assert views.destination_numbers(connection)[NODE, "a"].sent == 1


def test_no_reason_is_too_odd_to_be_stored(ledger: Any) -> None:
    for reason in ("refused\0 by the peer", "refused \ud800 by the peer", "x" * 100_000):
        for state in (State.FAILED, State.PENDING, State.EXCLUDED, State.SENT):
            ledger.receive("a")
            (item,) = ledger.claim("a", "p")
            ledger.settle("p", (item, Outcome(state=state, reason=reason)))
            row = ledger.rows()[item.id]
            assert row["state"] == state
            assert row["reason"]
            with ledger.database.write() as connection:
                decisions.discard(connection, views.Filter(ids=[item.id]), "somebody")


def test_a_person_may_retry_and_the_time_counts_from_then(ledger: Any) -> None:
    ledger.receive("a", received_at=now_ms() - 10_000_000)
    ledger.end("a", State.FAILED)
    before = now_ms()
    with ledger.database.write() as connection:
        assert decisions.retry(connection, views.Filter(), "somebody") == 1
    (item,) = ledger.claim("a", "p")
    assert item.since >= before
    assert item.attempts == 0


def test_a_retry_makes_what_waits_for_its_time_due(ledger: Any) -> None:
    ledger.receive("a")
    (item,) = ledger.claim("a", "p")
    ledger.settle("p", (item, Outcome(state=State.PENDING, not_before=now_ms() + 60_000)))
    with ledger.database.write() as connection:
        assert decisions.retry(connection, views.Filter(states=(State.PENDING,)), "somebody") == 1
    assert len(ledger.claim("a", "p")) == 1


def test_neither_retry_nor_discard_touches_what_is_leased_or_finished(ledger: Any) -> None:
    ledger.receive("a")
    ledger.end("a", State.SENT)
    ledger.receive("a")
    ledger.claim("a", "p")
    before = ledger.rows()
    with ledger.database.write() as connection:
        assert decisions.retry(connection, views.Filter(), "somebody") == 0
        assert decisions.discard(connection, views.Filter(), "somebody") == (0, [])
    assert ledger.rows() == before


def test_a_claimed_delivery_tells_what_was_recorded(ledger: Any) -> None:
    received = ledger.receive("a")
    (item,) = ledger.claim("a", "p")
    instance = item.instance
    assert instance.path == ledger.folder.path(received.path)
    assert (instance.forward_node, instance.calling_ae_title, instance.peer_host) == (NODE, "CALLER", "127.0.0.1")
    assert instance.sop_instance_uid == received.header.sop_instance_uid
    assert instance.facts == {"Modality": "CT"}
    assert (instance.dataset_offset, instance.size) == (132, 1)


def test_every_instance_of_a_batch_gets_its_own_deliveries(ledger: Any) -> None:
    batch = [ledger.received(*(name for name in "abc" if (n >> "abc".index(name)) & 1)) for n in range(1, 8)] * 1
    ledger.record(*batch)
    got: dict[str, set[str]] = {}
    for name in "abc":
        for item in ledger.claim(name, "p"):
            got.setdefault(item.instance.sop_instance_uid, set()).add(name)
            assert item.instance.path == ledger.folder.path(
                next(r.path for r in batch if r.header.sop_instance_uid == item.instance.sop_instance_uid)
            )
    assert got == {received.header.sop_instance_uid: set(received.destinations) for received in batch}


def test_readers_see_balanced_numbers_while_workers_settle(ledger: Any) -> None:
    ledger.record(*(ledger.received("a") for _ in range(300)))
    done = threading.Event()
    sums: set[int] = set()

    def read() -> None:
        while not done.is_set():
            with ledger.database.read() as connection:
                n = views.destination_numbers(connection)[NODE, "a"]
            sums.add(n.sent + n.duplicate + n.excluded + n.failed + n.discarded + n.pending)

    def settle() -> None:
        try:
            while items := ledger.claim("a", "p", 5):
                ledger.settle("p", *((item, SENT) for item in items))
        finally:
            done.set()

    together(read, read, settle)
    assert sums == {300}


def test_deliveries_of_a_removed_destination_fail_and_are_kept(ledger: Any) -> None:
    ledger.receive("a", "b")
    with ledger.database.write() as connection:
        assert leases.fail_removed(connection, [(NODE, "b")]) == 1
    states = {row["destination"]: row["state"] for row in ledger.rows().values()}
    assert states == {"a": State.FAILED, "b": State.PENDING}
    assert len(list(ledger.folder.files())) == 1


def test_a_delivery_that_kills_its_process_waits_longer_each_time(ledger: Any) -> None:
    ledger.record(ledger.received("a"))
    waits = []
    for attempt in range(6):
        owner = f"owner-{attempt}"
        with ledger.database.write() as connection:
            connection.execute(sa.update(delivery).values(not_before=1))
            assert len(leases.claim(connection, ledger.folder, NODE, "a", owner, 10)) == 1
            before = now_ms()
            assert leases.release(connection, [owner], crashed=True) == 1
            row = connection.execute(sa.select(delivery.c.attempts, delivery.c.not_before, delivery.c.state)).one()
        assert (row.attempts, row.state) == (attempt + 1, State.PENDING)
        waits.append(round((row.not_before - before) / 1000))
    assert waits == [0, 0, 0, 1, 4, 9]


def test_a_delivery_that_keeps_killing_its_process_fails_in_the_end_and_says_why(ledger: Any) -> None:
    ledger.record(ledger.received("a"))
    for attempt in range(lost.MOST_CRASHES):
        with ledger.database.write() as connection:
            connection.execute(sa.update(delivery).values(not_before=1))
            assert len(leases.claim(connection, ledger.folder, NODE, "a", f"owner-{attempt}", 10)) == 1
            leases.release(connection, [f"owner-{attempt}"], crashed=True)
    with ledger.database.read() as connection:
        row = connection.execute(sa.select(delivery)).one()
    assert (row.state, row.reason) == (State.FAILED, "the process that was at it ended unexpectedly")
    assert row.finished_at is not None
    assert row.lease_owner is None


def test_of_two_versions_of_an_instance_the_newer_waits_for_the_older(ledger: Any) -> None:
    older = ledger.received("a", "b")
    newer = dataclasses.replace(ledger.received("a", "b"), header=older.header)
    ledger.record(older, newer)
    (first,) = ledger.claim("a", "one")
    assert ledger.claim("a", "two") == []
    assert len(ledger.claim("b", "two")) == 1  # another destination goes its own way
    ledger.settle("one", (first, SENT))
    (second,) = ledger.claim("a", "two")
    assert second.instance.id > first.instance.id


def test_releasing_nobody_changes_nothing(ledger: Any) -> None:
    ledger.receive("a")
    ledger.claim("a", "p")
    with ledger.database.write() as connection:
        assert leases.release(connection, []) == 0
        assert leases.release(connection, ["nobody"]) == 0
        leased = connection.execute(
            sa.select(sa.func.count()).select_from(delivery).where(delivery.c.lease_owner.is_not(None))
        ).scalar_one()
    assert leased == 1


def test_releases_and_settlements_at_once_lose_nothing(ledger: Any) -> None:
    """Owners settle what they have while somebody keeps declaring them dead: each delivery ends once."""
    ledger.record(*(ledger.received("a") for _ in range(120)))
    done = threading.Event()
    finished = 0

    def work(owner: str) -> Callable[[], None]:
        def run() -> None:
            while not done.is_set():
                items: list[Delivery] = ledger.claim("a", owner, 6)
                ledger.settle(owner, *((item, SENT) for item in items[::-1]))

        return run

    def declare_dead() -> None:
        nonlocal finished
        while finished < 120:
            with ledger.database.write() as connection:
                leases.release(connection, ["p", "q"])
            finished = sum(row["state"] == State.SENT for row in ledger.rows().values())
        done.set()

    together(work("p"), work("q"), declare_dead)
    with ledger.database.read() as connection:
        assert views.destination_numbers(connection)[NODE, "a"].sent == 120
    assert list(ledger.folder.files()) == []
