"""Read a few elements of a data set without decoding the rest.

Walks the elements of the root level, skipping values, and stops behind the last one wanted: patient, study and series
come long before the pixels. Works on any buffer, so that a large data set can be walked where it lies, in its file.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final

from pydicom.charset import decode_bytes, default_encoding, python_encoding
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from karnak_core.model import Header

Buffer = bytes | bytearray | memoryview

#: keyword by tag; (group << 16) | element
WANTED: Final[Mapping[int, str]] = {
    0x00080005: "SpecificCharacterSet",
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x00080020: "StudyDate",
    0x00080050: "AccessionNumber",
    0x00080060: "Modality",
    0x00081030: "StudyDescription",
    0x0008103E: "SeriesDescription",
    0x00100010: "PatientName",
    0x00100020: "PatientID",
    0x00100021: "IssuerOfPatientID",
    0x00100030: "PatientBirthDate",
    0x00100040: "PatientSex",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00200011: "SeriesNumber",
    0x00200013: "InstanceNumber",
}
LAST_WANTED: Final = max(WANTED)
#: a fact is not longer than this, whatever the data set says
LONGEST_VALUE: Final = 1024
DEEPEST_NESTING: Final = 64
#: of a deflated data set, this much is looked at
INFLATED_BYTES: Final = 4 << 20

UNDEFINED: Final = 0xFFFFFFFF
#: bytes that end the reach of an escape sequence: backslash, caret, equals (PS3.5 section 6.1.2.5.3)
DELIMITERS: Final = {0x5C, 0x5E, 0x3D}
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
#: VRs with a two-byte length in explicit encodings (PS3.5 section 7.1.2)
SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
#: those, and the ones with a four-byte length
KNOWN_VRS: Final = SHORT_VRS | frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class UnreadableDataSet(ValueError):
    """The bytes are not a data set in the transfer syntax that was agreed."""


def read_header(data: Buffer, transfer_syntax_uid: str) -> Header:
    """Return what monitoring and routing need to know of a data set.

    Parameters
    ----------
    data
        The data set, without preamble and file meta information.
    transfer_syntax_uid
        How it is encoded.

    Raises
    ------
    UnreadableDataSet
        An element reaches beyond the end, or the nesting is wrong.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        data = _inflate(data)
    explicit = _is_explicit(data, transfer_syntax_uid)
    order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
    try:
        # released at once: a view that an exception's traceback kept would keep a mapped file from being closed
        with memoryview(data) as view:
            raw = _walk(view, explicit, order)
    except (struct.error, IndexError) as error:
        raise UnreadableDataSet("the data set ends inside an element") from error
    return _header(raw)


def _is_explicit(data: Buffer, transfer_syntax_uid: str) -> bool:
    """Say whether elements name their VR: as the first one does, whatever was agreed.

    Modalities mix the two up, and receivers that look, as pydicom does, read what is there. A length that reads like a
    VR would be one of more than 16 KB, which no element has that comes first.
    """
    first = bytes(data[4:6])
    if transfer_syntax_uid == ImplicitVRLittleEndian:
        return first in KNOWN_VRS
    return transfer_syntax_uid == ExplicitVRBigEndian or len(first) < 2 or (first.isalpha() and first.isupper())


def _header(raw: dict[str, bytes]) -> Header:
    charset = raw.pop("SpecificCharacterSet", b"").decode("ascii", "replace").strip(" \0")
    texts = {keyword: _text(value, charset) for keyword, value in raw.items()}
    return Header(
        sop_class_uid=texts.pop("SOPClassUID", "")[:64],
        sop_instance_uid=texts.pop("SOPInstanceUID", "")[:64],
        study_instance_uid=texts.pop("StudyInstanceUID", "")[:64],
        series_instance_uid=texts.pop("SeriesInstanceUID", "")[:64],
        facts=texts,
    )


def _text(value: bytes, charset: str) -> str:
    if value.isascii() and b"\x1b" not in value:
        text = value.decode("ascii")
    else:
        encodings = [_encoding(defined_term.strip()) for defined_term in charset.split("\\")]
        text = _with_escapes(value, encodings) if b"\x1b" in value else value.decode(encodings[0], "replace")
    # PostgreSQL keeps no NUL in a text
    return text.replace("\0", "").strip(" ")


