"""Step over the elements of an encoded data set without decoding them (PS3.5 section 7).

Works on any buffer, so that a large data set can be walked where it lies, in its file.
"""

from __future__ import annotations

import struct
from typing import Final

from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

Buffer = bytes | bytearray | memoryview

DEEPEST_NESTING: Final = 64
UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
#: VRs with a two-byte length in explicit encodings (PS3.5 section 7.1.2)
SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
#: those, and the ones with a four-byte length
KNOWN_VRS: Final = SHORT_VRS | frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class UnreadableDataSet(ValueError):
    """The bytes are not a data set in the transfer syntax that was agreed."""


def is_explicit(data: Buffer, transfer_syntax_uid: str) -> bool:
    """Say whether elements name their VR: as the first one does, whatever was agreed.

    Modalities mix the two up, and receivers that look, as pydicom does, read what is there. A length that reads like a
    VR would be one of more than 16 KB, which no element has that comes first.
    """
    first = bytes(data[4:6])
    if transfer_syntax_uid == ImplicitVRLittleEndian:
        return first in KNOWN_VRS
    return transfer_syntax_uid == ExplicitVRBigEndian or len(first) < 2 or (first.isalpha() and first.isupper())


def value_of(data: memoryview, offset: int, explicit: bool, order: str) -> tuple[bytes, int, int, bool]:
    """Return an element's VR, empty if implicit, its length, where its value starts, and if its items are explicit."""
    if explicit:
        vr = bytes(data[offset + 4 : offset + 6])
        if vr in SHORT_VRS:
            return vr, struct.unpack_from(order + "H", data, offset + 6)[0], offset + 8, True
        if not vr.isalpha() or not vr.isupper():
            raise UnreadableDataSet("an element has no value representation")
        length: int = struct.unpack_from(order + "I", data, offset + 8)[0]
        # UN of undefined length holds items in Implicit VR Little Endian (PS3.5 section 6.2.2)
        return vr, length, offset + 12, vr != b"UN"
    return b"", struct.unpack_from("<I", data, offset + 4)[0], offset + 8, False


def after_sequence(data: memoryview, offset: int, explicit: bool, order: str, depth: int = 1) -> int:
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
        _, length, start, nested_explicit = value_of(data, offset, explicit, order)
        if length == UNDEFINED:
            offset = after_sequence(data, start, nested_explicit, order, depth + 1)
        else:
            offset = start + length
