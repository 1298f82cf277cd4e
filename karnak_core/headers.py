"""Read a few elements of a data set without decoding the rest.

Walks the elements of the root level, skipping values, and stops behind the last one wanted: patient, study and series
come long before the pixels. Works on any buffer, so that a large data set can be walked where it lies, in its file.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pydicom.charset import decode_bytes, default_encoding, python_encoding
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from karnak_core.elements import UNDEFINED, Buffer, UnreadableDataSet, after_sequence, is_explicit, value_of
from karnak_core.model import Header

#: keyword by tag; (group << 16) | element
WANTED: Final[Mapping[int, str]] = {
    0x00080005: "SpecificCharacterSet",
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x00080020: "StudyDate",
    0x00080021: "SeriesDate",
    0x00080030: "StudyTime",
    0x00080031: "SeriesTime",
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
#: of a deflated data set, this much is looked at
INFLATED_BYTES: Final = 4 << 20

#: bytes that end the reach of an escape sequence: backslash, caret, equals (PS3.5 section 6.1.2.5.3)
DELIMITERS: Final = {0x5C, 0x5E, 0x3D}


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
    explicit = is_explicit(data, transfer_syntax_uid)
    order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
    try:
        # released at once: a view that an exception's traceback kept would keep a mapped file from being closed
        with memoryview(data) as view:
            raw = _walk(view, explicit, order)
    except (struct.error, IndexError) as error:
        raise UnreadableDataSet("the data set ends inside an element") from error
    return _header(raw)


def header_of(values: Mapping[int, bytes]) -> Header:
    """Return the same of values that are known already, by their tags: those of `WANTED`."""
    return _header({WANTED[tag]: value[:LONGEST_VALUE] for tag, value in values.items()})


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


@lru_cache(maxsize=1024)
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
        _, length, start, nested_explicit = value_of(data, offset, explicit, order)
        if length == UNDEFINED:
            offset = after_sequence(data, start, nested_explicit, order)
            continue
        offset = start + length
        if offset > end:
            raise UnreadableDataSet(f"element ({group:04X},{element:04X}) reaches beyond the end of the data set")
        keyword = WANTED.get(tag)
        if keyword is not None:
            found[keyword] = bytes(data[start : min(offset, start + LONGEST_VALUE)])
    return found


def _inflate(data: Buffer) -> bytes:
    """Return the beginning of a deflated data set (PS3.5 section A.5), inflated."""
    try:
        return zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(data, INFLATED_BYTES)
    except zlib.error as error:
        raise UnreadableDataSet("the data set cannot be inflated") from error
