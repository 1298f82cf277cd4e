"""Answering the requests of a peer (PS3.7 sections 9.3.1 and 9.3.5)."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from typing import Final

from karnak_core.dimse import command, pdu, status
from karnak_core.dimse.connection import Connection
from karnak_core.dimse.errors import ProtocolError
from karnak_core.dimse.pdata import PDataReader
from karnak_core.dimse.receiver import AssociationRequest, Incoming, Receiver, StoreAnswer, StoreRequest
from karnak_core.dimse.syntaxes import VERIFICATION, is_storage, is_uid

logger = logging.getLogger(__name__)

#: the longest error comment, (0000,0902) is LO
MAX_COMMENT: Final = 64


class RequestAnswerer:
    """Turns one request after the other into the bytes of its response."""

    def __init__(
        self,
        connection: Connection,
        reader: PDataReader,
        receiver: Receiver,
        association: AssociationRequest,
        contexts: Mapping[int, tuple[str, str]],
    ) -> None:
        self._connection: Final = connection
        self._reader: Final = reader
        self._receiver: Final = receiver
        self._association: Final = association
        #: context ID -> abstract syntax, transfer syntax
        self._contexts: Final = contexts
        limit = association.max_pdu_length or pdu.MAX_PDU_LENGTH
        self._fragment: Final = max(limit - pdu.PDV_HEADER_BYTES, 2)

    def answer(self, context_id: int, elements: command.Elements) -> bytes:
        """Read the data set of a request, if it has one, and return the PDUs of the response.

        Raises
        ------
        ProtocolError
            If the command set is unusable: no response can be given.
        """
        field = command.number(elements, command.COMMAND_FIELD)
        has_data_set = command.number(elements, command.COMMAND_DATA_SET_TYPE) != command.NO_DATA_SET
        if field == command.C_STORE_RQ:
            message_id = command.number(elements, command.MESSAGE_ID)
            answer = self._store(context_id, message_id, elements, has_data_set)
        elif field == command.C_ECHO_RQ:
            message_id = command.number(elements, command.MESSAGE_ID)
            answer = StoreAnswer(status.SUCCESS)
            if has_data_set:
                self._reader.skip_data_set(context_id)
        else:
            if has_data_set:
                self._reader.skip_data_set(context_id)
            if field == command.C_CANCEL_RQ:
                return b""  # there is nothing to cancel, and no response to it
            if field not in command.REQUESTS:
                raise ProtocolError("a response to no request, or an unknown command", pdu.UNEXPECTED_PARAMETER)
            message_id = command.number(elements, command.MESSAGE_ID)
            answer = StoreAnswer(status.UNRECOGNISED_OPERATION)
        return command_response(context_id, field, message_id, elements, answer, self._fragment)

    def _store(self, context_id: int, message_id: int, elements: command.Elements, has_data_set: bool) -> StoreAnswer:
        sop_class_uid = command.text(elements, command.AFFECTED_SOP_CLASS_UID)
        sop_instance_uid = command.text(elements, command.AFFECTED_SOP_INSTANCE_UID)
        abstract_syntax, transfer_syntax = self._contexts[context_id]
        refusal: StoreAnswer | None = None
        if not has_data_set:
            return StoreAnswer(status.CANNOT_UNDERSTAND, "no data set")
        if abstract_syntax == VERIFICATION or not is_storage(sop_class_uid):
            refusal = StoreAnswer(status.SOP_CLASS_NOT_SUPPORTED)
        elif not is_uid(sop_instance_uid):
            refusal = StoreAnswer(status.INVALID_SOP_INSTANCE, "affected SOP instance UID is no UID")
        incoming: Incoming | None = None
        if refusal is None:
            priority = elements.get(command.PRIORITY, b"")
            request = StoreRequest(
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=transfer_syntax,
                message_id=message_id,
                priority=int.from_bytes(priority, "little"),
                move_originator_ae_title=command.text(elements, command.MOVE_ORIGINATOR_AE_TITLE),
                association=self._association,
            )
            try:
                begun = self._receiver.begin_store(request)
            except Exception as error:
                refusal = _failure("beginning to store", error)
            else:
                if isinstance(begun, StoreAnswer):
                    refusal = begun
                else:
                    incoming = begun
        if incoming is None:
            self._reader.skip_data_set(context_id)
            return refusal or StoreAnswer(status.PROCESSING_FAILURE)
        return self._receive(context_id, incoming)

    def _receive(self, context_id: int, incoming: Incoming) -> StoreAnswer:
        """Write the data set on as it comes; whatever happens, end with one of finish and discard."""
        reader = self._reader
        write = incoming.write
        failure: StoreAnswer | None = None
        complete = False
        try:
            last = 0
            while not last:
                fragment = reader.next_data_fragment(context_id)
                rest = fragment.length
                while rest:
                    data = reader.take(rest)
                    rest -= len(data)
                    if failure is None:
                        try:
                            write(data)
                        except Exception as error:
                            failure = _failure("writing", error)
                last = fragment.control & pdu.LAST
            complete = failure is None
        finally:
            if not complete:
                _discard(incoming)
        if failure is not None:
            return failure
        try:
            return incoming.finish()
        except Exception as error:
            failure = _failure("making durable", error)
            _discard(incoming)
            return failure


def command_response(
    context_id: int, field: int, message_id: int, elements: command.Elements, answer: StoreAnswer, fragment: int
) -> bytes:
    """Encode the response to a request (PS3.7 section 9.3.1.2), its elements in order of their tags."""
    encoded = b""
    # N-services name the requested class and instance, their responses the affected ones
    sop_class = command.text(elements, command.AFFECTED_SOP_CLASS_UID) or command.text(
        elements, command.REQUESTED_SOP_CLASS_UID
    )
    if sop_class:
        encoded = command.text_element(command.AFFECTED_SOP_CLASS_UID, sop_class)
    encoded += command.short_element(command.COMMAND_FIELD, field | command.RESPONSE_BIT)
    encoded += command.short_element(command.MESSAGE_ID_BEING_RESPONDED_TO, message_id)
    encoded += command.short_element(command.COMMAND_DATA_SET_TYPE, command.NO_DATA_SET)
    encoded += command.short_element(command.STATUS, answer.status)
    if answer.comment:
        comment = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in answer.comment[:MAX_COMMENT])
        encoded += command.text_element(command.ERROR_COMMENT, comment, b" ")
    sop_instance = command.text(elements, command.AFFECTED_SOP_INSTANCE_UID) or command.text(
        elements, command.REQUESTED_SOP_INSTANCE_UID
    )
    if sop_instance:
        encoded += command.text_element(command.AFFECTED_SOP_INSTANCE_UID, sop_instance)
    return pdu.command_pdus(context_id, command.with_group_length(encoded), fragment)


def _failure(what: str, error: Exception) -> StoreAnswer:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        logger.error("%s an instance failed: %s", what, error.strerror)
        return StoreAnswer(status.OUT_OF_RESOURCES, "no space left")
    logger.error("%s an instance failed: %s", what, type(error).__name__)
    return StoreAnswer(status.PROCESSING_FAILURE, f"{what} failed")


def _discard(incoming: Incoming) -> None:
    try:
        incoming.discard()
    except Exception as error:
        logger.error("discarding an instance failed: %s", type(error).__name__)
