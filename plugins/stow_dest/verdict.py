"""What an answer means for each instance of its request: a reply in, outcomes and open questions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from karnak_core.errors import DeliveryError, Retryable
from karnak_core.model import Outgoing, Sent
from karnak_core.outcomes import stow_failed, stow_refused, stow_stored
from karnak_plugins.stow_dest.answer import Answer, read_answer
from karnak_plugins.stow_dest.client import Reply
from karnak_plugins.stow_dest.failures import speaks_tls
from karnak_plugins.stow_dest.words import WHERE_LIMITS_ARE, location, remarks, retry_after

#: statuses that one instance can bring upon all of its request: smaller requests show which one it is
ONE_FOR_ALL: Final = frozenset({400, 409, 413, 415, 422, 500})
#: statuses that ask us to leave the server alone for a while
PAUSE: Final = frozenset({429, 503})

_HINT: Final = "verify: true would ask it by QIDO-RS"


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """What is known about instances of which the server did not say whether it has them."""

    reason: str
    #: they count as duplicates where nobody asks
    probably_there: bool = False

    def left(self) -> Sent | DeliveryError:
        """Return what to take for it where nobody asks."""
        if self.probably_there:
            return Sent(duplicate=True, warning=f"unconfirmed: {self.reason}; {_HINT}")
        return Retryable(f"{self.reason}; {_HINT}")

    def cleared(self, *, found: bool) -> Sent | DeliveryError:
        """Return what it means to have asked."""
        if found:
            return Sent(duplicate=self.probably_there, warning="confirmed by QIDO-RS")
        return Retryable(f"{self.reason}; QIDO-RS does not find the instance")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of the instances of one request; each is in one of `settled`, `unknown`, `again`."""

    settled: Sequence[tuple[Outgoing, Sent | DeliveryError]] = ()
    #: the server did not say what it did with them
    unknown: Sequence[Outgoing] = ()
    doubt: Doubt | None = None
    #: to be sent again now, in smaller requests
    again: Sequence[Sequence[Outgoing]] = field(default=())
    #: the server asks us to leave it alone: what it would say to every further instance
    pause: Retryable | None = None


def judge(group: Sequence[Outgoing], reply: Reply, peer: str, *, split: bool) -> Verdict:
    """Return what an answer means.

    Parameters
    ----------
    group
        The instances of the request.
    split
        False: a request that ends in an error of the server is not tried again in parts.
    """
    status = reply.status
    answer = read_answer(reply.body) if 200 <= status < 300 or status in ONE_FOR_ALL else None
    if answer is not None and (200 <= status < 300 or status == 409):
        return _each(group, answer, peer, status)
    if answer is not None and (
        stored := [outgoing for outgoing in group if outgoing.sop_instance_uid in answer.stored]
    ):
        # refused as a whole because of some, it tells which it stored all the same, as Orthanc does
        rest = [outgoing for outgoing in group if outgoing.sop_instance_uid not in answer.stored]
        settled = [(outgoing, stow_stored(answer.stored[outgoing.sop_instance_uid])) for outgoing in stored]
        return Verdict(settled=settled, again=_halves(rest))
    if 200 <= status < 300:
        reason = f"{peer} answered HTTP {status} without saying which instances it stored"
        return Verdict(unknown=group, doubt=Doubt(reason=reason))
    if len(group) > 1 and status in ONE_FOR_ALL and (split or status != 500):
        return Verdict(again=_halves(group))
    if status == 409:
        reason = f"{peer} answered HTTP 409 without saying why, as servers do with what they have"
        return Verdict(unknown=group, doubt=Doubt(reason=reason, probably_there=True))
    error = _refusal(group, reply, peer)
    pause = error if status in PAUSE and isinstance(error, Retryable) else None
    return Verdict(settled=[(outgoing, error) for outgoing in group], pause=pause)


def _each(group: Sequence[Outgoing], answer: Answer, peer: str, status: int) -> Verdict:
    settled: list[tuple[Outgoing, Sent | DeliveryError]] = []
    unlisted: list[Outgoing] = []
    for outgoing in group:
        uid = outgoing.sop_instance_uid
        if uid in answer.failed:
            settled.append((outgoing, stow_failed(answer.failed[uid], peer)))
        elif uid in answer.stored:
            settled.append((outgoing, stow_stored(answer.stored[uid])))
        else:
            unlisted.append(outgoing)
    if answer.unnamed and len(group) == 1 and unlisted:
        # it could not read whose it is; there is only one
        return Verdict(settled=[(outgoing, stow_failed(answer.unnamed[0], peer)) for outgoing in unlisted])
    if answer.unnamed and unlisted and len(group) > 1:
        return Verdict(settled=settled, again=[[outgoing] for outgoing in unlisted])
    reason = f"{peer} answered HTTP {status}, but lists the instance neither as stored nor as failed"
    return Verdict(settled=settled, unknown=unlisted, doubt=Doubt(reason=reason))


def _halves(group: Sequence[Outgoing]) -> list[Sequence[Outgoing]]:
    middle = len(group) // 2
    return [half for half in (group[:middle], group[middle:]) if half]


def _refusal(group: Sequence[Outgoing], reply: Reply, peer: str) -> DeliveryError:
    if reply.status == 400 and b"plain HTTP request was sent to HTTPS port" in reply.body:
        return speaks_tls(peer)
    words = [remarks(reply)]
    if reply.status == 413:
        words.append(f"its limit is below {_rounded(group[0].size)}; {WHERE_LIMITS_ARE}")
    if 300 <= reply.status < 400:
        words.append(f"to {location(reply)}; instances are not sent on: put the address they should go to in url")
    return stow_refused(reply.status, "; ".join(filter(None, words)), peer, retry_after(reply))


def _rounded(size: int) -> str:
    """Round up to 1, 2 or 5: instances of about one size have one reason."""
    unit, word = (10**6, "MB") if size > 10**6 else (10**3, "kB")
    step = next(step * 10**power for power in range(12) for step in (1, 2, 5) if step * 10**power * unit >= size)
    return f"{step} {word}"
