"""C-FIND as SCU (PS3.7 section 9.1.2): one query over an open association, its matches one after the other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from karnak_core.dimse import command, pdu
from karnak_core.dimse.errors import PeerTimeout, ProtocolError
from karnak_core.dimse.outgoing import gathers_of_chunks
from karnak_core.dimse.requestor import Association

C_FIND_RQ: Final = 0x0020
C_FIND_RSP: Final = 0x8020
#: bytes of one match, at most
LONGEST_IDENTIFIER: Final = 1 << 20
PENDING: Final = frozenset({0xFF00, 0xFF01})


@dataclass(frozen=True, kw_only=True)
class FindResponse:
    """A C-FIND-RSP (PS3.7 section 9.3.2.2): a match while the status is pending, then the final status."""

    status: int
    #: the encoded data set of a match; None: there is none
    identifier: bytes | None = None
    error_comment: str = ""


def find(
    association: Association, sop_class_uid: str, context_id: int, identifier: bytes, *, seconds: float
) -> Generator[FindResponse, None, None]:
    """Send a query, and yield its responses to the final one, which is yielded, too.

    Who stops before the final one aborts the association.

    Parameters
    ----------
    identifier
        The encoded data set of the query, in the transfer syntax of the context.
    seconds
        For all of the responses.

    Raises
    ------
    DimseError
        The association ended, or the peer does not answer as it should, or in time.
    """
    association._check()
    if association.outstanding:
        raise ValueError("find: responses are outstanding")
    message_id = association._next_message_id()
    request = pdu.command_pdus(context_id, _request(message_id, sop_class_uid), association._fragment)
    deadline = monotonic() + seconds
    try:
        association._connection.send(request)
        for buffers, total in gathers_of_chunks([identifier], context_id, association._fragment):
            association._connection.send_all(buffers, total)
        while True:
            if monotonic() > deadline:
                raise PeerTimeout(f"{association.peer} is not done with its answers within {seconds:g} s")
            response = _response(association, message_id, context_id)
            if response.status not in PENDING:
                break
            yield response
    except BaseException:
        association.abort()
        raise
    yield response


def _request(message_id: int, sop_class_uid: str) -> bytes:
    elements = command.text_element(command.AFFECTED_SOP_CLASS_UID, sop_class_uid)
    elements += command.short_element(command.COMMAND_FIELD, C_FIND_RQ)
    elements += command.short_element(command.MESSAGE_ID, message_id)
    elements += command.short_element(command.PRIORITY, 0)
    elements += command.short_element(command.COMMAND_DATA_SET_TYPE, command.DATA_SET)
    return command.with_group_length(elements)


def _response(association: Association, message_id: int, context_id: int) -> FindResponse:
    reader = association._reader
    fragment = reader.start_message(association._timeouts.dimse)
    elements = command.decode(reader.command(fragment))
    field = command.number(elements, command.COMMAND_FIELD)
    answered = command.number(elements, command.MESSAGE_ID_BEING_RESPONDED_TO)
    if field != C_FIND_RSP or answered != message_id:
        raise ProtocolError(f"{association.peer} answers something else than what was asked", pdu.UNEXPECTED_PARAMETER)
    identifier = None
    if command.number(elements, command.COMMAND_DATA_SET_TYPE) != command.NO_DATA_SET:
        identifier = _data_set(association, context_id)
    return FindResponse(
        status=command.number(elements, command.STATUS),
        identifier=identifier,
        error_comment=command.text(elements, command.ERROR_COMMENT),
    )


def _data_set(association: Association, context_id: int) -> bytes:
    found = bytearray()
    while True:
        fragment = association._reader.next_data_fragment(context_id)
        if len(found) + fragment.length > LONGEST_IDENTIFIER:
            raise ProtocolError(f"{association.peer} sends a match of more than {LONGEST_IDENTIFIER} bytes")
        rest = fragment.length
        while rest:
            data = association._reader.take(rest)
            rest -= len(data)
            found += data
        if fragment.control & pdu.LAST:
            return bytes(found)
