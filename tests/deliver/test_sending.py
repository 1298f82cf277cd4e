"""One batch through a destination's part: what it raises or answers becomes an outcome, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from karnak_core.deliver.conversion import Prepared
from karnak_core.deliver.retry import RetryRule
from karnak_core.deliver.sending import deliver
from karnak_core.errors import DeliveryError, Excluded, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import Delivery, Instance, Outcome, Outgoing, Sent, State

Answer = Any


class Unchanged:
    """A pipeline that changes nothing, or raises what it is told to for some."""

    def __init__(self, raises: dict[str, Exception] | None = None) -> None:
        self._raises = raises or {}

    def prepare(self, instance: Instance) -> Prepared:
        if instance.sop_instance_uid in self._raises:
            raise self._raises[instance.sop_instance_uid]
        outgoing = Outgoing(
            path=instance.path,
            dataset_offset=instance.dataset_offset,
            size=instance.size,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
        )
        return Prepared(outgoing=outgoing)

    def due(self, _instance: Instance, _outgoing: Outgoing) -> tuple[()]:
        return ()


class OneByOne:
    """A plain destination with a script."""

    def __init__(self, *script: Answer) -> None:
        self._script = list(script)
        self.sent: list[str] = []

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        return ()

    def send(self, outgoing: Outgoing) -> Sent:
        self.sent.append(outgoing.sop_instance_uid)
        answer = self._script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def probe(self) -> str:
        return "fine"

    def close(self) -> None:
        pass


class InBatches(OneByOne):
    """A destination that sees the whole batch; the script is a function."""

    def __init__(self, answers: Callable[[Sequence[Outgoing]], Iterator[tuple[Outgoing, Answer]]]) -> None:
        super().__init__()
        self._answers = answers

    def send_batch(self, batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Sent | DeliveryError]]:
        return self._answers(batch)


@pytest.fixture
def spooled(tmp_path: Path) -> Path:
    path = tmp_path / "file.dcm"
    path.write_bytes(b"x")
    return path


def batch_of(count: int, path: Path) -> list[Delivery]:
    return [
        Delivery(
            id=n,
            destination="a",
            attempts=0,
            created_at=2**42,
            since=2**42,
            instance=Instance(
                id=n,
                forward_node="NODE",
                calling_ae_title="CALLER",
                peer_host="127.0.0.1",
                received_at=2**42,
                sop_class_uid="1.2.3",
                sop_instance_uid=f"2.25.{n}",
                study_instance_uid="2.25.2",
                series_instance_uid="2.25.3",
                transfer_syntax_uid="1.2.840.10008.1.2",
                path=path,
                dataset_offset=0,
                size=1,
            ),
        )
        for n in range(1, count + 1)
    ]


def run(
    destination: Any, batch: list[Delivery], pipeline: Any = None
) -> dict[int, tuple[Outcome, DeliveryError | None]]:
    found: dict[int, tuple[Outcome, DeliveryError | None]] = {}
    for delivery, outcome, error in deliver(batch, pipeline or Unchanged(), destination, RetryRule()):
        assert delivery.id not in found, "an outcome twice"
        found[delivery.id] = (outcome, error)
    return found


def states(found: dict[int, tuple[Outcome, Any]]) -> dict[int, State]:
    return {number: outcome.state for number, (outcome, _) in found.items()}


def test_answers_become_outcomes_with_what_went_out(spooled: Path) -> None:
    destination = OneByOne(Sent(), Sent(warning="0xB000 coercion"), Sent(duplicate=True))
    found = run(destination, batch_of(3, spooled))
    assert states(found) == {1: State.SENT, 2: State.SENT, 3: State.DUPLICATE}
    assert found[2][0].reason == "0xB000 coercion"
    assert all(
        outcome.outgoing and outcome.outgoing.sop_instance_uid == f"2.25.{n}" for n, (outcome, _) in found.items()
    )
    assert all(error is None for _, error in found.values())


@pytest.mark.parametrize("error", [Retryable("full"), Unreachable("gone"), Misconfigured("not authorised")])
def test_after_trouble_the_rest_is_not_tried(spooled: Path, error: DeliveryError) -> None:
    destination = OneByOne(Sent(), error, Sent())
    found = run(destination, batch_of(3, spooled))
    assert states(found) == {1: State.SENT, 2: State.PENDING}
    assert found[2] == (found[2][0], error)
    assert destination.sent == ["2.25.1", "2.25.2"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Permanent("refused"), State.FAILED),
        (Excluded("rule"), State.EXCLUDED),
        (ValueError("a patient's name"), State.PENDING),
        (ZeroDivisionError(), State.PENDING),
    ],
)
def test_what_concerns_one_instance_does_not_stop_the_rest(spooled: Path, error: Exception, state: State) -> None:
    found = run(OneByOne(Sent(), error, Sent()), batch_of(3, spooled))
    assert states(found) == {1: State.SENT, 2: state, 3: State.SENT}


def test_an_unexpected_error_counts_as_an_attempt_and_its_text_is_not_shown(spooled: Path) -> None:
    found = run(OneByOne(ValueError("a patient's name")), batch_of(1, spooled))
    outcome, error = found[1]
    assert outcome.counts
    assert "ValueError" in outcome.reason
    assert "patient" not in outcome.reason
    assert isinstance(error, Retryable)


@pytest.mark.parametrize("answer", [None, "sent", True, 0, object()])
def test_an_answer_that_is_none_is_no_success(spooled: Path, answer: Answer) -> None:
    found = run(OneByOne(answer, Sent()), batch_of(2, spooled))
    assert states(found) == {1: State.PENDING, 2: State.SENT}
    assert found[1][0].counts
    in_batch = InBatches(lambda batch: iter([(batch[0], answer), (batch[1], Sent())]))
    assert states(run(in_batch, batch_of(2, spooled))) == {1: State.PENDING, 2: State.SENT}


def test_an_exception_yielded_that_is_no_delivery_error_is_a_bug(spooled: Path) -> None:
    destination = InBatches(lambda batch: iter([(batch[0], ValueError("x"))]))
    assert states(run(destination, batch_of(1, spooled))) == {1: State.PENDING}


def test_a_missing_spool_file_fails(tmp_path: Path) -> None:
    missing = tmp_path / "gone.dcm"
    found = run(OneByOne(FileNotFoundError(2, "no such file", str(missing))), batch_of(1, missing))
    assert states(found) == {1: State.FAILED}
    assert "spool file" in found[1][0].reason


def test_another_missing_file_is_not_taken_for_the_spool_file(spooled: Path) -> None:
    found = run(OneByOne(FileNotFoundError(2, "no such file", "client.pem")), batch_of(1, spooled))
    assert states(found) == {1: State.PENDING}


def test_what_cannot_be_prepared_is_not_sent_and_does_not_stop_the_rest(spooled: Path) -> None:
    pipeline = Unchanged(
        {
            "2.25.1": Excluded("condition not met"),
            "2.25.2": Permanent("cannot be read"),
            "2.25.3": RuntimeError("a patient's name"),
            "2.25.4": Retryable("later"),
        }
    )
    destination = OneByOne(Sent())
    found = run(destination, batch_of(5, spooled), pipeline)
    assert states(found) == {
        1: State.EXCLUDED,
        2: State.FAILED,
        3: State.PENDING,
        4: State.PENDING,
        5: State.SENT,
    }
    assert destination.sent == ["2.25.5"]
    assert "patient" not in found[3][0].reason
    # nothing of this says anything about the destination
    assert [error for _, error in found.values()] == [None] * 5


def test_nothing_ready_means_the_destination_is_not_asked(spooled: Path) -> None:
    def never(_batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Answer]]:
        pytest.fail("asked")

    pipeline = Unchanged({"2.25.1": Excluded("rule")})
    assert states(run(InBatches(never), batch_of(1, spooled), pipeline)) == {1: State.EXCLUDED}
    assert run(InBatches(never), []) == {}


def test_batch_answers_come_in_any_order(spooled: Path) -> None:
    destination = InBatches(lambda batch: ((each, Sent()) for each in reversed(batch)))
    assert states(run(destination, batch_of(3, spooled))) == dict.fromkeys((3, 2, 1), State.SENT)


def test_what_a_batch_does_not_answer_was_not_tried(spooled: Path) -> None:
    destination = InBatches(lambda batch: iter([(batch[1], Sent())]))
    assert states(run(destination, batch_of(3, spooled))) == {2: State.SENT}


def test_a_batch_without_any_answer_is_a_bug_and_waits_before_it_is_asked_again(spooled: Path) -> None:
    found = run(InBatches(lambda _: iter(())), batch_of(3, spooled))
    assert states(found) == {1: State.PENDING}
    assert found[1][0].counts
    assert found[1][0].not_before > 0


def test_an_answer_twice_or_for_a_stranger_changes_nothing(spooled: Path, caplog: pytest.LogCaptureFixture) -> None:
    stranger = Unchanged().prepare(batch_of(1, spooled)[0].instance).outgoing
    destination = InBatches(
        lambda batch: iter(
            [(batch[0], Sent()), (batch[0], Permanent("no")), (stranger, Sent()), (batch[1], Permanent("refused"))]
        )
    )
    assert states(run(destination, batch_of(2, spooled))) == {1: State.SENT, 2: State.FAILED}
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unreachable("gone"), State.PENDING),
        (Misconfigured("token refused"), State.PENDING),
        (Permanent("refused"), State.FAILED),
        (KeyError("x"), State.PENDING),
    ],
)
def test_what_a_batch_raises_belongs_to_the_next_unanswered(spooled: Path, error: Exception, state: State) -> None:
    def answers(batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Answer]]:
        yield batch[0], Sent()
        raise error

    found = run(InBatches(answers), batch_of(3, spooled))
    assert states(found) == {1: State.SENT, 2: state}
    assert isinstance(found[2][1], DeliveryError)


@pytest.mark.parametrize("error", [Unreachable("cut while closing"), KeyError("x")])
def test_what_a_batch_raises_after_its_last_answer_changes_none(spooled: Path, error: Exception) -> None:
    def answers(batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Answer]]:
        for each in batch:
            yield each, Sent()
        raise error

    assert states(run(InBatches(answers), batch_of(2, spooled))) == {1: State.SENT, 2: State.SENT}


def test_a_batch_that_raises_at_once_is_caught(spooled: Path) -> None:
    def answers(_batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Answer]]:
        raise Unreachable("gone")

    assert states(run(InBatches(answers), batch_of(2, spooled))) == {1: State.PENDING}


def test_each_outcome_is_told_before_the_next_is_sent(spooled: Path) -> None:
    destination = OneByOne(Sent(), Sent(), Sent())
    told = deliver(batch_of(3, spooled), Unchanged(), destination, RetryRule())  # type: ignore[arg-type]
    for count in (1, 2, 3):
        next(told)
        assert len(destination.sent) == count


def test_giving_up_early_closes_the_destinations_iterator(spooled: Path) -> None:
    closed = []

    def answers(batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Answer]]:
        try:
            for each in batch:
                yield each, Sent()
        finally:
            closed.append(True)

    told = deliver(batch_of(3, spooled), Unchanged(), InBatches(answers), RetryRule())  # type: ignore[arg-type]
    next(told)
    told.close()
    assert closed == [True]
