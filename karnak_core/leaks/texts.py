"""Text as it is compared: decoded in its character set, in one form of each character, without case."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pydicom.charset import python_encoding

_ESCAPE = b"\x1b"
_FRAGMENTS = re.compile(rb"\x1b[^\x1b]*|[^\x1b]+")
#: escape sequence -> Python codec, and whether that wants to see the sequence (PS3.3 table C.12-3 and C.12-4)
_ESCAPED = {
    b"\x1b$B": ("iso2022_jp", True),
    b"\x1b(J": ("iso2022_jp", True),
    b"\x1b$(D": ("iso2022_jp_2", True),
    b"\x1b)I": ("shift_jis", False),
    b"\x1b(I": ("shift_jis", False),
    b"\x1b$)C": ("euc_kr", False),
    b"\x1b$)A": ("gb2312", False),
    b"\x1b-A": ("latin_1", False),
    b"\x1b-B": ("iso8859_2", False),
    b"\x1b-C": ("iso8859_3", False),
    b"\x1b-D": ("iso8859_4", False),
    b"\x1b-F": ("iso8859_7", False),
    b"\x1b-G": ("iso8859_6", False),
    b"\x1b-H": ("iso8859_8", False),
    b"\x1b-L": ("iso8859_5", False),
    b"\x1b-M": ("iso8859_9", False),
    b"\x1b-T": ("tis_620", False),
}
#: scripts that are written without blanks between words: Thai and its neighbours, Hangul, kana, ideographs
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3005\u3040-\u318f\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
#: kinds of neighbours
LETTERS, DIGITS, BOTH = "letters", "digits", "both"
#: so often a word may stand inside other words of one text; then it is taken to stand there, too, without a look
MOST_TRIES = 10_000
#: so many combining characters in a row are put in order; the time for that grows with the square of their number
_MOST_COMBINING = 30
#: control characters that text does not have (PS3.5 section 6.1.3)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\f\r\x1b")


def fold(text: str) -> str:
    """Return text in the form in which it is compared: NFKC, without case, single blanks, nothing around it."""
    if text.isascii():
        text = text.lower()
    else:
        if len(text) > _MOST_COMBINING:
            text = _broken_up(text)
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.replace("\0", " ").split())


def _broken_up(text: str) -> str:
    """Return text with a grapheme joiner in runs of combining characters without end (Unicode UAX 15 section 13)."""
    run, start = 0, 0
    parts: list[str] = []
    for at, char in enumerate(text):
        run = run + 1 if char > "\u02ff" and unicodedata.combining(char) else 0
        if run > _MOST_COMBINING:
            parts += (text[start:at], "\u034f")
            run, start = 1, at
    return "".join((*parts, text[start:])) if parts else text


def decode(value: bytes, character_set: bytes) -> str:
    """Return text as it stands in a data set; what its character sets do not have becomes U+FFFD."""
    codec = codecs_of(character_set)[0]
    if _ESCAPE not in value:
        return value.decode("ascii" if value.isascii() else codec, "replace")
    return "".join(_fragment(fragment, codec) for fragment in _FRAGMENTS.findall(value))


def _fragment(fragment: bytes, codec: str) -> str:
    for size in (3, 4):
        if known := _ESCAPED.get(fragment[:size]):
            codec, seen = known
            return (fragment if seen else fragment[size:]).decode(codec, "replace")
    return (fragment[3:] if fragment.startswith(_ESCAPE) else fragment).decode(codec, "replace")


@lru_cache(maxsize=64)
def codecs_of(character_set: bytes) -> tuple[str, ...]:
    """Return the Python codecs of a Specific Character Set; Latin-1 for what is not known."""
    terms = character_set.decode("ascii", "replace").split("\\")
    return tuple(_codec(python_encoding.get(term.strip("\0 "), "latin_1")) for term in terms)


def _codec(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        return {"iso_ir_58": "gb2312"}.get(name, "latin_1")
    return "latin_1" if name == "iso8859" else name


def is_text(value: bytes) -> bool:
    """Tell whether a value whose VR is not known may be text."""
    value = value.rstrip(b"\0")
    return len(value.translate(None, _CONTROLS)) == len(value)


def is_unspaced(text: str) -> bool:
    """Tell whether text is in a script whose words have no blanks between them."""
    return _UNSPACED.fullmatch(text) is not None


def neighbours(word: str) -> str:
    """Return what makes a word another one when it stands beside it.

    Letters only beside letters, so that ``QUILL2020`` is found; digits only beside digits, so that ``MRN901234`` is;
    where either is short, as always, both.
    """
    if len(word) >= 4 and word.isalpha():
        return LETTERS
    if len(word) >= 6 and not any(char.isalpha() for char in word):
        return DIGITS
    return BOTH


def stands_in(word: str, text: str) -> bool:
    """Tell whether a word stands in a text as a whole word; both folded.

    What stands on either side may make it another word (`neighbours`), except in scripts without blanks. A short
    number is also another one beside a decimal point.
    """
    at, tries = text.find(word), 0
    if at < 0 or (len(word) > 1 and is_unspaced(word)):
        return at >= 0
    belongs = {LETTERS: str.isalpha, DIGITS: str.isdecimal, BOTH: str.isalnum}[neighbours(word)]
    is_number = len(word) < 8 and word.isdecimal()
    while at >= 0:
        end = at + len(word)
        before, after = text[max(at - 2, 0) : at], text[end : end + 2]
        if not belongs(before[-1:]) and not belongs(after[:1]):
            is_fraction = before[-1:] == "." and before[:1].isdecimal() and len(before) == 2
            if not is_number or not (is_fraction or (after[:1] == "." and after[1:].isdecimal())):
                return True
        tries += 1
        if tries > MOST_TRIES:
            return True
        at = text.find(word, at + 1)
    return False
