"""What tells who the patient is in a received data set: the words, dates and UIDs to look for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import Literal

from pydicom.datadict import dictionary_description

from karnak_core.errors import Permanent
from karnak_core.leaks.elements import Elements, tag_text
from karnak_core.leaks.texts import codecs_of, decode, fold, is_unspaced

_NAMES = frozenset(
    {
        0x00100010,  # Patient's Name
        0x00101001,  # Other Patient Names
        0x00101005,  # Patient's Birth Name
        0x00101060,  # Patient's Mother's Birth Name
        0x00102297,  # Responsible Person
    }
)
_IDS = frozenset(
    {
        0x00100020,  # Patient ID
        0x00101000,  # Other Patient IDs; those of Other Patient IDs Sequence are Patient IDs, too
        0x00080050,  # Accession Number
        0x00380010,  # Admission ID
    }
)
#: often so short and so general that they say nothing: looked for from four characters on
_LESSER_IDS = frozenset(
    {
        0x00100033,  # Patient's Birth Date in Alternative Calendar
        0x00101040,  # Patient's Address
        0x00101050,  # Insurance Plan Identification
        0x00101090,  # Medical Record Locator
        0x00102154,  # Patient's Telephone Numbers
        0x00120040,  # Clinical Trial Subject ID
        0x00120042,  # Clinical Trial Subject Reading ID
        0x00200010,  # Study ID
        0x00380060,  # Service Episode ID
        0x00400009,  # Scheduled Procedure Step ID
        0x00400253,  # Performed Procedure Step ID
        0x00401001,  # Requested Procedure ID
        0x00402006,  # Placer Order Number / Procedure
        0x00402007,  # Filler Order Number / Procedure
        0x00402016,  # Placer Order Number / Imaging Service Request
        0x00402017,  # Filler Order Number / Imaging Service Request
        0x0040E001,  # HL7 Instance Identifier
        0x40080200,  # Interpretation ID
    }
)
_BIRTH_DATE = 0x00100030
#: Clinical Trial Subject ID and Subject Reading ID: given to a subject instead of a name
_SUBJECT_IDS = frozenset((0x00120040, 0x00120042))
_SOURCES = _NAMES | _IDS | _LESSER_IDS | {_BIRTH_DATE}
#: names and IDs of the patient, not of a visit or an order
_PERSON = _NAMES | {0x00100020, 0x00101000}
#: UI elements that name a kind of thing, a device's maker or a server, not an instance
_NO_INSTANCE = frozenset(
    {
        *(0x00020002, 0x00020010, 0x00020012, 0x00020100),  # file meta information but its SOP instance
        *(0x00041510, 0x00041512, 0x0004151A),  # classes and transfer syntaxes of a DICOMDIR
        *(0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x00081150, 0x0008115A),  # SOP classes
        *(0x30100052, 0x30100053),  # SOP classes pertinent to a prescription
        *(0x0008010C, 0x0008010D, 0x00080117, 0x00080118),  # coding schemes and context groups
        *(0x0008040E, 0x00083002, 0x00340003, 0x04000010, 0x04000510),  # transfer syntaxes
        *(0x00089123, 0x00280304, 0x3010001F),  # version of a creator, colour palette, segmentation template
        *(0x0040E011, 0x0040E030, 0x0040E031),  # where to retrieve from
        *(0x0072007F, 0x300A0675),  # selector of a hanging protocol, frame of reference of equipment
    }
)
_STANDARD = b"1.2.840.10008."
#: written where there is no name and no ID
_NOBODY = frozenset(("anon", "anonymised", "anonymized", "anonymous", "n/a", "none", "null", "unknown"))
_TITLES = frozenset(
    ("dr", "drs", "frau", "herr", "jr", "md", "miss", "mme", "mr", "mrs", "ms", "phd", "prof", "sr", "sra")
)
_SEPARATORS = re.compile(r"[\s^=,;/()\[\]\"]+")
_INNER = re.compile(r"[^\W_]+")
#: letters whose stroke is no combining character
_STROKES = str.maketrans("đøłħ", "dolh")
#: characters of names without hyphens, and without accents; shorter ones are other words
_SHORTEST_JOINED, _SHORTEST_PLAIN = 5, 4
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
#: characters of a word that is looked for among pixels
_SHORTEST_IN_NOISE = 6
_MOST = 500
#: bytes of a value of which it is remembered what it says
_LONGEST_REMEMBERED = 256
#: which of an `Identifiers`' texts something is
_Kind = Literal["words", "short", "dates"]


@dataclass(frozen=True, kw_only=True)
class Identifiers:
    """What to look for; each with the tag that it was received in."""

    #: folded words, numbers and phrases to look for in every text
    words: dict[str, int] = field(default_factory=dict)
    #: folded ones that are too short for that: looked for in names and IDs only
    short: dict[str, int] = field(default_factory=dict)
    #: the forms in which birth dates are written in texts; the first of each is YYYYMMDD
    dates: dict[str, int] = field(default_factory=dict)
    uids: dict[bytes, int] = field(default_factory=dict)
    #: Python codecs of the received texts
    codecs: tuple[str, ...] = ()

    def in_noise(self) -> Identifiers:
        """Return those that do not stand in bytes of pixels by accident."""
        return replace(
            self, words={word: tag for word, tag in self.words.items() if len(word) >= _SHORTEST_IN_NOISE}, short={}
        )

    def without(self, kept: Identifiers) -> Identifiers:
        """Return these but those that ``kept`` has, too; a patient's name or ID only if that has it as such."""
        return replace(
            self,
            words={word: tag for word, tag in self.words.items() if not _lets_out(kept.words.get(word), tag)},
            short={word: tag for word, tag in self.short.items() if not _lets_out(kept.short.get(word), tag)},
            dates={text: tag for text, tag in self.dates.items() if text not in kept.dates},
            uids={uid: tag for uid, tag in self.uids.items() if uid not in kept.uids},
        )


