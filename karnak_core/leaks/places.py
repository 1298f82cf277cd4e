"""The exact look: in which elements do identifiers stand, as whole words and whole UIDs?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from karnak_core.leaks.binary import holds, uid_like
from karnak_core.leaks.elements import Element, Elements
from karnak_core.leaks.identifiers import Identifiers, is_name, is_subject_id
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
#: fewer digits stand in every other pseudonym
_TELLING_DIGITS = 3
#: so many digits are no other number by accident, and so many characters no other code
_LONG_ID, _LONG_CODE = 6, 4
#: so many letters do not come about among numbers
_LONG_WORD = 6
#: what is as received at the same place may be a word or a number like others there: codes and numbers
_UNCHANGED = NUMBERS | BINARY_NUMBERS | {b"CS"}
#: what a code is (PS3.3 section 8.8): value, scheme and its version, meaning, long value, URN value
_CODED = frozenset((0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120))
#: where the pseudonym is written: Patient's Name, Clinical Trial Subject ID
_PSEUDONYM = frozenset((0x00100010, 0x00120040))
#: an identifier, and the tag that it was received in
_Hit = tuple[str | bytes, int]


class Places:
    """Looks for some identifiers in the elements of a data set."""

    def __init__(self, identifiers: Identifiers, elements: Elements, received: Elements) -> None:
        self._identifiers = identifiers
        self._elements = elements
        self._received = received

    def find(self) -> Iterator[tuple[str, int]]:
        """Yield path and, by the tag it was received in, identifier."""
        for element in self._elements.found:
            hits: Mapping[str | bytes, int] = dict(self._hits(element))
            if not hits:
                continue
            tag, vr, start, stop, level = element
            path = self._elements.path(tag, level)
            if (tag in _CODED or vr in _UNCHANGED) and self._received.by_path.get(path) == self._elements.value[
                start:stop
            ]:
                hits = _telling(hits, coded=tag in _CODED, words=tag in _CODED or vr == b"CS")
            if tag in _PSEUDONYM:
                hits = self._without_subject(hits, element)
            yield from ((path, found) for found in dict.fromkeys(hits.values()))

    def _without_subject(self, hits: Mapping[str | bytes, int], element: Element) -> Mapping[str | bytes, int]:
        """Return hits but a received Clinical Trial Subject ID that is the whole value: a pseudonym already."""
        if not any(is_subject_id(found) for found in hits.values()):
            return hits
        _, _, start, stop, level = element
        value = fold(decode(self._elements.value[start:stop], self._elements.character_set(level)))
        return {one: found for one, found in hits.items() if not (is_subject_id(found) and one == value)}

    def _hits(self, element: Element) -> Iterator[_Hit]:
        tag, vr, start, stop, level = element
        raw = self._elements.value[start:stop]
        character_set = self._elements.character_set(level)
        if vr in TEXTS or (vr in EITHER and is_text(raw)):
            yield from self._in_text(raw, vr, character_set, is_id_like(tag, vr))
            if not raw.isascii() or b"\x1b" in raw:
                yield from self._in_bytes(raw, character_set)
        elif vr in NUMBERS and not raw.translate(None, NUMBER_CHARACTERS):
            for one in raw.split(b"\\"):
                number = one.strip(b"\0 ").decode("ascii")
                known = (self._identifiers.words, self._identifiers.dates)
                yield from ((number, tags[number]) for tags in known if number in tags)
        elif vr in TIMES and not raw.translate(None, TIME_CHARACTERS):
            if vr in DATES:
                yield from self._in_dates(raw)
        elif vr == b"UI" and not raw.translate(None, UID_CHARACTERS):
            yield from self._in_uids(raw)
        elif vr in TIMES or vr in NUMBERS or vr == b"UI":
            yield from self._in_text(raw, vr, b"", False)  # not what its VR says
        elif vr not in BINARY_NUMBERS or len(raw) > FEW:
            yield from self._in_bytes(raw, character_set)

    def _in_text(self, raw: bytes, vr: bytes, character_set: bytes, id_like: bool) -> Iterator[_Hit]:
        known = self._identifiers
        text = decode(raw, character_set)
        for one in (text,) if vr in SINGLE else text.split("\\"):
            folded = fold(one)
            yield from ((word, tag) for word, tag in known.words.items() if stands_in(word, folded))
            yield from ((form, tag) for form, tag in known.dates.items() if stands_in(form, folded))
            if id_like:
                yield from ((word, tag) for word, tag in known.short.items() if _is_there(word, folded))
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
            for form, tag in self._identifiers.dates.items():
                # a DT has the time behind the date, a range in a query the second date
                if text.startswith(form) or text.endswith(f"-{form}"):
                    yield form, tag

    def _in_uids(self, raw: bytes) -> Iterator[_Hit]:
        for one in raw.split(b"\\"):
            uid = one.strip(b"\0 ")
            yield from self._uids((uid,))
            text = uid.decode("ascii")
            known = (self._identifiers.words, self._identifiers.dates)
            for part in (text, *(part for part in text.split(".") if len(part) >= _LONG_NUMBER)):
                yield from ((part, tags[part]) for tags in known if part in tags)

    def _uids(self, values: tuple[bytes, ...]) -> Iterator[_Hit]:
        uids = self._identifiers.uids
        if uids:
            yield from ((uid, uids[uid]) for uid in sorted(uid_like(values)) if uid in uids)


def _is_there(word: str, text: str) -> bool:
    """Tell whether a short word stands in a text; one or two digits only as the whole of it."""
    if len(word) < _TELLING_DIGITS and word.isdecimal():
        return text.strip("^= ") == word
    return stands_in(word, text)


def _telling(hits: Mapping[str | bytes, int], *, coded: bool, words: bool) -> Mapping[str | bytes, int]:
    """Return what is a hit all the same in a code or a number that is as it was received.

    One part of a name may be what a code means: "HEAD", "White matter", "Long axis". Among numbers, which are no
    ``words``, it is an accident only if it is short. So may a short ID be where the element is not ``coded``.
    """
    if [is_name(found) for found in hits.values()] == [True] and (words or max(map(len, hits)) < _LONG_WORD):
        return {}
    if coded:
        return hits
    return {one: found for one, found in hits.items() if is_name(found) or _tells_much(one)}


def _tells_much(identifier: str | bytes) -> bool:
    return len(identifier) >= (_LONG_ID if identifier.isdigit() else _LONG_CODE)
