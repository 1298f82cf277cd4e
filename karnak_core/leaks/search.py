"""The quick look: what of the identifiers can stand in a data set at all, whatever element it would be in.

It finds too much, never too little: values are put together by how they are encoded, and looked through at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from karnak_core.leaks.binary import may_hold, uid_like
from karnak_core.leaks.elements import Elements
from karnak_core.leaks.identifiers import Identifiers
from karnak_core.leaks.kinds import (
    BINARY_NUMBERS,
    DATES,
    EITHER,
    FEW,
    NUMBER_CHARACTERS,
    NUMBERS,
    TEXTS,
    TIME_CHARACTERS,
    TIMES,
    UID_CHARACTERS,
    is_id_like,
)
from karnak_core.leaks.texts import decode, fold, is_text, stands_in

#: so many values are looked through to find those that are the same
_MANY = 64


@dataclass(frozen=True, kw_only=True)
class _Heap:
    """All values of a data set, put together."""

    #: every text, folded
    text: str
    #: every UID
    uids: bytes
    #: every DS and IS
    numbers: bytes
    #: every DA and DT
    dates: bytes
    #: what is not text, or may be in another encoding than it should, with ASCII in lower case
    binary: bytes
    #: what looks like UIDs, wherever it stands
    uid_like: set[bytes]


def suspects(identifiers: Identifiers, *datasets: Elements) -> Identifiers | None:
    """Return the identifiers that may stand in one of some data sets; None: none of them does."""
    heap = _heap(datasets)

    def occurs(word: str) -> bool:
        if " " in word:  # there may be several, and other ones, in the text
            word = max(word.split(" "), key=len)
            if word in heap.text:
                return True
        elif stands_in(word, heap.text):
            return True
        if heap.binary and may_hold(word, heap.binary, identifiers.codecs):
            return True
        # an ID may be a number, or have the form of a UID
        return word.isascii() and (word.encode() in heap.numbers or word.encode() in heap.uids)

    def dated(text: str) -> bool:
        return text in heap.text or text.encode() in heap.dates or occurs(text)

    words = {word: tag for word, tag in identifiers.words.items() if occurs(word)}
    short = _in_id_like(identifiers.short, datasets) if identifiers.short else {}
    dates = {text: tag for text, tag in identifiers.dates.items() if dated(text)}
    known = identifiers.uids
    uids = {} if heap.uid_like.isdisjoint(known) else {uid: known[uid] for uid in heap.uid_like if uid in known}
    if not (words or short or dates or uids):
        return None
    return replace(identifiers, words=words, short=short, dates=dates, uids=uids)


def _heap(datasets: Sequence[Elements]) -> _Heap:
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for elements in datasets:
        value = elements.value
        for _, vr, start, stop, _ in elements.found:
            found[vr].append(value[start:stop])
    # those of many items are mostly the same
    by_vr = {vr: values if len(values) < _MANY else set(values) for vr, values in found.items()}
    texts: set[bytes] = set()
    binary: set[bytes] = set()
    numbers, uids, times = _joined(by_vr, NUMBERS), _joined(by_vr, (b"UI",)), _joined(by_vr, TIMES)
    kept = ((numbers, NUMBER_CHARACTERS), (uids, UID_CHARACTERS), (times, TIME_CHARACTERS))
    texts.update(joined for joined, characters in kept if joined.translate(None, characters))
    for vr, values in by_vr.items():
        if vr in TEXTS:
            texts.update(values)
        elif vr in EITHER:
            for one in values:
                (texts if is_text(one) else binary).add(one)
        elif vr in BINARY_NUMBERS:
            binary.update(one for one in values if len(one) > FEW)
        elif vr not in NUMBERS and vr not in TIMES and vr != b"UI":
            binary.update(values)
    text = b"\n".join(texts)
    if text.isascii() and b"\x1b" not in text:
        folded = text.decode("ascii").lower()
    else:
        folded = _folded(datasets, texts)
        binary |= {one for one in texts if not one.isascii() or b"\x1b" in one}
    blob = b"\n".join(binary)
    return _Heap(
        text=folded,
        uids=uids,
        numbers=numbers,
        dates=_joined(by_vr, DATES),
        binary=blob.lower(),
        uid_like=uid_like((uids, text, blob, *wide(blob))),
    )


def _in_id_like(short: Mapping[str, int], datasets: Sequence[Elements]) -> dict[str, int]:
    """Return the short names and IDs that stand in elements where they are looked for."""
    texts = (
        decode(elements.value[start:stop], elements.character_set(level))
        for elements in datasets
        for tag, vr, start, stop, level in elements.found
        if is_id_like(tag, vr)
    )
    text = "\n".join(fold(one) for one in texts)
    return {word: tag for word, tag in short.items() if stands_in(word, text)}


def wide(value: bytes) -> tuple[bytes, ...]:
    """Return the characters of what may be UTF-16 in bytes; nothing where there is none."""
    return (value[::2], value[1::2]) if b"\0.\0" in value else ()


def _folded(datasets: Sequence[Elements], texts: set[bytes]) -> str:
    """Return texts folded, each in the character sets of every level that it stands at."""
    found = {
        (one, elements.character_set(level))
        for elements in datasets
        for _, _, start, stop, level in elements.found
        if (one := elements.value[start:stop]) in texts
    }
    # several values that were put together are not there; they are of VRs that have no character set
    found.update((one, b"") for one in texts)
    return "\n".join(fold(decode(one, character_set)) for one, character_set in found)


def _joined(by_vr: Mapping[bytes, Collection[bytes]], vrs: Iterable[bytes]) -> bytes:
    return b"\\".join(one for vr in vrs if vr in by_vr for one in by_vr[vr])
