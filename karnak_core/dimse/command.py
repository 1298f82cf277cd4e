"""Command sets (PS3.7 section 6.3 and Annex E): Implicit VR Little Endian elements of group 0000."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from karnak_core.dimse.errors import ProtocolError
from karnak_core.dimse.pdu import INVALID_PARAMETER

#: element numbers in group 0000
AFFECTED_SOP_CLASS_UID: Final = 0x0002
REQUESTED_SOP_CLASS_UID: Final = 0x0003
COMMAND_FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO: Final = 0x0120
PRIORITY: Final = 0x0700
COMMAND_DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
OFFENDING_ELEMENT: Final = 0x0901
ERROR_COMMENT: Final = 0x0902
AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
REQUESTED_SOP_INSTANCE_UID: Final = 0x1001
MOVE_ORIGINATOR_AE_TITLE: Final = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID: Final = 0x1031

#: command fields, PS3.7 section E.1
C_STORE_RQ: Final = 0x0001
C_STORE_RSP: Final = 0x8001
C_ECHO_RQ: Final = 0x0030
C_ECHO_RSP: Final = 0x8030
C_CANCEL_RQ: Final = 0x0FFF
RESPONSE_BIT: Final = 0x8000

#: requests with a response: C-STORE, C-GET, C-FIND, C-MOVE, C-ECHO, N-EVENT-REPORT … N-DELETE
REQUESTS: Final = frozenset({0x0001, 0x0010, 0x0020, 0x0021, 0x0030, *range(0x0100, 0x0151, 0x10)})

#: Command Data Set Type: this value means none, any other one follows
NO_DATA_SET: Final = 0x0101
DATA_SET: Final = 0x0001

_ELEMENT: Final = struct.Struct("<HHL")
_SHORT: Final = struct.Struct("<H")
_SHORT_ELEMENT: Final = struct.Struct("<HHLH")
_GROUP_LENGTH: Final = struct.Struct("<HHLL")

Elements = Mapping[int, bytes]


def decode(command: bytes) -> dict[int, bytes]:
    """Return the values of a command set by element number.

    Raises
    ------
    ProtocolError
        If a length goes beyond the end or an element is not of group 0000.
    """
    elements: dict[int, bytes] = {}
    position, end = 0, len(command)
    unpack = _ELEMENT.unpack_from
    try:
        while position < end:
            group, element, length = unpack(command, position)
            position += 8
            if group != 0 or length > end - position:
                raise ProtocolError("invalid command set", INVALID_PARAMETER)
            elements[element] = command[position : position + length]
            position += length
    except struct.error as error:
        raise ProtocolError("invalid command set", INVALID_PARAMETER) from error
    return elements


def number(elements: Elements, element: int) -> int:
    """Return an US value; a missing or odd one makes the whole command set invalid."""
    value = elements.get(element)
    if value is None or len(value) != 2:
        raise ProtocolError(f"invalid command set: no element (0000,{element:04X})", INVALID_PARAMETER)
    return value[0] | value[1] << 8


def text(elements: Elements, element: int) -> str:
    """Return a value as text without its padding; empty where there is none."""
    return elements.get(element, b"").decode("ascii", "replace").strip("\0 ")


def short_element(element: int, value: int) -> bytes:
    """Encode an US element."""
    return _SHORT_ELEMENT.pack(0, element, 2, value)


def text_element(element: int, value: str, padding: bytes = b"\0") -> bytes:
    """Encode a text element: UIDs are padded with NUL, other values with a space (PS3.5 section 6.2)."""
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += padding
    return _ELEMENT.pack(0, element, len(encoded)) + encoded


def with_group_length(elements: bytes) -> bytes:
    """Put the group length (0000,0000) before the elements, which are in order."""
    return _GROUP_LENGTH.pack(0, 0, 4, len(elements)) + elements


def store_request(
    message_id: int,
    sop_class_uid: str,
    sop_instance_uid: str,
    priority: int = 0,
    move_originator: tuple[str, int] | None = None,
) -> bytes:
    """Encode a C-STORE-RQ (PS3.7 section 9.3.1.1); the originator is the AE title and message ID of a C-MOVE."""
    elements = text_element(AFFECTED_SOP_CLASS_UID, sop_class_uid)
    elements += short_element(COMMAND_FIELD, C_STORE_RQ)
    elements += short_element(MESSAGE_ID, message_id)
    elements += short_element(PRIORITY, priority)
    elements += short_element(COMMAND_DATA_SET_TYPE, DATA_SET)
    elements += text_element(AFFECTED_SOP_INSTANCE_UID, sop_instance_uid)
    if move_originator is not None:
        elements += text_element(MOVE_ORIGINATOR_AE_TITLE, move_originator[0], b" ")
        elements += short_element(MOVE_ORIGINATOR_MESSAGE_ID, move_originator[1])
    return with_group_length(elements)


def echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """Encode a C-ECHO-RQ (PS3.7 section 9.3.5.1)."""
    elements = text_element(AFFECTED_SOP_CLASS_UID, sop_class_uid)
    elements += short_element(COMMAND_FIELD, C_ECHO_RQ)
    elements += short_element(MESSAGE_ID, message_id)
    elements += short_element(COMMAND_DATA_SET_TYPE, NO_DATA_SET)
    return with_group_length(elements)


def tags(value: bytes) -> tuple[int, ...]:
    """Decode an AT value into tags of 32 bits."""
    return tuple(
        _SHORT.unpack_from(value, at)[0] << 16 | _SHORT.unpack_from(value, at + 2)[0]
        for at in range(0, len(value) - 3, 4)
    )
