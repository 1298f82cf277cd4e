"""Decide what becomes of a delivery whose attempt raised something: an error in, an outcome out."""

from __future__ import annotations

import random
from dataclasses import dataclass

from karnak_core.errors import DeliveryError, Excluded, Misconfigured, NoPseudonym, Permanent, Retryable
from karnak_core.model import Delivery, Outcome, State, now_ms


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """How long and how often; seconds."""

    first: float = 5.0
    longest: float = 15 * 60.0
    #: from reception, or from the last time a person asked for it
    give_up_after: float = 7 * 24 * 3600.0


def decide(error: DeliveryError, delivery: Delivery, rule: RetryRule) -> Outcome:
    """Return what becomes of the delivery."""
    now = now_ms()
    match error:
        case Excluded():
            return Outcome(state=State.EXCLUDED, reason=error.reason)
        case NoPseudonym():
            return Outcome(state=State.FAILED, reason=error.reason, waits_for=error.waits_for)
        case Permanent():
            return Outcome(state=State.FAILED, reason=error.reason)
        case Misconfigured():
            return Outcome(state=State.PENDING, reason=error.reason, not_before=now, counts=False)
        case Retryable():
            if now - delivery.since > rule.give_up_after * 1000:
                return Outcome(state=State.FAILED, reason=f"given up: {error.reason}")
            wait = back_off(delivery.attempts + 1, rule)
            if error.retry_after is not None:
                # however long the peer asks us to wait, there is one more attempt when the time is up
                left = rule.give_up_after - (now - delivery.since) / 1000
                wait = min(max(wait, error.retry_after), max(rule.longest, left))
            return Outcome(state=State.PENDING, reason=error.reason, not_before=now + int(wait * 1000))
    return Outcome(state=State.FAILED, reason=error.reason)


def back_off(attempt: int, rule: RetryRule) -> float:
    """Return how many seconds to wait after the ``attempt``-th attempt (1, 2, …): exponential, full jitter."""
    ceiling = min(rule.longest, rule.first * 2.0 ** min(attempt - 1, 32))
    return random.uniform(0, ceiling)
