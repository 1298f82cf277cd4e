"""A worker against a destination that does its worst: every claimed delivery ends settled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from karnak_core import plugins as plugins_module
from karnak_core.database import Database
from karnak_core.database.tables import delivery, destination_health
from karnak_core.deliver.filters import Filters
from karnak_core.deliver.pipeline import Pipeline
from karnak_core.deliver.retry import RetryRule
from karnak_core.deliver.worker import Route, Worker
from karnak_core.errors import DeliveryError, Excluded, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.kinds import Kind
from karnak_core.model import Header, Health, OpenContext, Outgoing, Sent, State, now_ms
from karnak_core.spool import health
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.record import Received, record

NODE, NAME = "NODE", "pacs"
KEY = (NODE, NAME)
FINISHED = {State.SENT, State.DUPLICATE, State.EXCLUDED, State.FAILED}


class Options(BaseModel):
    """No options."""


class Scripted:
    """A destination that asks a function what to do; remembers what it was asked to send."""

    def __init__(self, answer: Callable[[Outgoing], Any]) -> None:
        self._answer = answer
        self.sent: list[str] = []
        self.content: set[bytes] = set()
        self.opened = self.closed = 0
        self.refuses_to_open: list[BaseException] = []
        self.lock = threading.Lock()

    def open(self, _options: Options, _context: OpenContext) -> Scripted:
        if self.refuses_to_open:
            raise self.refuses_to_open.pop(0)
        self.opened += 1
        return self

    def transfer_syntaxes(self, _outgoing: Outgoing) -> tuple[str, ...]:
        return ()

    def send(self, outgoing: Outgoing) -> Sent:
        with self.lock:
            self.sent.append(outgoing.sop_instance_uid)
            self.content.add(outgoing.path.read_bytes())
        answer = self._answer(outgoing)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def probe(self) -> str:
        return "fine"

    def close(self) -> None:
        self.closed += 1
        raise RuntimeError("cannot close")


class FailsToWrite:
    """A database that is away for the next durable writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.failures = 0
        self.failed = threading.Event()

    def read(self) -> AbstractContextManager[sa.Connection]:
        return self._database.read()

    def write(self, *, durable: bool = True) -> AbstractContextManager[sa.Connection]:
        if durable and self.failures:
            self.failures -= 1
            self.failed.set()
            raise sa.exc.OperationalError("COMMIT", None, Exception("server closed the connection"))
        return self._database.write(durable=durable)


class Setting:
    """A ledger, a destination, and workers for it."""

    def __init__(self, database: Database, folder: SpoolFolder) -> None:
        self.database: Any = database
        self.folder = folder
        self.bell = Doorbell()
        self.workers: list[Worker] = []
        self.rule = RetryRule(first=0.0, longest=0.0)
        self._plugins = plugins_module.load((), entries=[])

    def receive(self, count: int) -> None:
        with self.database.write() as connection:
            record(
                connection,
                [
                    Received(
                        forward_node=NODE,
                        calling_ae_title="CALLER",
                        peer_host="127.0.0.1",
                        received_at=now_ms() - 1000 + n,
                        transfer_syntax_uid="1.2.840.10008.1.2",
                        header=Header(sop_class_uid="1.2.3", sop_instance_uid=f"2.25.{n}"),
                        path="",
                        content=f"content {n}".encode(),
                        dataset_offset=0,
                        size=10,
                        destinations=(NAME,),
                    )
                    for n in range(1, count + 1)
                ],
            )

    def start(self, scripted: Scripted, *, owner: str = "owner") -> Worker:
        route = Route(
            forward_node=NODE,
            destination=NAME,
            kind=Kind(name="scripted", config=Options, open=scripted.open),
            options=Options(),
            context=OpenContext(data_directory=Path("nowhere"), forward_node=NODE, destination=NAME),
            pipeline=Pipeline(Filters(NAME, frozenset(), None, self._plugins)),
            rule=self.rule,
        )
        worker = Worker(
            route, database=self.database, folder=self.folder, plugins=self._plugins, owner=owner, bell=self.bell
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            assert worker.join(60), "a worker does not end"

    def rows(self) -> dict[str, sa.RowMapping]:
        """Every delivery by the number of its instance."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(delivery).order_by(delivery.c.id)).mappings()
            return {str(number): row for number, row in enumerate(rows, 1)}

    def states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.rows().values())

    def wait(self, holds: Callable[[], bool]) -> None:
        """Ring and wait until something holds."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.rows()
            self.bell.ring()
            threading.Event().wait(0.01)

    def wait_for_the_end(self) -> None:
        self.wait(lambda: set(self.states()) <= FINISHED)

    def health(self) -> health.DestinationHealth:
        with self.database.read() as connection:
            return health.read(connection, *KEY)

    def make_probe_due(self) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(destination_health).values(next_probe_at=now_ms() - 1))


