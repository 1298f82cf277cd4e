"""New data elements, encoded as those around them, so that the others can stay undecoded."""

from __future__ import annotations

import struct
from functools import lru_cache, partial

from pydicom.charset import convert_encodings
from pydicom.charset import python_encoding as KNOWN_TERMS
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from karnak_core.deidentify.errors import DeidentificationError, tag_text
from karnak_core.deidentify.forms import fits

#: text in the Specific Character Set of the data set
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_ASCII_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_INTEGERS = {"SS": "h", "US": "H", "SL": "i", "UL": "I", "SV": "q", "UV": "Q"}
_FLOATS = {"FL": "f", "FD": "d"}
#: VRs with a length of four bytes in explicit VR (PS3.5 section 7.1.2)
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_LARGEST_SHORT = 0xFFFE


#: a tag by its number: pydicom's comparisons are slow unless it is the same object
tag_of = lru_cache(maxsize=8192)(BaseTag)
#: makes a `RawDataElement` of all its fields, without what Python does for their names
make_raw = partial(tuple.__new__, RawDataElement)


class NeedsUtf8(Exception):
    """A new value does not fit into the data set's character set."""


class Encoder:
    """Makes elements for one data set, or one item of a sequence."""

    __slots__ = ("_implicit", "_little", "_python_encoding")

    def __init__(self, implicit: bool, little: bool, specific_character_set: tuple[str, ...]) -> None:
        self._implicit = implicit
        self._little = little
        self._python_encoding = python_encoding(specific_character_set)

    def raw(self, tag: int, vr: str, value: bytes) -> RawDataElement:
        """Return an element with this encoded value."""
        if len(value) > _LARGEST_SHORT and vr not in LONG_VRS:
            raise DeidentificationError(f"{tag_text(tag)} {vr}: the new value is too long for its VR")
        return make_raw((tag_of(tag), vr, len(value), value, 0, self._implicit, self._little, True, False))

    def empty(self, tag: int, vr: str) -> RawDataElement:
        """Return an element without a value."""
        return make_raw((tag_of(tag), vr, 0, b"", 0, self._implicit, self._little, True, False))

    def text(self, tag: int, vr: str, text: str) -> RawDataElement:
        """Return an element with the values of a text, several of them joined with a backslash.

        Raises
        ------
        NeedsUtf8
            It does not fit into the character set.
        DeidentificationError
            It is no value of the VR. The message does not quote it.
        """
        if vr in TEXT_VRS or vr in _ASCII_VRS:
            value = self._encoded(tag, vr, text)
            if len(value) % 2:
                value += b"\0" if vr == "UI" else b" "
            return self.raw(tag, vr, value)
        return self.raw(tag, vr, self._numbers(tag, vr, text) if text else b"")

    def fitting(self, tag: int, vr: str, text: str) -> RawDataElement:
        """Return the same of a text that a profile gives or computes; raises where it is none of the VR, too."""
        if not fits(vr, text):
            raise DeidentificationError(f"{tag_text(tag)} {vr}: the new value is not one of this VR")
        return self.text(tag, vr, text)

    def _encoded(self, tag: int, vr: str, text: str) -> bytes:
        if text.isascii():
            if "\x1b" in text or "\0" in text:
                raise DeidentificationError(f"{tag_text(tag)} {vr}: the new value has control characters")
            return text.encode("ascii")
        if vr not in TEXT_VRS:
            raise DeidentificationError(f"{tag_text(tag)} {vr}: the new value is not ASCII")
        if self._python_encoding is None:
            raise NeedsUtf8
        try:
            return text.encode(self._python_encoding)
        except UnicodeEncodeError:
            pass
        if self._python_encoding == "utf8":
            raise DeidentificationError(f"{tag_text(tag)} {vr}: the new value is not Unicode text")
        raise NeedsUtf8

    def _numbers(self, tag: int, vr: str, text: str) -> bytes:
        order = "<" if self._little else ">"
        parts = [part.strip() for part in text.split("\\")]
        try:
            if vr in _INTEGERS:
                return struct.pack(f"{order}{len(parts)}{_INTEGERS[vr]}", *map(int, parts))
            if vr in _FLOATS:
                return struct.pack(f"{order}{len(parts)}{_FLOATS[vr]}", *map(float, parts))
            if vr == "AT":
                halves = [int(half, 16) for part in parts for half in (part[:4], part[4:])]
                return struct.pack(f"{order}{len(halves)}H", *halves)
            if vr in ("US or SS", "US or SS or OW", "US or OW"):
                numbers = list(map(int, parts))
                return struct.pack(f"{order}{len(parts)}{'h' if min(numbers) < 0 else 'H'}", *numbers)
        except (ValueError, OverflowError, struct.error):
            pass
        raise DeidentificationError(f"{tag_text(tag)} {vr}: the new value is not one of this VR")


#: an encoder, which has no state, by what it is made of
encoder_for = lru_cache(maxsize=256)(Encoder)


@lru_cache(maxsize=256)
def python_encoding(specific_character_set: tuple[str, ...]) -> str | None:
    """Return the codec that text can be encoded with; None where there is none for everything beyond ASCII."""
    if len(specific_character_set) > 1:
        return None  # code extensions: what needs one is written in UTF-8 instead
    term = specific_character_set[0] if specific_character_set else ""
    if term in ("", "ISO_IR 6") or term not in KNOWN_TERMS:
        return None
    encoding = convert_encodings([term])[0]
    # JIS X 0201 has other signs at two places of ASCII
    return None if encoding == "shift_jis" else encoding
