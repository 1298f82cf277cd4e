"""The part of a ``stow`` destination: stores instances over HTTP, several small ones in a request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Unreachable
from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_plugins.stow_dest.body import MultipartBody, SpoolFileError
from karnak_plugins.stow_dest.client import Client
from karnak_plugins.stow_dest.config import StowDestination
from karnak_plugins.stow_dest.failures import Cut
from karnak_plugins.stow_dest.grouping import Bounds
from karnak_plugins.stow_dest.pause import Pause
from karnak_plugins.stow_dest.probe import probe
from karnak_plugins.stow_dest.query import has_instance
from karnak_plugins.stow_dest.verdict import Doubt, Verdict, judge

Answered = tuple[Outgoing, Sent | DeliveryError]

#: instances that failed alone, with nothing stored in between, after which the server itself is taken to be in trouble
REFUSED_ALONE = 3


class StoreOverHTTP:
    """Sends by STOW-RS; one session, used by one thread."""

    def __init__(self, config: StowDestination, context: OpenContext) -> None:
        self._config = config
        self._client = Client(config, context)
        self._bounds = Bounds(config.max_instances_per_request, config.max_request_bytes)
        self._pause = Pause()

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        """Return nothing: a server says what it takes only by taking it."""
        return ()

    def send(self, outgoing: Outgoing) -> Sent:
        """Send one instance and wait for its answer."""
        for _, answer in self.send_batch([outgoing]):
            if isinstance(answer, Sent):
                return answer
            raise answer
        raise Unreachable(f"{self._client.peer}: no answer")

    def send_batch(self, batch: Sequence[Outgoing]) -> Iterator[Answered]:
        """Send in as few requests as the bounds allow; what is refused together is tried in parts."""
        waiting = deque(batch)
        parts: deque[Sequence[Outgoing]] = deque()
        refused_alone = 0
        while parts or waiting:
            if left := self._pause.error():
                for outgoing in (*(one for part in parts for one in part), *waiting):
                    yield outgoing, left
                return
            group = parts.popleft() if parts else self._bounds.take(waiting)
            try:
                verdict = self._store(group, split=refused_alone < REFUSED_ALONE)
            except SpoolFileError as error:
                # nothing of the request counts: it was not sent to its end
                yield error.outgoing, Permanent(error.reason)
                rest = [outgoing for outgoing in group if outgoing is not error.outgoing]
                if rest:
                    parts.appendleft(rest)
                continue
            except DeliveryError as error:
                yield from self._after(error, group)
                return
            answers = [*verdict.settled, *self._clear(verdict.unknown, verdict.doubt)]
            if any(isinstance(answer, Sent) for _, answer in answers):
                refused_alone = 0
            elif len(group) == 1:
                refused_alone += 1
            # what stops the batch comes last: nothing is looked at after it
            answers.sort(key=lambda pair: isinstance(pair[1], Misconfigured | Unreachable))
            yield from answers
            if answers and isinstance(answers[-1][1], Misconfigured | Unreachable):
                return
            parts.extendleft(reversed(verdict.again))

    def probe(self) -> str:
        """Ask the server what can be asked without storing something."""
        return probe(self._client, self._config, self._bounds)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _store(self, group: Sequence[Outgoing], *, split: bool) -> Verdict:
        reply = self._client.store(MultipartBody(group))
        verdict = judge(group, reply, self._client.peer, split=split)
        if reply.status == 413:
            self._bounds.too_much(group)
        if verdict.pause is not None:
            self._pause.begin(verdict.pause)
        return verdict

    def _clear(self, unknown: Sequence[Outgoing], doubt: Doubt | None) -> Iterator[Answered]:
        """Ask about what the server did not say, where that is wanted."""
        for outgoing in unknown if doubt else ():
            assert doubt is not None
            if not self._config.verify:
                yield outgoing, doubt.left()
                continue
            try:
                yield outgoing, doubt.cleared(found=self._has(outgoing))
            except DeliveryError as error:
                yield outgoing, error

    def _after(self, error: DeliveryError, group: Sequence[Outgoing]) -> Iterator[Answered]:
        """Answer for a request without an answer; what had arrived before the connection broke is done."""
        failed: list[Outgoing] = list(group)
        if isinstance(error, Cut):
            if self._config.verify:
                arrived, failed = self._arrived(group)
                yield from ((outgoing, Sent(warning="confirmed by QIDO-RS")) for outgoing in arrived)
            error = Unreachable(error.reason)
        yield from ((outgoing, error) for outgoing in failed)

    def _arrived(self, group: Sequence[Outgoing]) -> tuple[list[Outgoing], list[Outgoing]]:
        arrived: list[Outgoing] = []
        # where it is away, what was found until then counts, and the first error says why
        with suppress(DeliveryError):
            arrived.extend(outgoing for outgoing in group if self._has(outgoing))
        there = set(map(id, arrived))
        return arrived, [outgoing for outgoing in group if id(outgoing) not in there]

    def _has(self, outgoing: Outgoing) -> bool:
        return has_instance(self._client, self._config.url, outgoing)
