from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

from karnak_core.dimse import ProtocolError, Timeouts, command


def test_a_command_set_of_pynetdicom_is_decoded():
    request = C_STORE()
    request.MessageID = 7
    request.AffectedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    request.AffectedSOPInstanceUID = "1.2.345"
    request.Priority = 2
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    encoded = next(iter(message.encode_msg(1, 16382))).presentation_data_value_list[0][1][1:]
    elements = command.decode(encoded)
    assert command.number(elements, command.MESSAGE_ID) == 7
    assert command.text(elements, command.AFFECTED_SOP_INSTANCE_UID) == "1.2.345"
    assert command.number(elements, command.COMMAND_FIELD) == command.C_STORE_RQ


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_a_protocol_error(data):
    try:
        elements = command.decode(data)
        command.number(elements, command.COMMAND_FIELD)
        command.text(elements, command.AFFECTED_SOP_CLASS_UID)
    except ProtocolError:
        pass


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_tags(data):
    assert len(command.tags(data)) == len(data) // 4


def test_text_is_padded_to_even_length():
    assert command.text_element(0x1000, "1.2") == b"\0\0\0\x10\4\0\0\x001.2\0"
    assert command.text_element(0x0902, "abc", b" ") == b"\0\0\2\x09\4\0\0\0abc "


@pytest.mark.parametrize("name", ["connect", "artim", "acse", "pdu", "dimse", "idle", "send"])
def test_a_timeout_is_more_than_nothing(name):
    with pytest.raises(ValueError, match=f"timeouts: {name}: 0 is not more than 0"):
        Timeouts(**{name: 0})