@pytest.fixture
def setting(database: Database, spool_folder: SpoolFolder) -> Iterator[Setting]:
    made = Setting(database, spool_folder)
    yield made
    made.stop()


def test_everything_is_sent_once_and_its_bytes_are_forgotten(setting: Setting) -> None:
    setting.receive(150)
    scripted = Scripted(lambda _: Sent())
    setting.start(scripted)
    setting.wait_for_the_end()
    setting.stop()
    assert setting.states() == {State.SENT: 150}
    assert sorted(scripted.sent) == sorted(f"2.25.{n}" for n in range(1, 151))
    assert scripted.content == {f"content {n}".encode() for n in range(1, 151)}
    assert (scripted.opened, scripted.closed) == (1, 1)
    with setting.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM content").scalar() == 0


def test_several_workers_send_each_once(setting: Setting) -> None:
    setting.receive(200)
    scripted = Scripted(lambda _: Sent())
    for owner in ("p", "p", "q", "q"):
        setting.start(scripted, owner=owner)
    setting.wait_for_the_end()
    setting.stop()
    assert Counter(scripted.sent) == Counter({f"2.25.{n}": 1 for n in range(1, 201)})


def test_whatever_is_raised_every_delivery_ends_as_it_should(setting: Setting) -> None:
    """Each instance meets its trouble first, then success."""
    setting.receive(9)
    first = {
        "1": Sent(duplicate=True),
        "2": Retryable("out of resources\0"),
        "3": Permanent("refused"),
        "4": Excluded("rule"),
        "5": ValueError("a patient's name"),
        "6": None,
        "7": FileNotFoundError(2, "no such file", "client.pem"),
        "8": Unreachable("connection reset"),
        "9": Misconfigured("not authorised"),
    }

    def answer(outgoing: Outgoing) -> Any:
        return first.pop(outgoing.sop_instance_uid.rpartition(".")[2], Sent())

    setting.start(Scripted(answer))

    def finished() -> bool:
        setting.make_probe_due()
        return set(setting.states()) <= FINISHED

    setting.wait(finished)
    setting.stop()
    rows = setting.rows()
    assert {number: row["state"] for number, row in rows.items()} == {
        "1": State.DUPLICATE,
        "2": State.SENT,
        "3": State.FAILED,
        "4": State.EXCLUDED,
        **dict.fromkeys("56789", State.SENT),
    }
    # a refusal of us costs no attempt
    assert {number: row["attempts"] for number, row in rows.items()} == {
        **dict.fromkeys("134", 1),
        **dict.fromkeys("25678", 2),
        "9": 1,
    }
    assert not any("patient" in row["reason"] for row in rows.values())
    assert setting.health().well


def test_a_destination_that_does_not_answer_costs_one_attempt_and_the_rest_wait(setting: Setting) -> None:
    setting.receive(10)
    scripted = Scripted(lambda _: Unreachable("connection refused"))
    setting.start(scripted)
    setting.wait(lambda: setting.health().health is Health.UNREACHABLE)
    setting.stop()
    assert setting.states() == {State.PENDING: 10}
    # one at a time until it is known to be unreachable
    assert sum(row["attempts"] for row in setting.rows().values()) == len(scripted.sent)
    assert len(scripted.sent) == health.FAILURES_UNTIL_UNREACHABLE


