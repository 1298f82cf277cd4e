"""The ledger as a whole: any order of operations keeps its balance, its files and its leases."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from karnak_core.model import FINAL_STATES, OPEN_STATES, Delivery, Outcome, Outgoing, State, now_ms
from karnak_core.spool import decisions, leases, retention, tallies, views

NODE = "NODE"
DESTINATIONS = ("a", "b", "c")
OWNERS = ("p", "q")
FAR = 3_600_000

destinations = st.sampled_from(DESTINATIONS)
owners = st.sampled_from(OWNERS)
ends = st.sampled_from(
    (
        Outcome(state=State.SENT),
        Outcome(state=State.SENT, reason="0xB000 coercion of data elements"),
        Outcome(state=State.DUPLICATE),
        Outcome(state=State.EXCLUDED, reason="condition not met"),
        Outcome(state=State.FAILED, reason="refused"),
        Outcome(state=State.PENDING, reason="later", not_before=1),
        Outcome(state=State.PENDING, reason="much later", not_before=now_ms() + FAR),
        Outcome(state=State.PENDING, not_before=1, counts=False),
    )
)


def sent_as(item: Delivery) -> Outgoing:
    """What went out for a delivery, with other UIDs."""
    return Outgoing(
        path=item.instance.path,
        dataset_offset=item.instance.dataset_offset,
        size=item.instance.size,
        sop_class_uid=item.instance.sop_class_uid,
        sop_instance_uid=f"9.{item.id}",
        study_instance_uid="9.7",
        series_instance_uid="9.8",
        transfer_syntax_uid=item.instance.transfer_syntax_uid,
    )


class LedgerMachine(RuleBasedStateMachine):
    """Does what the gateway's stages and people do, in any order, beside a model of what should be."""

    ledger: Any

    @initialize()
    def begin(self) -> None:
        self.ledger.clear()
        #: delivery id -> state, owner, attempts
        self.state: dict[int, State] = {}
        self.owner: dict[int, str] = {}
        self.attempts: Counter[int] = Counter()
        self.received: Counter[str] = Counter()
        self.instances = 0
        #: what each owner once claimed: it may settle all of it, lost or not
        self.claimed: dict[str, dict[int, Delivery]] = {owner: {} for owner in OWNERS}

    @rule(
        chosen=st.sets(destinations, min_size=1),
        excluded=st.sampled_from(("", "", "", "DICOMDIR not forwarded")),
        small=st.booleans(),
    )
    def receive(self, chosen: set[str], excluded: str, small: bool) -> None:
        self.ledger.receive(*sorted(chosen), excluded=excluded, small=small and not excluded)
        self.received.update(chosen)
        self.instances += 1
        for number, row in self.ledger.rows().items():
            if number not in self.state:
                assert row["destination"] in chosen
                self.state[number] = State.EXCLUDED if excluded else State.PENDING

    @rule(destination=destinations, owner=owners, limit=st.integers(1, 3))
    def claim(self, destination: str, owner: str, limit: int) -> None:
        got = self.ledger.claim(destination, owner, limit)
        assert len(got) <= limit
        for item in got:
            assert self.state[item.id] is State.PENDING
            assert item.destination == destination
            assert item.attempts == self.attempts[item.id]
            assert item.instance.path.read_bytes() in (b"x", b"small " + item.instance.sop_instance_uid[5:].encode())
            self.state[item.id] = State.LEASED
            self.owner[item.id] = owner
            self.claimed[owner][item.id] = item

    @precondition(lambda self: any(self.claimed.values()))
    @rule(owner=owners, data=st.data())
    def settle(self, owner: str, data: st.DataObject) -> None:
        mine = self.claimed[owner]
        if not mine:
            return
        chosen = data.draw(st.lists(st.sampled_from(sorted(mine)), min_size=1, max_size=4, unique=True))
        outcomes = []
        for number in chosen:
            outcome: Outcome = data.draw(ends)
            if outcome.state in (State.SENT, State.DUPLICATE):
                outcome = Outcome(state=outcome.state, reason=outcome.reason, outgoing=sent_as(mine[number]))
            outcomes.append((mine[number], outcome))
        before = self.ledger.rows()
        self.ledger.settle(owner, *outcomes)
        after = self.ledger.rows()
        for item, outcome in outcomes:
            del mine[item.id]
            if self.state.get(item.id) is State.LEASED and self.owner[item.id] == owner:
                self.state[item.id] = outcome.state
                self.attempts[item.id] += outcome.counts
                del self.owner[item.id]
                untried = not outcome.counts and not outcome.reason
                assert after[item.id]["reason"] == (before[item.id]["reason"] if untried else outcome.reason)
                sent = outcome.outgoing.sop_instance_uid if outcome.outgoing else None
                assert after[item.id]["sent_sop_instance_uid"] == sent
            else:
                assert after.get(item.id) == before.get(item.id)

    @rule(chosen=st.sets(owners, min_size=1))
    def release(self, chosen: set[str]) -> None:
        with self.ledger.database.write() as connection:
            released = leases.release(connection, sorted(chosen))
        lost = [number for number, owner in self.owner.items() if owner in chosen]
        assert released == len(lost)
        for number in lost:
            self.state[number] = State.PENDING
            del self.owner[number]

    @rule(destination=st.one_of(st.none(), destinations), failed_only=st.booleans())
    def retry(self, destination: str | None, failed_only: bool) -> None:
        states = (State.FAILED,) if failed_only else ()
        chosen = self._chosen(destination, states)
        with self.ledger.database.write() as connection:
            done = decisions.retry(connection, views.Filter(destination=destination, states=states), "somebody")
        assert done == len(chosen)
        rows = self.ledger.rows()
        for number in chosen:
            self.state[number] = State.PENDING
            self.attempts[number] = 0
            assert rows[number]["decided_by"] == "somebody"
            assert rows[number]["decided_at"]

    @rule(destination=st.one_of(st.none(), destinations), failed_only=st.booleans())
    def discard(self, destination: str | None, failed_only: bool) -> None:
        states = (State.FAILED,) if failed_only else ()
        chosen = self._chosen(destination, states)
        with self.ledger.database.write() as connection:
            done, removable = decisions.discard(
                connection, views.Filter(destination=destination, states=states), "somebody"
            )
        self.ledger.folder.remove(removable)
        assert done == len(chosen)
        rows = self.ledger.rows()
        for number in chosen:
            self.state[number] = State.DISCARDED
            assert rows[number]["decided_by"] == "somebody"

    def _chosen(self, destination: str | None, states: tuple[State, ...]) -> list[int]:
        """What a person's decision applies to: failed and pending ones, never leased or finished ones."""
        rows = self.ledger.rows()
        return [
            number
            for number, state in self.state.items()
            if state in (states or (State.FAILED, State.PENDING)) and destination in (None, rows[number]["destination"])
        ]

    @rule(known=st.sets(destinations))
    def fail_removed(self, known: set[str]) -> None:
        rows = self.ledger.rows()
        with self.ledger.database.write() as connection:
            failed = leases.fail_removed(connection, [(NODE, name) for name in known])
        gone = [n for n, state in self.state.items() if state is State.PENDING and rows[n]["destination"] not in known]
        assert failed == len(gone)
        for number in gone:
            self.state[number] = State.FAILED

    @rule(at_most=st.sampled_from((0, 1, 3, 1000)), days=st.sampled_from((-1.0, 30.0)))
    def forget(self, at_most: int, days: float) -> None:
        retention.forget_finished(self.ledger.database, days=days, at_most=at_most)
        left = self.ledger.rows()
        for number in [number for number in self.state if number not in left]:
            assert self.state.pop(number) in FINAL_STATES
        finals = [number for number, state in self.state.items() if state in FINAL_STATES]
        assert len(finals) <= (0 if days < 0 else at_most)

    @invariant()
    def every_row_is_as_it_should_be(self) -> None:
        rows = self.ledger.rows()
        assert {number: row["state"] for number, row in rows.items()} == self.state
        for number, row in rows.items():
            assert row["lease_owner"] == self.owner.get(number)
            assert row["attempts"] == self.attempts[number]
            assert (row["not_before"] is not None) == (row["state"] in OPEN_STATES)
            assert (row["finished_at"] is not None) == (row["state"] in (*FINAL_STATES, State.FAILED))

    @invariant()
    def the_numbers_balance(self) -> None:
        with self.ledger.database.read() as connection:
            numbers = views.destination_numbers(connection)
            totals = tallies.read(connection)
        assert totals.get((NODE, "", tallies.RECEIVED), 0) == self.instances
        for destination in DESTINATIONS:
            n = numbers.get((NODE, destination))
            assert self.received[destination] == (
                n.sent + n.duplicate + n.excluded + n.failed + n.discarded + n.pending if n else 0
            )
            assert (n.pending if n else 0) == sum(
                row["destination"] == destination and row["state"] in (State.PENDING, State.LEASED)
                for row in self.ledger.rows().values()
            )

    @invariant()
    def the_bytes_are_kept_if_and_only_if_something_of_it_is_open(self) -> None:
        rows = self.ledger.rows().values()
        with_open = {row["instance_id"] for row in rows if row["state"] in OPEN_STATES}
        paths = self.ledger.paths()
        assert {number for number, path in paths.items() if path is not None} == with_open
        assert {number for number, path in paths.items() if path == ""} == set(self.ledger.contents())
        assert {path for path in paths.values() if path} == {relative for relative, _ in self.ledger.folder.files()}
        assert set(paths) == {row["instance_id"] for row in rows}


def test_any_order_of_operations_keeps_balance_files_and_leases(ledger: Any) -> None:
    machine = type("LedgerMachineHere", (LedgerMachine,), {"ledger": ledger})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
