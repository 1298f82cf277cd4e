"""Words in bytes of which nobody knows how they are encoded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from karnak_core.leaks.texts import BOTH, DIGITS, LETTERS, MOST_TRIES, neighbours

#: shorter words stand in noise by accident
SHORTEST = 4
_LAST_ESCAPE = re.compile(rb"\x1b\([BJ]$")
_NOT_UID = bytes(code if code in b"0123456789." else 32 for code in range(256))


#: what devices write private elements in, whatever their Specific Character Set says: by the first character
_USUAL = (
    ("\u2e80", ("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")),
    ("\u0500", ()),
    ("\u0400", ("cp1251", "koi8_r", "iso8859_5")),
    ("\u0370", ("cp1253", "iso8859_7")),
    ("\u0100", ("cp1250", "iso8859_2", "cp1254")),
)


@lru_cache(maxsize=1024)
def _needles(word: str, codecs: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return how a word that is not ASCII may stand in bytes whose ASCII is in lower case."""
    found: dict[bytes, None] = {}
    usual = next((names for first, names in _USUAL if max(word) >= first), ())
    forms = (word, word.upper(), word.title())
    for form in (*forms, *(unicodedata.normalize("NFC", form) for form in forms)):
        for codec in (*codecs, "utf_8", "latin_1", "utf_16_le", "utf_16_be", *usual):
            try:
                encoded = form.encode(codec)
            except UnicodeEncodeError:
                continue
            if len(encoded) >= SHORTEST:
                found[_LAST_ESCAPE.sub(b"", encoded).lower()] = None
    return tuple(found)


def may_hold(word: str, lowered: bytes, codecs: tuple[str, ...]) -> bool:
    """Tell whether a folded word occurs anywhere in bytes, whose ASCII is in lower case."""
    if not word.isascii():
        return any(needle in lowered for needle in _needles(word, codecs))
    if len(word) < SHORTEST:
        return False
    # in UTF-16 of either byte order, the first NUL or the last may be that of a neighbour
    return word.encode() in lowered or word.encode("utf_16_le")[:-1] in lowered


def holds(word: str, value: bytes, codecs: tuple[str, ...]) -> bool:
    """Tell whether a folded word stands in bytes, as a whole word as far as that can be told."""
    lowered = value.lower()
    if not word.isascii():
        return may_hold(word, lowered, codecs)
    if len(word) < SHORTEST:
        return False
    kind = neighbours(word)
    return _stands_in(word.encode(), lowered, 1, kind) or _stands_in(word.encode("utf_16_le")[:-1], lowered, 2, kind)


def _stands_in(needle: bytes, value: bytes, width: int, kind: str) -> bool:
    """Tell whether a needle stands in bytes, ``width`` for each character, and nothing beside it belongs to it."""
    belongs = {LETTERS: bytes.isalpha, DIGITS: bytes.isdigit, BOTH: bytes.isalnum}[kind]
    at, tries = value.find(needle), 0
    while at >= 0:
        end = at + len(needle) + width - 1
        beside = (value[max(at - width, 0) : at][:1], value[end : end + 1])
        # a byte that is not ASCII is part of a letter in most encodings of text
        if not any(belongs(byte) or (kind != DIGITS and byte >= b"\x80") for byte in beside):
            return True
        tries += 1
        if tries > MOST_TRIES:
            return True
        at = value.find(needle, at + 1)
    return False


def uid_like(values: Iterable[bytes]) -> set[bytes]:
    """Return the runs of digits and dots in values, without dots around them."""
    runs = b" ".join(values).translate(_NOT_UID).split()
    return {run.strip(b".") for run in runs if b"." in run}