def test_an_unreachable_destination_gets_one_probe_at_a_time_from_all_workers(setting: Setting) -> None:
    setting.receive(20)
    with setting.database.write() as connection:
        for _ in range(health.FAILURES_UNTIL_UNREACHABLE):
            health.note_failure(connection, *KEY, "connection refused", misconfigured=False)
    probing = threading.Semaphore(0)
    go_on = threading.Event()

    def answer(_: Outgoing) -> Any:
        probing.release()
        assert go_on.wait(60)
        return Sent()

    scripted = Scripted(answer)
    setting.make_probe_due()
    for _ in range(3):
        setting.start(scripted)
    assert probing.acquire(timeout=60)
    for _ in range(20):
        setting.bell.ring()
        assert not probing.acquire(timeout=0.01)
    go_on.set()
    setting.wait_for_the_end()
    assert setting.health().well


def test_a_destination_that_refuses_us_is_held_and_costs_nothing(setting: Setting) -> None:
    setting.receive(5)
    scripted = Scripted(lambda _: Misconfigured("calling AE title not recognised"))
    setting.start(scripted)
    setting.wait(lambda: setting.health().health is Health.HELD and set(setting.states()) == {State.PENDING})
    setting.stop()
    assert len(scripted.sent) == 1
    assert {row["attempts"] for row in setting.rows().values()} == {0}


@pytest.mark.parametrize("error", [Misconfigured("certificate refused"), Unreachable("no such host"), Permanent("no")])
def test_a_destination_that_cannot_be_opened_costs_nothing(setting: Setting, error: DeliveryError) -> None:
    setting.receive(3)
    scripted = Scripted(lambda _: Sent())
    scripted.refuses_to_open = [error]
    setting.start(scripted)

    def finished() -> bool:
        setting.make_probe_due()
        return set(setting.states()) <= FINISHED

    setting.wait(finished)
    assert {(row["state"], row["attempts"]) for row in setting.rows().values()} == {(State.SENT, 1)}


def test_an_unexpected_error_from_open_leaves_nothing_leased(setting: Setting) -> None:
    setting.receive(3)
    scripted = Scripted(lambda _: Sent())
    scripted.refuses_to_open = [ValueError("a bug")] * 1000
    setting.start(scripted)
    setting.wait(lambda: len(scripted.refuses_to_open) < 1000)
    setting.stop()
    assert {(row["state"], row["attempts"], row["lease_owner"]) for row in setting.rows().values()} == {
        (State.PENDING, 0, None)
    }


def test_an_unexpected_error_from_open_is_tried_again(setting: Setting) -> None:
    setting.receive(3)
    scripted = Scripted(lambda _: Sent())
    scripted.refuses_to_open = [ValueError("a bug")]
    setting.start(scripted)
    setting.wait_for_the_end()
    assert setting.states() == {State.SENT: 3}


def test_an_outcome_that_could_not_be_stored_is_stored_later_and_nothing_is_sent_twice(setting: Setting) -> None:
    setting.receive(5)
    setting.database = flaky = FailsToWrite(setting.database)
    flaky.failures = 2
    scripted = Scripted(lambda _: Sent())
    setting.start(scripted)
    setting.wait_for_the_end()
    setting.stop()
    assert Counter(scripted.sent) == Counter({f"2.25.{n}": 1 for n in range(1, 6)})
    assert setting.states() == {State.SENT: 5}


def test_a_worker_stopped_while_the_database_is_away_leaves_nothing_leased(setting: Setting) -> None:
    """Its process may live on with other workers: nobody else would settle what it has leased."""
    setting.receive(3)
    setting.database = flaky = FailsToWrite(setting.database)
    flaky.failures = 1
    scripted = Scripted(lambda _: Sent())
    worker = setting.start(scripted)
    assert flaky.failed.wait(60)
    worker.stop()
    assert worker.join(60)
    assert Counter(scripted.sent) == Counter({f"2.25.{n}": 1 for n in range(1, 4)})
    assert setting.states() == {State.SENT: 3}