def _encoding(defined_term: str) -> str:
    """Return Python's name for a Specific Character Set; what is unknown is taken for Latin-1, as pydicom does."""
    spelt = _SPELLING.fullmatch(defined_term)
    if spelt:
        defined_term = f"ISO 2022 IR {spelt[2]}" if spelt[1] else f"ISO_IR {spelt[2]}"
    # not by any name that Python knows: unicode_escape and the like make texts that no database takes
    return python_encoding.get(defined_term, default_encoding)


#: common misspellings, too: ISO IR 100, ISO-IR 100
_SPELLING: Final = re.compile(r"ISO[ _-](2022[ _-])?IR[ _-]?(\d+)")


def _with_escapes(value: bytes, encodings: list[str]) -> str:
    """Decode code extensions (PS3.5 section 6.1.2.5)."""
    try:
        return decode_bytes(value, encodings, DELIMITERS)
    except (LookupError, ValueError, Warning):
        return value.decode(encodings[0], "replace")


def _walk(data: memoryview, explicit: bool, order: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    read_tag = struct.Struct(order + "HH").unpack_from
    offset, end = 0, len(data)
    while offset < end:
        group, element = read_tag(data, offset)
        tag = (group << 16) | element
        if tag > LAST_WANTED:
            break
        length, start, nested_explicit = _value(data, offset, explicit, order)
        if length == UNDEFINED:
            offset = _after_sequence(data, start, nested_explicit, order, 1)
            continue
        offset = start + length
        if offset > end:
            raise UnreadableDataSet(f"element ({group:04X},{element:04X}) reaches beyond the end of the data set")
        keyword = WANTED.get(tag)
        if keyword is not None:
            found[keyword] = bytes(data[start : min(offset, start + LONGEST_VALUE)])
    return found


def _value(data: memoryview, offset: int, explicit: bool, order: str) -> tuple[int, int, bool]:
    """Return the length of an element's value, where it starts, and whether its items are explicit."""
    if explicit:
        vr = bytes(data[offset + 4 : offset + 6])
        if vr in SHORT_VRS:
            return struct.unpack_from(order + "H", data, offset + 6)[0], offset + 8, True
        if not vr.isalpha() or not vr.isupper():
            raise UnreadableDataSet("an element has no value representation")
        length: int = struct.unpack_from(order + "I", data, offset + 8)[0]
        # UN of undefined length holds items in Implicit VR Little Endian (PS3.5 section 6.2.2)
        return length, offset + 12, vr != b"UN"
    return struct.unpack_from("<I", data, offset + 4)[0], offset + 8, False


def _after_sequence(data: memoryview, offset: int, explicit: bool, order: str, depth: int) -> int:
    """Return the offset behind a sequence of undefined length (PS3.5 section 7.5)."""
    if depth > DEEPEST_NESTING:
        raise UnreadableDataSet(f"sequences are nested more than {DEEPEST_NESTING} deep")
    if not explicit:
        order = "<"
    while True:
        group, element, length = struct.unpack_from(order + "HHI", data, offset)
        tag = (group << 16) | element
        offset += 8
        if tag == SEQUENCE_END:
            return offset
        if tag != ITEM:
            raise UnreadableDataSet("a sequence holds something that is no item")
        offset = _after_item(data, offset, explicit, order, depth) if length == UNDEFINED else offset + length


def _after_item(data: memoryview, offset: int, explicit: bool, order: str, depth: int) -> int:
    while True:
        group, element = struct.unpack_from(order + "HH", data, offset)
        if (group << 16) | element == ITEM_END:
            return offset + 8
        length, start, nested_explicit = _value(data, offset, explicit, order)
        if length == UNDEFINED:
            offset = _after_sequence(data, start, nested_explicit, order, depth + 1)
        else:
            offset = start + length


def _inflate(data: Buffer) -> bytes:
    """Return the beginning of a deflated data set (PS3.5 section A.5), inflated."""
    try:
        return zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(data, INFLATED_BYTES)
    except zlib.error as error:
        raise UnreadableDataSet("the data set cannot be inflated") from error
