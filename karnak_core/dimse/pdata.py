"""Reading PDUs of an established association: P-DATA-TF as fragments, the others as exceptions."""

from __future__ import annotations

from time import monotonic
from typing import Final

from karnak_core.dimse import pdu
from karnak_core.dimse.connection import PROGRESS_BYTES, Connection
from karnak_core.dimse.errors import AssociationAborted, AssociationReleased, PeerSpeaksTls, ProtocolError
from karnak_core.dimse.timeouts import Timeouts

#: how records of TLS begin that come first: an alert, a ClientHello (RFC 8446 section 5.1)
TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")


class Fragment:
    """One presentation data value (PS3.8 section 9.3.5.1), whose bytes are still to be read."""

    __slots__ = ("context_id", "control", "length")

    def __init__(self, context_id: int, control: int, length: int) -> None:
        self.context_id = context_id
        #: bit 0: command, bit 1: last
        self.control = control
        self.length = length


class PDataReader:
    """Reads the fragments of messages, with the deadlines and limits of the upper layer."""

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._connection: Final = connection
        self._timeouts: Final = timeouts
        #: bytes of the current P-DATA-TF PDU that are not read
        self._pdu_rest = 0
        self._pdu_deadline = 0.0
        self._message_deadline = 0.0
        self._progress = 0

    def start_message(self, wait: float) -> Fragment:
        """Wait up to `wait` seconds for the first fragment of a message."""
        fragment = self._next(monotonic() + wait)
        self._message_deadline = monotonic() + self._timeouts.dimse
        self._progress = 0
        return fragment

    def next_fragment(self) -> Fragment:
        """Return the next fragment of the message that was begun."""
        return self._next(self._message_deadline)

    def take(self, most: int) -> memoryview:
        """Return the next 1 to `most` bytes of the fragment, valid until the next call."""
        data = self._connection.take(most, self._pdu_deadline)
        self._pdu_rest -= len(data)
        self._progress += len(data)
        if self._progress >= PROGRESS_BYTES:
            self._progress = 0
            self._message_deadline = monotonic() + self._timeouts.dimse
        return data

    def command(self, fragment: Fragment) -> bytes:
        """Read a command set to its end."""
        context_id = fragment.context_id
        command = bytearray()
        while True:
            if fragment.context_id != context_id or not fragment.control & pdu.COMMAND:
                raise ProtocolError("data where a command was expected", pdu.UNEXPECTED_PARAMETER)
            if len(command) + fragment.length > pdu.MAX_COMMAND_LENGTH:
                raise ProtocolError("command set too long", pdu.INVALID_PARAMETER)
            rest = fragment.length
            while rest:
                data = self.take(rest)
                rest -= len(data)
                command += data
            if fragment.control & pdu.LAST:
                return bytes(command)
            fragment = self.next_fragment()

    def skip(self, fragment: Fragment) -> None:
        """Read a fragment and throw it away."""
        rest = fragment.length
        while rest:
            rest -= len(self.take(rest))

    def skip_data_set(self, context_id: int) -> None:
        """Read a data set to its end and throw it away."""
        last = False
        while not last:
            fragment = self.next_data_fragment(context_id)
            self.skip(fragment)
            last = bool(fragment.control & pdu.LAST)

    def next_data_fragment(self, context_id: int) -> Fragment:
        """Return the next fragment, which must be of the data set of this context."""
        fragment = self._next(self._message_deadline)
        if fragment.context_id != context_id or fragment.control & pdu.COMMAND:
            raise ProtocolError("a fragment that is not of the data set", pdu.UNEXPECTED_PARAMETER)
        return fragment

    def _next(self, deadline: float) -> Fragment:
        if not self._pdu_rest:
            self._start_pdu(deadline)
        connection = self._connection
        if self._pdu_rest < pdu.PDV_HEADER_BYTES:
            raise ProtocolError("a P-DATA-TF PDU ends inside of a PDV", pdu.INVALID_PARAMETER)
        if connection.end - connection.start < pdu.PDV_HEADER_BYTES:
            connection.need(pdu.PDV_HEADER_BYTES, self._pdu_deadline)
        length, context_id, control = pdu.PDV_HEADER.unpack_from(connection.view, connection.start)
        connection.start += pdu.PDV_HEADER_BYTES
        self._pdu_rest -= pdu.PDV_HEADER_BYTES
        length -= 2
        if not 0 <= length <= self._pdu_rest or control > 3:
            raise ProtocolError("a PDV that does not fit its PDU", pdu.INVALID_PARAMETER)
        return Fragment(context_id, control, length)

    def _start_pdu(self, deadline: float) -> None:
        """Read the header of a P-DATA-TF PDU; any other PDU is raised."""
        connection = self._connection
        if connection.start == connection.end:
            connection.fill(deadline)
        self._pdu_deadline = monotonic() + self._timeouts.pdu
        connection.need(pdu.PDU_HEADER_BYTES, self._pdu_deadline)
        kind, length = pdu.PDU_HEADER.unpack_from(connection.view, connection.start)
        connection.start += pdu.PDU_HEADER_BYTES
        if kind == pdu.P_DATA_TF:
            if not pdu.PDV_HEADER_BYTES <= length <= pdu.MAX_PDU_LENGTH + pdu.MAX_PDU_SLACK:
                raise ProtocolError(f"a P-DATA-TF PDU of {length} bytes", pdu.INVALID_PARAMETER)
            self._pdu_rest = length
            return
        if not pdu.A_ASSOCIATE_RQ <= kind <= pdu.A_ABORT:
            raise ProtocolError(f"unrecognised PDU type 0x{kind:02X}", pdu.UNRECOGNISED_PDU)
        if kind < pdu.A_RELEASE_RQ or length != pdu.SHORT_PDU_LENGTH:
            raise ProtocolError(f"unexpected PDU of type 0x{kind:02X}", pdu.UNEXPECTED_PDU)
        connection.need(length, self._pdu_deadline)
        source, reason = connection.view[connection.start + 2 : connection.start + 4]
        connection.start += length
        if kind == pdu.A_ABORT:
            raise AssociationAborted(connection.peer, source, reason)
        if kind == pdu.A_RELEASE_RQ:
            raise AssociationReleased(f"released by {connection.peer}")
        raise ReleaseResponse("unexpected A-RELEASE-RP", pdu.UNEXPECTED_PDU)


