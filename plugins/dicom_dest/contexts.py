"""Which presentation contexts to propose for what is queued (PS3.8 section 9.3.2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from karnak_core.model import Outgoing

#: presentation context IDs are odd numbers from 1 to 255
MOST_CONTEXTS: Final = 128
#: what an uncompressed data set may be re-encoded to without loss, best first
FALLBACKS: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
UNCOMPRESSED: Final = frozenset((*FALLBACKS, str(ExplicitVRBigEndian), str(DeflatedExplicitVRLittleEndian)))

#: SOP class and transfer syntax
Pair = tuple[str, str]


def pairs(outgoing: Outgoing) -> tuple[Pair, ...]:
    """Return what could carry an instance, best first: its own transfer syntax, then what it can become."""
    own = outgoing.transfer_syntax_uid
    others = outgoing.alternatives or (FALLBACKS if own in UNCOMPRESSED else ())
    return tuple((outgoing.sop_class_uid, syntax) for syntax in dict.fromkeys((own, *others)))


def to_propose(batch: Iterable[Outgoing], used_before: Iterable[Pair]) -> list[Pair]:
    """Return the contexts for the first instances of a batch that fit, one transfer syntax each.

    One syntax a context: the peer then accepts or refuses each of them, and an instance can go as it is.
    What was used before comes last and fills up, so that the next batch need not negotiate again.
    """
    wanted: dict[Pair, None] = {}
    for outgoing in batch:
        needed = [pair for pair in pairs(outgoing) if pair not in wanted]
        if len(wanted) + len(needed) > MOST_CONTEXTS:
            break
        wanted.update(dict.fromkeys(needed))
    for pair in used_before:
        if len(wanted) >= MOST_CONTEXTS:
            break
        wanted.setdefault(pair)
    return list(wanted)
