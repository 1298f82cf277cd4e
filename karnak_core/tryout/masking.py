"""Which values of a changed data set may be shown to anybody: those that say nothing of the received one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from karnak_core.deidentify import Change, DeidentificationError
from karnak_core.deidentify.undecoded import items_of, vr_of
from karnak_core.expressions.spots import RuleError
from karnak_core.expressions.values import text_values

_CHARACTER_SET: Final = 0x00080005
_DEEPEST: Final = 64
#: texts of these VRs are compared; codes of the standard and binary numbers are everywhere the same
_TEXTS: Final = frozenset("AE DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())  # noqa: SIM905
#: VRs that hold numbers, times or UIDs: a part of them is no word
_NO_WORDS: Final = frozenset("AS AT DA DS DT FD FL IS SL SS SV TM UI UL US UV".split())  # noqa: SIM905
#: Patient ID, Other Patient IDs, Issuer of Patient ID, Accession Number, Admission ID
_IDENTIFIERS: Final = frozenset({0x00100020, 0x00101000, 0x00100021, 0x00080050, 0x00380010})
#: dummies, and what is said of an instance: nobody is known by them
_SAYS_NOTHING: Final = frozenset({"", "yes", "no", "unknown", "0"})
#: characters: shorter values are parts of others by accident
_SHORTEST_PART: Final = 4
_SHORTEST_NUMBER: Final = 5
_WORD: Final = re.compile(r"[^\W_]{2,}")
#: how a value ends that was shortened
CUT: Final = "…"


class Originals:
    """The values of a received data set, at every level.

    Parameters
    ----------
    received
        Without pixel data. What of it cannot be read is left out: nothing new can be made of that either.
    """

    def __init__(self, received: Dataset) -> None:
        self._values: set[str] = set()
        self._words: set[str] = set()
        for tag, vr, text in _texts(received, None, 0):
            folded = _folded(text)
            self._values.add(folded)
            if vr == "PN" or tag in _IDENTIFIERS:
                self._words |= _words(folded)
        self._values -= _SAYS_NOTHING
        self._long = [value for value in self._values if len(value) >= _SHORTEST_PART]

    def shows_in(self, change: Change) -> bool:
        """Tell whether the new value of an element says anything of the received data set."""
        after = _folded((change.after or "").removesuffix(CUT))
        values = {_folded(value) for value in after.split("\\")} | {after}
        own = {_folded(value) for value in (change.before or "").removesuffix(CUT).split("\\")}
        if (values - _SAYS_NOTHING) & (self._values | own):
            return True
        if change.vr in _NO_WORDS:
            return False
        words = self._words
        if change.codename:
            # what an element of the profile writes may be made of old values; the rest is what the operator named
            if any(value in after for value in self._long):
                return True
            words = words | _words(_folded(change.before or ""))
        return not words.isdisjoint(_words(after) - _SAYS_NOTHING)


def _texts(level: Dataset, character_set: object, depth: int) -> Iterator[tuple[int, str, str]]:
    """Yield tag, VR and text of every value."""
    own = level.get_item(_CHARACTER_SET) if _CHARACTER_SET in level else character_set
    for tag, element in list(level.items()):
        try:
            vr = vr_of(level, element)
            if vr == "SQ":
                for item in items_of(level, element) if depth < _DEEPEST else ():
                    yield from _texts(item, own, depth + 1)
            elif vr in _TEXTS:
                one = Dataset()
                one[tag] = element
                if own is not None and tag != _CHARACTER_SET:
                    one[_CHARACTER_SET] = own  # type: ignore[assignment]
                yield from ((int(tag), vr, text) for text in text_values(one, tag))
        except (RuleError, DeidentificationError):
            continue


def _folded(text: str) -> str:
    return text.strip(" \0").casefold()


def _words(text: str) -> set[str]:
    """Return the words of a text; short numbers are none."""
    return {word for word in _WORD.findall(text) if not word.isdecimal() or len(word) >= _SHORTEST_NUMBER}
