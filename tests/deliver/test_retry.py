"""From an error to what becomes of the delivery."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karnak_core.deliver.retry import RetryRule, back_off, decide
from karnak_core.errors import DeliveryError, Excluded, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import Delivery, Instance, State, now_ms

RULE = RetryRule()
WEEK_MS = 7 * 24 * 3600 * 1000


def make_delivery(*, attempts: int = 0, since: int | None = None) -> Delivery:
    since = now_ms() if since is None else since
    return Delivery(
        id=1,
        destination="a",
        attempts=attempts,
        created_at=since,
        since=since,
        instance=Instance(
            id=1,
            forward_node="NODE",
            calling_ae_title="CALLER",
            peer_host="127.0.0.1",
            received_at=since,
            sop_class_uid="1.2.3",
            sop_instance_uid="2.25.1",
            study_instance_uid="2.25.2",
            series_instance_uid="2.25.3",
            transfer_syntax_uid="1.2.840.10008.1.2",
            path=Path("nowhere"),
            dataset_offset=0,
            size=0,
        ),
    )


@pytest.mark.parametrize(
    ("error", "state", "counts"),
    [
        (Excluded("condition not met"), State.EXCLUDED, True),
        (Permanent("refused"), State.FAILED, True),
        (Misconfigured("not authorised"), State.PENDING, False),
        (Retryable("out of resources"), State.PENDING, True),
        (Unreachable("connection refused"), State.PENDING, True),
        (DeliveryError("whatever"), State.FAILED, True),
    ],
)
def test_each_error_has_its_outcome_and_keeps_its_reason(error: DeliveryError, state: State, counts: bool) -> None:
    outcome = decide(error, make_delivery(), RULE)
    assert (outcome.state, outcome.counts, outcome.reason) == (state, counts, error.reason)
    assert outcome.outgoing is None


def test_a_retryable_one_waits_no_longer_than_the_rule_says() -> None:
    for attempts in range(60):
        now = now_ms()
        outcome = decide(Retryable("later"), make_delivery(attempts=attempts), RULE)
        assert now <= outcome.not_before <= now_ms() + min(900_000, 5000 * 2**attempts)


def test_it_is_given_up_after_its_time_and_not_before() -> None:
    old = make_delivery(since=now_ms() - WEEK_MS - 1000)
    assert decide(Retryable("later"), old, RULE).state is State.FAILED
    assert "later" in decide(Unreachable("later"), old, RULE).reason
    assert decide(Retryable("later"), make_delivery(since=now_ms() - WEEK_MS + 60_000), RULE).state is State.PENDING


def test_a_held_destination_gives_nothing_up() -> None:
    old = make_delivery(since=now_ms() - 10 * WEEK_MS)
    assert decide(Misconfigured("not authorised"), old, RULE).state is State.PENDING


def test_the_peers_wish_is_honoured() -> None:
    before = now_ms()
    outcome = decide(Retryable("busy", retry_after=3600), make_delivery(), RULE)
    assert before + 3_600_000 <= outcome.not_before <= now_ms() + 3_600_001
    # never sooner than our own patience says
    assert decide(Retryable("busy", retry_after=0), make_delivery(), RULE).not_before >= before
    assert decide(Retryable("busy", retry_after=-5), make_delivery(), RULE).not_before >= before


@pytest.mark.parametrize("wish", [1e9, 1e30, math.inf, math.nan])
def test_a_peers_absurd_wish_does_not_keep_it_beyond_its_time(wish: float) -> None:
    delivery = make_delivery()
    outcome = decide(Retryable("busy", retry_after=wish), delivery, RULE)
    assert outcome.state is State.PENDING
    assert outcome.not_before <= delivery.since + WEEK_MS + 900_000


@settings(max_examples=200, deadline=None, database=None)
@given(
    attempt=st.integers(1, 10**9),
    first=st.floats(0, 1e6),
    longest=st.floats(0, 1e6),
)
def test_back_off_is_within_its_bounds(attempt: int, first: float, longest: float) -> None:
    wait = back_off(attempt, RetryRule(first=first, longest=longest))
    assert 0 <= wait <= longest
    assert wait <= first * 2.0 ** min(attempt - 1, 32)


def test_back_off_grows_and_is_spread() -> None:
    early = [back_off(1, RULE) for _ in range(500)]
    late = [back_off(30, RULE) for _ in range(500)]
    assert max(early) <= 5
    assert len(set(early)) > 400
    assert sum(late) > 50 * sum(early)
    assert max(late) > 800
