"""The exact look: in which elements do identifiers stand, as whole words and whole UIDs?"""

from __future__ import annotations

from collections.abc import Iterator

from karnak_core.leaks.binary import holds, uid_like
from karnak_core.leaks.elements import Element, Elements
from karnak_core.leaks.identifiers import Identifiers, is_name
from karnak_core.leaks.kinds import (
    BINARY_NUMBERS,
    DATES,
    EITHER,
    FEW,
    NUMBER_CHARACTERS,
    NUMBERS,
    SINGLE,
    TEXTS,
    TIME_CHARACTERS,
    TIMES,
    UID_CHARACTERS,
    is_id_like,
)
from karnak_core.leaks.search import wide
from karnak_core.leaks.texts import codecs_of, decode, fold, is_text, stands_in

#: so many characters of digits alone are no part of a UID by accident
_LONG_NUMBER = 8
#: the same value as received says nothing new there: codes and numbers
_UNCHANGED = NUMBERS | BINARY_NUMBERS | {b"CS"}
#: what a code is (PS3.3 section 8.8): value, scheme and its version, meaning, long value, URN value
_CODED = frozenset((0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120))
#: an identifier, and the tag that it was received in
_Hit = tuple[str | bytes, int]


class Places:
    """Looks for some identifiers in the elements of a data set."""

    def __init__(self, identifiers: Identifiers, elements: Elements, received: Elements, pseudonym: str) -> None:
        self._identifiers = identifiers
        self._elements = elements
        self._received = received
        self._pseudonym = pseudonym.strip("\0 ")

    def find(self) -> Iterator[tuple[str, int]]:
        """Yield path and, by the tag it was received in, identifier."""
        for element in self._elements.found:
            hits = dict(self._hits(element))
            if not hits:
                continue
            tag, vr, start, stop, level = element
            path = self._elements.path(tag, level)
            # one part of a name may be what a code means: "White matter", "Long axis"
            may_stay = vr in _UNCHANGED or (tag in _CODED and [is_name(one) for one in hits.values()] == [True])
            if may_stay and self._received.by_path.get(path) == self._elements.value[start:stop]:
                continue
            yield from ((path, found) for found in dict.fromkeys(hits.values()))

    def _hits(self, element: Element) -> Iterator[_Hit]:
        tag, vr, start, stop, level = element
        raw = self._elements.value[start:stop]
        character_set = self._elements.character_set(level)
        if vr in TEXTS or (vr in EITHER and is_text(raw)):
            yield from self._in_text(raw, vr, character_set, is_id_like(tag, vr))
            if not raw.isascii() or b"\x1b" in raw:
                if self._is_pseudonym(decode(raw, character_set)):
                    return
                yield from self._in_bytes(raw, character_set)
        elif vr in NUMBERS and not raw.translate(None, NUMBER_CHARACTERS):
            for one in raw.split(b"\\"):
                number = one.strip(b"\0 ").decode("ascii")
                if number in self._identifiers.words and not self._is_pseudonym(number):
                    yield number, self._identifiers.words[number]
        elif vr in TIMES and not raw.translate(None, TIME_CHARACTERS):
            if vr in DATES:
                yield from self._in_dates(raw)
        elif vr == b"UI" and not raw.translate(None, UID_CHARACTERS):
            yield from self._in_uids(raw)
        elif vr in TIMES or vr in NUMBERS or vr == b"UI":
            yield from self._in_text(raw, vr, b"", False)  # not what its VR says
        elif vr not in BINARY_NUMBERS or len(raw) > FEW:
            yield from self._in_bytes(raw, character_set)

    def _is_pseudonym(self, text: str) -> bool:
        return bool(self._pseudonym) and text.strip("\0 ") == self._pseudonym

    def _in_text(self, raw: bytes, vr: bytes, character_set: bytes, id_like: bool) -> Iterator[_Hit]:
        known = self._identifiers
        text = decode(raw, character_set)
        for one in (text,) if vr in SINGLE else text.split("\\"):
            if self._is_pseudonym(one):
                continue
            folded = fold(one)
            yield from ((word, tag) for word, tag in known.words.items() if stands_in(word, folded))
            yield from ((form, tag) for form, tag in known.dates.items() if stands_in(form, folded))
            if id_like:
                yield from ((word, tag) for word, tag in known.short.items() if stands_in(word, folded))
            yield from self._uids((folded.encode("ascii", "replace"),))

    def _in_bytes(self, raw: bytes, character_set: bytes) -> Iterator[_Hit]:
        known = self._identifiers
        codecs = (*known.codecs, *codecs_of(character_set))
        yield from ((word, tag) for word, tag in known.words.items() if holds(word, raw, codecs))
        yield from ((form, tag) for form, tag in known.dates.items() if holds(form, raw, codecs))
        yield from self._uids((raw, *wide(raw)))

    def _in_dates(self, raw: bytes) -> Iterator[_Hit]:
        for one in raw.split(b"\\"):
            text = one.strip(b"\0 ").decode("ascii")
            if self._is_pseudonym(text):
                continue
            for form, tag in self._identifiers.dates.items():
                # a DT has the time behind the date, a range in a query the second date
                if text.startswith(form) or text.endswith(f"-{form}"):
                    yield form, tag

    def _in_uids(self, raw: bytes) -> Iterator[_Hit]:
        for one in raw.split(b"\\"):
            uid = one.strip(b"\0 ")
            if self._is_pseudonym(uid.decode("ascii")):
                continue
            yield from self._uids((uid,))
            text = uid.decode("ascii")
            known = (self._identifiers.words, self._identifiers.dates)
            for part in (text, *(part for part in text.split(".") if len(part) >= _LONG_NUMBER)):
                yield from ((part, tags[part]) for tags in known if part in tags)

    def _uids(self, values: tuple[bytes, ...]) -> Iterator[_Hit]:
        uids = self._identifiers.uids
        if uids:
            yield from ((uid, uids[uid]) for uid in sorted(uid_like(values)) if uid in uids)
