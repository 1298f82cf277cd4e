"""The requestor of an association: sends C-STORE and C-ECHO; used by one thread at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import BinaryIO, Final, Self

from karnak_core.dimse import command, pdu
from karnak_core.dimse.connection import Buffer, Connection
from karnak_core.dimse.errors import (
    AssociationAborted,
    AssociationReleased,
    ConnectionLost,
    DimseError,
    PeerTimeout,
    ProtocolError,
)
from karnak_core.dimse.negotiation import Acceptance, ProposedContext
from karnak_core.dimse.opening import Connect, accepted_contexts, connect_tcp, establish
from karnak_core.dimse.outgoing import (
    BlockReader,
    Gather,
    fragment_length,
    gathers_of_chunks,
    length_from,
    open_at,
)
from karnak_core.dimse.pdata import PDataReader, ReleaseResponse
from karnak_core.dimse.syntaxes import VERIFICATION
from karnak_core.dimse.timeouts import Timeouts

#: operations outstanding, where the peer would take any number
MOST_OPERATIONS: Final = 64


@dataclass(frozen=True, slots=True)
class StoreResponse:
    """A C-STORE-RSP (PS3.7 section 9.3.1.2)."""

    message_id: int
    status: int
    error_comment: str = ""
    #: tags of 32 bits
    offending_elements: tuple[int, ...] = ()


class Association:
    """An established association; `open` makes one.

    After any error but `ValueError`, and after `release` and `abort`, it cannot be used any more, and what
    was outstanding is unknown. `release` and `abort` may always be called and do not raise.
    """

    def __init__(
        self,
        connection: Connection,
        acceptance: Acceptance,
        contexts: Sequence[ProposedContext],
        timeouts: Timeouts,
        max_operations: int,
    ) -> None:
        self._connection = connection
        self._timeouts = timeouts
        self._reader = PDataReader(connection, timeouts)
        self._blocks = BlockReader()
        self._fragment = fragment_length(acceptance.max_pdu_length)
        self._message_id = 0
        #: message IDs sent and not answered; and answers received and not asked for
        self._outstanding: set[int] = set()
        self._responses: deque[StoreResponse] = deque()
        self._established = True
        #: what the peer granted, and what it says that it is
        self.acceptance: Final = acceptance
        granted = 1
        if acceptance.window is not None:
            # what the peer says it lets us invoke; 0 is any number (PS3.7 section D.3.3.3)
            granted = min(acceptance.window[0] or MOST_OPERATIONS, max_operations or MOST_OPERATIONS)
        #: how many operations may be outstanding
        self.window: Final = granted if max_operations != 1 else 1
        #: abstract syntax -> transfer syntax -> context ID, of the accepted contexts
        self.accepted: Final[Mapping[str, Mapping[str, int]]] = accepted_contexts(acceptance, contexts)

    @classmethod
    def open(
        cls,
        host: str,
        port: int,
        *,
        calling_ae_title: str,
        called_ae_title: str,
        contexts: Sequence[ProposedContext],
        timeouts: Timeouts | None = None,
        max_operations: int = 16,
        connect: Connect = connect_tcp,
    ) -> Self:
        """Connect and negotiate.

        Parameters
        ----------
        contexts
            1 to 128 presentation contexts to propose.
        max_operations
            How many operations to ask for; 0: any number, 1: no asynchronous operations.
        connect
            Makes the connection; a TLS handshake belongs here, e.g. :func:`karnak_core.tls.connect`.

        Raises
        ------
        ConnectionFailed
            If there is no connection (`TlsFailed`: because of TLS).
        AssociationRejected
            If the peer rejects the association.
        DimseError
            If the negotiation ends in another way.
        ValueError
            If there are no or too many contexts, or an AE title is not 1 to 16 characters.
        """
        timeouts = timeouts or Timeouts()
        connection, acceptance = establish(
            host,
            port,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            contexts=contexts,
            timeouts=timeouts,
            max_operations=max_operations,
            connect=connect,
        )
        return cls(connection, acceptance, contexts, timeouts, max_operations)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    @property
    def peer(self) -> str:
        """The peer for messages, ``AE at host:port``."""
        return self._connection.peer

    @property
    def outstanding(self) -> int:
        """The number of C-STORE requests whose response was not returned yet."""
        return len(self._outstanding) + len(self._responses)

    def accepts(self, sop_class_uid: str, transfer_syntax_uid: str) -> int | None:
        """Return the ID of the context for this SOP class and transfer syntax, or None."""
        return self.accepted.get(sop_class_uid, {}).get(transfer_syntax_uid)

    # -- C-STORE and C-ECHO ------------------------------------------------------------------------------

    def start_c_store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        context_id: int,
        source: BinaryIO | str | os.PathLike[str] | Iterable[Buffer],
        offset: int = 0,
        length: int | None = None,
        *,
        priority: int = 0,
        move_originator: tuple[str, int] | None = None,
    ) -> int:
        """Send a C-STORE-RQ with its data set and return its message ID, without waiting for the response.

        If as many operations as the window allows are outstanding, one response is waited for first.

        Parameters
        ----------
        source
            A file that can seek, a path, or chunks of bytes. A chunk must not change until the next is asked for.
        offset, length
            Of the data set in the file, in bytes; without a length to the end of the file.
        move_originator
            AE title and message ID of the C-MOVE this belongs to.

        Raises
        ------
        DimseError
            If the association ended, or the peer does not take the data in time. If the peer answered before
            all was sent, the answer is kept for `next_response` and nothing is raised.
        EOFError, OSError, or whatever `source` raises
            If the data set cannot be read; the association is aborted if a part of it was sent.
        """
        self._check()
        while len(self._outstanding) >= self.window:
            self._receive()
        message_id = self._next_message_id()
        encoded = command.store_request(message_id, sop_class_uid, sop_instance_uid, priority, move_originator)
        request = pdu.command_pdus(context_id, encoded, self._fragment)
        if isinstance(source, str | os.PathLike) or hasattr(source, "readinto"):
            file, close = open_at(source, offset)  # type: ignore[arg-type]
            try:
                if length is None:
                    length = length_from(file, offset)
                self._send(message_id, request, self._blocks.gathers(file, length, context_id, self._fragment))
            finally:
                if close:
                    file.close()
        else:
            self._send(message_id, request, gathers_of_chunks(source, context_id, self._fragment))
        return message_id

    def next_response(self) -> StoreResponse:
        """Return the next response to a C-STORE-RQ, in the order in which the peer answers.

        Raises
        ------
        DimseError
            If it does not come: the outcome of what is outstanding is unknown, the association is aborted.
        ValueError
            If nothing is outstanding.
        """
        if not self._responses:
            if not self._outstanding:
                raise ValueError("no response is outstanding")
            self._check()
            self._receive()
        return self._responses.popleft()

    def send_c_store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        context_id: int,
        source: BinaryIO | str | os.PathLike[str] | Iterable[Buffer],
        offset: int = 0,
        length: int | None = None,
        *,
        priority: int = 0,
    ) -> StoreResponse:
        """Send one instance and wait for its response; nothing else may be outstanding."""
        self._check()
        if self.outstanding:
            raise ValueError("send_c_store: responses are outstanding")
        self.start_c_store(sop_class_uid, sop_instance_uid, context_id, source, offset, length, priority=priority)
        return self.next_response()

    def send_c_echo(self) -> int:
        """Send C-ECHO-RQ and return the status of the response."""
        self._check()
        if self.outstanding:
            raise ValueError("send_c_echo: responses are outstanding")
        context_id = next(iter(self.accepted.get(VERIFICATION, {}).values()), None)
        if context_id is None:
            raise ValueError(f"{self.peer} accepted no presentation context for Verification")
        message_id = self._next_message_id()
        request = pdu.command_pdus(context_id, command.echo_request(message_id, VERIFICATION), self._fragment)
        try:
            self._connection.send(request)
            self._outstanding.add(message_id)
            self._receive(command.C_ECHO_RSP)
        except DimseError:
            self.abort()
            raise
        return self._responses.popleft().status

    # -- the end -----------------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Return whether it can still be used, without waiting or asking the peer."""
        if not self._established:
            return False
        try:
            unexpected = self._connection.poll() and not self._outstanding
        except DimseError:
            unexpected = True
        if unexpected:
            # with nothing outstanding only a release or an abort can have come
            self.abort()
        return not unexpected

    def release(self) -> None:
        """Release the association (A-RELEASE, PS3.8 section 7.2) and close; abort if that does not work."""
        if not self._established:
            return
        if self._outstanding:
            self.abort()
            return
        try:
            self._connection.send(pdu.RELEASE_REQUEST)
            self._await_release(monotonic() + self._timeouts.acse)
        except DimseError:
            self.abort()
        else:
            self._established = False
            self._connection.close()

    def abort(self) -> None:
        """Abort the association (A-ABORT, PS3.8 section 7.3) and close."""
        self._abort(pdu.SERVICE_USER, pdu.NO_REASON)

    def _abort(self, source: int, reason: int) -> None:
        if self._established:
            self._established = False
            self._connection.send_last(pdu.abort_pdu(source, reason))
            self._connection.hang_up()
        self._connection.close()

    def _await_release(self, deadline: float) -> None:
        while True:
            try:
                fragment = self._reader.start_message(max(0.0, deadline - monotonic()))
                self._reader.skip(fragment)
            except ReleaseResponse:
                return
            except AssociationReleased:
                # both asked at once: the requestor answers first, then gets its answer (Sta9 to Sta11)
                self._connection.send(pdu.RELEASE_RESPONSE)

    # -- inner workings ----------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self._established:
            raise AssociationAborted(self.peer, message=f"the association with {self.peer} has ended")

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def _send(self, message_id: int, request: bytes, gathers: Iterator[Gather]) -> None:
        """Send a request and its data set; look between blocks whether the peer has something to say."""
        connection = self._connection
        begun = False
        try:
            for buffers, total in gathers:
                if begun:
                    self._listen()
                else:
                    buffers.insert(0, request)
                    total += len(request)
                    begun = True
                    self._outstanding.add(message_id)
                connection.send_all(buffers, total)
        except (ConnectionLost, PeerTimeout) as error:
            self._last_words(error)
            if message_id in self._outstanding:
                raise
        except BaseException:
            if begun:
                self.abort()
            raise

    def _listen(self) -> None:
        """Take what the peer sent while we send: early responses, an abort."""
        while self._connection.poll():
            self._receive_one()

    def _last_words(self, error: DimseError) -> None:
        """After a failed write, look for the reason that the peer gave; then it is over."""
        try:
            self._listen()
        except AssociationAborted:
            raise
        except DimseError:
            pass
        finally:
            self.abort()

    def _receive(self, expected: int = command.C_STORE_RSP) -> None:
        """Wait for one response; the association does not survive an error."""
        try:
            self._receive_one(expected)
        except PeerTimeout as error:
            self.abort()
            raise PeerTimeout(f"no response from {self.peer} within {self._timeouts.dimse:g} s") from error
        except ProtocolError as error:
            self._abort(pdu.SERVICE_PROVIDER, error.reason)
            raise ProtocolError(f"{self.peer}: {error}", error.reason) from error
        except AssociationReleased:
            self._connection.send_last(pdu.RELEASE_RESPONSE)
            self._established = False
            self._connection.close()
            raise
        except DimseError:
            self.abort()
            raise

    def _receive_one(self, expected: int = command.C_STORE_RSP) -> None:
        reader = self._reader
        fragment = reader.start_message(self._timeouts.dimse)
        context_id = fragment.context_id
        elements = command.decode(reader.command(fragment))
        if command.number(elements, command.COMMAND_DATA_SET_TYPE) != command.NO_DATA_SET:
            reader.skip_data_set(context_id)
        field = command.number(elements, command.COMMAND_FIELD)
        message_id = command.number(elements, command.MESSAGE_ID_BEING_RESPONDED_TO)
        if field != expected or message_id not in self._outstanding:
            raise ProtocolError("a response to no request", pdu.UNEXPECTED_PARAMETER)
        response = StoreResponse(
            message_id,
            command.number(elements, command.STATUS),
            command.text(elements, command.ERROR_COMMENT),
            command.tags(elements.get(command.OFFENDING_ELEMENT, b"")),
        )
        self._outstanding.discard(message_id)
        self._responses.append(response)