class ReleaseResponse(ProtocolError):
    """A-RELEASE-RP came, which only answers our own request."""


def read_associate_pdu(connection: Connection, wait: float) -> tuple[int, bytes]:
    """Read the first PDU of a connection within `wait` seconds: its type, and the whole of it.

    Raises
    ------
    ProtocolError
        If it is none of A-ASSOCIATE-RQ, -AC and -RJ and A-ABORT, or longer than these may be.
    """
    deadline = monotonic() + wait
    connection.need(pdu.PDU_HEADER_BYTES, deadline)
    kind, length = pdu.PDU_HEADER.unpack_from(connection.view, connection.start)
    if not pdu.A_ASSOCIATE_RQ <= kind <= pdu.A_ABORT:
        if bytes(connection.view[connection.start : connection.start + 2]) in TLS_RECORDS:
            raise PeerSpeaksTls("the peer speaks TLS; this connection is plain", pdu.UNRECOGNISED_PDU)
        raise ProtocolError("the peer does not speak DICOM", pdu.UNRECOGNISED_PDU)
    if kind in (pdu.P_DATA_TF, pdu.A_RELEASE_RQ, pdu.A_RELEASE_RP):
        raise ProtocolError("a PDU before the association", pdu.UNEXPECTED_PDU)
    shortest, longest = (68, pdu.MAX_ASSOCIATE_LENGTH) if kind <= pdu.A_ASSOCIATE_AC else (4, 4)
    if not shortest <= length <= longest:
        raise ProtocolError("an A-ASSOCIATE PDU of an impossible length", pdu.INVALID_PARAMETER)
    whole = bytearray()
    rest = pdu.PDU_HEADER_BYTES + length
    while rest:
        data = connection.take(min(rest, 64 << 10), deadline)
        rest -= len(data)
        whole += data
    return kind, bytes(whole)
