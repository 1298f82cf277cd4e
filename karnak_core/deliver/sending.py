"""Send a batch through a destination's part and say how each delivery ended.

The one place where what a part raises becomes an outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from karnak_core.deliver.conversion import Prepared
from karnak_core.deliver.pipeline import Pipeline
from karnak_core.deliver.retry import RetryRule, decide
from karnak_core.errors import DeliveryError, Excluded, Misconfigured, Permanent, Retryable
from karnak_core.model import BatchDestination, Delivery, Destination, Due, Instance, Outcome, Outgoing, Sent, State

logger = logging.getLogger(__name__)


#: bytes made for instances that wait to be sent; what is made for one may be more
MADE_BYTES = 64 << 20


def deliver(
    batch: Sequence[Delivery], pipeline: Pipeline, destination: Destination, rule: RetryRule
) -> Iterator[tuple[Delivery, Outcome, DeliveryError | None]]:
    """Yield each delivery with its outcome, and the error behind it, as soon as it is known.

    A delivery that is not yielded was not tried.
    """
    ready: list[tuple[Delivery, Prepared]] = []
    made = 0
    try:
        for delivery in batch:
            try:
                prepared = pipeline.prepare(delivery.instance)
            except DeliveryError as error:
                # only what keeps every instance back says something about the destination
                yield delivery, decide(error, delivery, rule), error if isinstance(error, Misconfigured) else None
                continue
            except Exception as error:
                yield delivery, decide(_bug(error, "preparing", delivery.instance), delivery, rule), None
                continue
            ready.append((delivery, prepared))
            made += prepared.made_bytes
            if made >= MADE_BYTES:
                yield from _sent_off(ready, pipeline, destination, rule)
                _close(ready)
                made = 0
        yield from _sent_off(ready, pipeline, destination, rule)
    finally:
        _close(ready)


def _close(ready: list[tuple[Delivery, Prepared]]) -> None:
    for _, prepared in ready:
        prepared.close()
    ready.clear()


def _sent_off(
    ready: Sequence[tuple[Delivery, Prepared]], pipeline: Pipeline, destination: Destination, rule: RetryRule
) -> Iterator[tuple[Delivery, Outcome, DeliveryError | None]]:
    waiting = {id(prepared.outgoing): delivery for delivery, prepared in ready}
    notes = {id(prepared.outgoing): prepared.note for _, prepared in ready if prepared.note}
    for outgoing, answer in _send([prepared.outgoing for _, prepared in ready], destination):
        if id(outgoing) not in waiting:
            logger.error("a destination answered for an instance twice, or for one it was not given")
            continue
        delivery = waiting.pop(id(outgoing))
        if isinstance(answer, Sent):
            answer = _with_note(answer, notes.get(id(outgoing), ""))
            went = answer.outgoing or outgoing
            yield delivery, _sent(answer, went, pipeline.due(delivery.instance, went)), None
            continue
        if not isinstance(answer, DeliveryError):
            answer = _bug(TypeError(f"{type(answer).__name__} is no answer"), "sending", outgoing)
        yield delivery, decide(answer, delivery, rule), answer
    if waiting and len(waiting) == len(ready):
        # else it would be asked again at once, for ever
        delivery, prepared = ready[0]
        silence = _bug(TypeError("no answer for any instance"), "sending", prepared.outgoing)
        yield delivery, decide(silence, delivery, rule), silence


def _send(batch: Sequence[Outgoing], destination: Destination) -> Iterator[tuple[Outgoing, Sent | DeliveryError]]:
    if not batch:
        return
    if isinstance(destination, BatchDestination):
        # what raises out of the iterator belongs to the next instance that has no answer
        unanswered = {id(outgoing): outgoing for outgoing in batch}
        try:
            for outgoing, answer in destination.send_batch(batch):
                unanswered.pop(id(outgoing), None)
                yield outgoing, answer
        except DeliveryError as error:
            yield next(iter(unanswered.values()), batch[-1]), error
        except Exception as error:
            # in whatever state it is: the next batch shall not find it there
            with suppress(Exception):
                destination.close()
            outgoing = next(iter(unanswered.values()), batch[-1])
            yield outgoing, _bug(error, "sending", outgoing)
        return
    for outgoing in batch:
        try:
            yield outgoing, destination.send(outgoing)
        except DeliveryError as error:
            yield outgoing, error
            if not isinstance(error, Permanent | Excluded):
                return
        except Exception as error:
            yield outgoing, _bug(error, "sending", outgoing)


def _with_note(answer: Sent, note: str) -> Sent:
    return replace(answer, warning="; ".join(filter(None, (note, answer.warning)))) if note else answer


def _sent(answer: Sent, outgoing: Outgoing, due: tuple[Due, ...]) -> Outcome:
    state = State.DUPLICATE if answer.duplicate else State.SENT
    return Outcome(state=state, reason=answer.warning, outgoing=outgoing, due=due)


def _bug(error: Exception, doing: str, what: Instance | Outgoing) -> DeliveryError:
    """Return a retryable error for what should not have been raised; the text may hold anything: not shown."""
    # it may be another file that is missing, a certificate say: that is no reason to give up the instance
    source = what.source if isinstance(what, Outgoing) else what.path
    if isinstance(error, FileNotFoundError) and isinstance(source, Path) and not source.exists():
        return Permanent("the spool file is missing")
    logger.error("unexpected error while %s", doing, exc_info=error)
    return Retryable(f"unexpected {type(error).__name__} while {doing}; see the log")