def test_stopped_in_a_batch_it_finishes_the_one_in_flight_and_returns_the_rest(setting: Setting) -> None:
    setting.receive(10)
    sending, go_on = threading.Event(), threading.Event()

    def answer(outgoing: Outgoing) -> Any:
        if outgoing.sop_instance_uid == "2.25.4":
            sending.set()
            assert go_on.wait(60)
        return Sent()

    scripted = Scripted(answer)
    worker = setting.start(scripted)
    assert sending.wait(60)
    assert setting.states() == {State.LEASED: 10}
    worker.stop()
    worker.stop()
    assert not worker.join(0.05)
    go_on.set()
    assert worker.join(60)
    assert len(scripted.sent) == 4
    assert scripted.closed == 1
    assert [(row["state"], row["attempts"], row["lease_owner"]) for row in setting.rows().values()] == [
        *[(State.SENT, 1, None)] * 4,
        *[(State.PENDING, 0, None)] * 6,
    ]


def test_an_idle_worker_stops_at_once(setting: Setting) -> None:
    worker = setting.start(Scripted(lambda _: Sent()))
    started = time.monotonic()
    worker.stop()
    assert worker.join(60)
    assert time.monotonic() - started < 4


def test_an_idle_worker_begins_when_the_bell_rings(setting: Setting) -> None:
    scripted = Scripted(lambda _: Sent())
    setting.start(scripted)
    setting.receive(1)
    started = time.monotonic()
    setting.wait_for_the_end()
    assert time.monotonic() - started < 4


def test_what_is_tried_again_keeps_its_reason_until_then(setting: Setting) -> None:
    setting.rule = RetryRule(first=3600, longest=3600)
    setting.receive(2)
    setting.start(Scripted(lambda _: Retryable("out of resources")))
    setting.wait(lambda: all(row["attempts"] == 1 for row in setting.rows().values()))
    setting.stop()
    assert {(row["state"], row["reason"]) for row in setting.rows().values()} == {(State.PENDING, "out of resources")}
    assert any(row["not_before"] > now_ms() for row in setting.rows().values())


def test_what_is_returned_untried_keeps_the_reason_of_its_last_attempt(setting: Setting) -> None:
    setting.receive(2)
    with setting.database.write() as connection:
        connection.execute(sa.update(delivery).values(reason="out of resources", attempts=3))
    sending, go_on = threading.Event(), threading.Event()

    def answer(_: Outgoing) -> Any:
        sending.set()
        assert go_on.wait(60)
        return Sent()

    worker = setting.start(Scripted(answer))
    assert sending.wait(60)
    worker.stop()
    go_on.set()
    assert worker.join(60)
    rows = setting.rows()
    assert (rows["1"]["state"], rows["1"]["reason"]) == (State.SENT, "")
    assert (rows["2"]["state"], rows["2"]["reason"], rows["2"]["attempts"]) == (State.PENDING, "out of resources", 3)


def test_it_is_given_up_after_its_time(setting: Setting) -> None:
    setting.rule = RetryRule(first=0, longest=0, give_up_after=0.5)
    setting.receive(1)
    setting.start(Scripted(lambda _: Retryable("out of resources")))
    setting.wait_for_the_end()
    (row,) = setting.rows().values()
    assert row["state"] == State.FAILED
    assert "out of resources" in row["reason"]
    with setting.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM content").scalar() == 1


def test_a_ring_during_work_is_heard_after_it() -> None:
    bell = Doorbell()
    heard = bell.heard()
    bell.ring()
    assert bell.wait(heard, 0)
    heard = bell.heard()
    assert not bell.wait(heard, 0)


def test_a_ring_wakes_everyone_who_waits() -> None:
    bell = Doorbell()
    woken: list[bool] = []
    heard = bell.heard()
    threads = [threading.Thread(target=lambda: woken.append(bell.wait(heard, 60))) for _ in range(5)]
    for thread in threads:
        thread.start()
    bell.ring()
    for thread in threads:
        thread.join(60)
    assert woken == [True] * 5