def identifiers_of(datasets: tuple[Elements, ...], kept: frozenset[int]) -> Identifiers:
    """Return the identifiers of a received data set and its file meta information, at every level.

    An identifier that also stands in an element of ``kept`` is let out by the profile, wherever else it stands; a
    name or ID of the patient only if that element is for such a one.

    Raises
    ------
    Permanent
        It has more than anyone can look for.
    """
    wanted, let_out, classes = Identifiers(), Identifiers(), Identifiers()
    codecs: dict[str, None] = {}
    for elements in datasets:
        value = elements.value
        found = dict.fromkeys(
            (tag, vr, value[start:stop], elements.character_set(level) if tag in _SOURCES else b"")
            for tag, vr, start, stop, level in elements.found
            if tag in _SOURCES or vr == b"UI"
        )
        for tag, vr, raw, character_set in found:
            into = let_out if tag in kept else classes if tag in _NO_INSTANCE else wanted
            if vr == b"UI":
                _add_uids(into, tag, raw)
            elif raw:
                codecs.update(dict.fromkeys(codecs_of(character_set)))
                for kind, word in _texts_in(tag, raw, character_set):
                    _add(into, kind, word, tag)
    if len(wanted.words) + len(wanted.short) + len(wanted.dates) > _MOST:
        raise Permanent(f"leak check: the received data set has more than {_MOST} names and IDs")
    # a private SOP class may stand in a private element, too, which says nothing of what its UIDs are
    uids = {uid: tag for uid, tag in wanted.uids.items() if not (_is_private(tag) and uid in classes.uids)}
    wanted = Identifiers(words=wanted.words, short=wanted.short, dates=wanted.dates, uids=uids, codecs=tuple(codecs))
    return wanted.without(let_out) if kept else wanted


def _lets_out(kept: int | None, tag: int) -> bool:
    return kept is not None and (tag not in _PERSON or kept in _PERSON)


def is_name(tag: int) -> bool:
    """Tell whether what was received in a tag is a part of a name."""
    return tag in _NAMES


def is_subject_id(tag: int) -> bool:
    """Tell whether what was received in a tag is the ID of a clinical trial's subject."""
    return tag in _SUBJECT_IDS


def what_of(tag: int) -> str:
    """Return what an identifier is, by the tag it was received in."""
    try:
        name = dictionary_description(tag)
    except KeyError:
        return f"UID in {tag_text(tag)}"  # only UIDs are taken from private elements
    return f"part of {name}" if tag in _NAMES else name


def _is_private(tag: int) -> bool:
    return tag >> 16 & 1 == 1


def _add_uids(into: Identifiers, tag: int, raw: bytes) -> None:
    for uid in raw.split(b"\\"):
        uid = uid.strip(b"\0 ")
        if uid.startswith(_STANDARD):
            continue
        if uid.translate(None, b"0123456789.") == b"":
            # with fewer dots it is a number
            if uid.count(b".") >= 2 and _is_private(into.uids.setdefault(uid, tag)):
                into.uids[uid] = tag
        elif len(uid) >= 6:
            into.words.setdefault(fold(uid.decode("latin_1")), tag)


def _texts_in(tag: int, raw: bytes, character_set: bytes) -> tuple[tuple[_Kind, str], ...]:
    """Return what is looked for because of a value."""
    if len(raw) > _LONGEST_REMEMBERED:
        return tuple(_all_texts(tag, raw, character_set))
    return _remembered(tag, raw, character_set)


def _all_texts(tag: int, raw: bytes, character_set: bytes) -> Iterator[tuple[_Kind, str]]:
    for one in decode(raw, character_set).split("\\"):
        yield from _texts(tag, one)


#: the texts of a patient and of a study stand in every one of its instances
@lru_cache(maxsize=1024)
def _remembered(tag: int, raw: bytes, character_set: bytes) -> tuple[tuple[_Kind, str], ...]:
    return tuple(_all_texts(tag, raw, character_set))


def _texts(tag: int, one: str) -> Iterator[tuple[_Kind, str]]:
    if tag == _BIRTH_DATE:
        for form in _date_forms(one):
            yield "dates", form
    elif tag in _NAMES:
        for word in _name_parts(one):
            yield "words" if _tells_enough(word, 3) else "short", word
        for word in _as_written(one):
            yield "words", word
    else:
        for word in _id_forms(one, phrase=tag == 0x00101040):
            if _tells_enough(word, 3 if tag in _IDS else 4):
                yield "words", word
            elif tag in _IDS:
                yield "short", word
            if tag in _IDS:
                yield from _otherwise_written(word)


def _otherwise_written(word: str) -> Iterator[tuple[_Kind, str]]:
    """Yield an ID without its separators, and, where it is a number, without leading zeros."""
    joined = "".join(_INNER.findall(word))
    if joined != word and any(char.isdecimal() for char in joined) and len(joined) >= 4 + 2 * joined.isdecimal():
        yield "words", joined
    significant = word.lstrip("0")
    if significant != word and word.isdecimal() and len(significant) >= 4:
        yield "short", significant


def _add(into: Identifiers, kind: _Kind, word: str, tag: int) -> None:
    if kind == "dates":
        into.dates.setdefault(word, tag)
        return
    if word in _NOBODY:
        return
    known = into.words if kind == "words" else into.short
    # that of the patient before that of an order, and that before the ID of a subject, which may be the pseudonym
    if word not in known or tag in _PERSON or known[word] in _SUBJECT_IDS:
        known[word] = tag


def _tells_enough(word: str, least: int) -> bool:
    """Tell whether a word may be looked for in every text without finding what has nothing to do with it."""
    if is_unspaced(word):
        return len(word) >= 2
    return len(word) >= (4 if word.isdecimal() else least)


def _name_parts(name: str) -> Iterator[str]:
    """Return the words of all component groups of a name; words with hyphens and the like also in their parts."""
    for number, word in enumerate(_SEPARATORS.split(fold(name))):
        word = word.strip("'’`.-_*:!?+&#|<>{}~")
        if (number and word in _TITLES) or (len(word) < 2 and not is_unspaced(word)):
            continue
        parts = [part for part in _INNER.findall(word) if len(part) >= 3 and part not in _TITLES]
        joined = "".join(_INNER.findall(word))
        forms = [word] if joined == word else [word, *parts, *([joined] if len(joined) >= _SHORTEST_JOINED else ())]
        yield from forms
        for form in forms:
            plain = _without_accents(form)
            if plain != form and len(plain) >= _SHORTEST_PLAIN and plain.isascii():
                yield plain


def _as_written(name: str) -> Iterator[str]:
    """Yield words that are other ones once they are folded, as they may stand in bytes: with ß, final sigma, kana."""
    for word in _SEPARATORS.split(name):
        lower = word.strip(" \0").lower()
        if len(lower) >= 2 and not lower.isascii() and fold(lower) != lower:
            yield lower


def _without_accents(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.translate(_STROKES))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _id_forms(text: str, *, phrase: bool) -> Iterator[str]:
    text = fold(text).strip("^=&")
    if not any(char.isalnum() for char in text):
        return
    yield text
    if phrase:  # the lines of an address that have a number and a name
        lines = (line.strip() for line in re.split(r"[,;^]", text))
        yield from (line for line in lines if len(line) >= 6 and re.search(r"\d", line) and re.search(r"[^\W\d]", line))
    elif "^" in text:  # as in HL7: the ID, then who issued it
        yield text.partition("^")[0].strip()


def _date_forms(text: str) -> Iterator[str]:
    digits = "".join(char for char in text if char.isdecimal())[:8]
    if len(digits) < 8 or not digits.isascii():
        return
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        yield digits
        return
    y, m, d = f"{day.year:04}", f"{day.month:02}", f"{day.day:02}"
    yield from (digits, f"{digits}0000", f"{digits}000000")  # as HL7 has it
    yield from (f"{y}{mark}{m}{mark}{d}" for mark in "-./")
    yield from (f"{d}{mark}{m}{mark}{y}" for mark in ".-/")
    yield f"{m}/{d}/{y}"
    if m[0] == "0" or d[0] == "0":
        yield from (f"{day.day}.{day.month}.{y}", f"{day.day}/{day.month}/{y}", f"{day.month}/{day.day}/{y}")
        yield from (f"{y}{mark}{day.month}{mark}{day.day}" for mark in "-./")
    name = _MONTHS[day.month - 1]
    for month in dict.fromkeys((name[:3], name)):
        for number in dict.fromkeys((d, str(day.day))):
            yield from (f"{number}{mark}{month}{mark}{y}" for mark in (" ", "-", ""))
            yield from (f"{month} {number} {y}", f"{month} {number}, {y}")
