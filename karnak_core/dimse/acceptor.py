"""The acceptor of an association: C-STORE and C-ECHO for one connection, in one thread."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, Protocol

from karnak_core.dimse import command, pdu, rejections
from karnak_core.dimse.connection import Connection
from karnak_core.dimse.errors import (
    AssociationAborted,
    AssociationReleased,
    ConnectionLost,
    DimseError,
    PeerSpeaksTls,
    ProtocolError,
    TlsFailed,
)
from karnak_core.dimse.negotiation import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ACCEPTED,
    APPLICATION_CONTEXT,
    TRANSFER_SYNTAXES_NOT_SUPPORTED,
    Proposal,
    ProposedContext,
    decode_request,
    encode_acceptance,
    encode_rejection,
)
from karnak_core.dimse.pdata import PDataReader, read_associate_pdu
from karnak_core.dimse.receiver import AssociationRequest, Receiver
from karnak_core.dimse.rejections import Rejection
from karnak_core.dimse.requests import RequestAnswerer
from karnak_core.dimse.syntaxes import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION, choose_transfer_syntax, is_storage
from karnak_core.dimse.timeouts import Timeouts
from karnak_core.tls import HandshakeCut, TlsFileError, describe_session, in_words, is_cut

logger = logging.getLogger(__name__)

#: requests a peer may send ahead; they are answered in order, so more would only fill buffers
MAX_OPERATIONS: Final = 16
#: after a rejection, release or abort the peer has this long to take note and close, or ARTIM if that is less
LINGER_SECONDS: Final = 2.0


class StopSignal(Protocol):
    """What tells an association to end, e.g. a `threading.Event`."""

    def is_set(self) -> bool:
        """Return whether it shall end."""
        ...


class AcceptedAssociation:
    """One accepted connection, from A-ASSOCIATE-RQ to its end.

    `run` does everything, in the thread that calls it, and does not raise. `stop` and `abort` may be called
    from any thread, at any time and more than once.

    Parameters
    ----------
    sock
        The accepted socket; it is closed at the end.
    peer_address
        What `accept` returned with it.
    wrap
        Makes the TLS socket of it, in the thread of `run`. With ``do_handshake_on_connect=False`` it returns
        at once and `stop` can end the handshake, which `run` then does, within ARTIM.
    refused
        Told in words, in the thread of `run`, why there is no association with a peer that was to have TLS and
        does not, or the reverse. Without it that is logged.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer_address: tuple[object, ...],
        receiver: Receiver,
        *,
        timeouts: Timeouts | None = None,
        wrap: Callable[[socket.socket], socket.socket] | None = None,
        stop: StopSignal | None = None,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        self._socket = sock
        self._host = str(peer_address[0]) if peer_address else ""
        self._port = int(str(peer_address[1])) if len(peer_address) > 1 else 0
        self._receiver = receiver
        self._timeouts = timeouts or Timeouts()
        self._wrap = wrap
        self._stop_signal = stop
        self._refused = refused or (lambda reason: logger.info("no association: %s: %s", self._host, reason))
        # guards what stop() and abort() need to know of the thread that runs
        self._lock = threading.Lock()
        self._stopping = False
        self._idle = True
        self._closed = False
        self._answering = False

    # -- from other threads ------------------------------------------------------------------------------

    def stop(self) -> None:
        """End at the next message boundary: what is being stored is finished and answered first."""
        with self._lock:
            self._stopping = True
            if self._idle:
                self._interrupt()

    def abort(self) -> None:
        """End now: what is being stored is discarded, unless it is being made durable already."""
        with self._lock:
            self._stopping = True
            self._interrupt(writes=self._answering)

    def _interrupt(self, *, writes: bool = False) -> None:
        if self._closed:
            return
        how = socket.SHUT_RDWR if writes else socket.SHUT_RD
        # the peer may have been faster
        with contextlib.suppress(OSError):
            # not SSLSocket.shutdown, which takes the TLS object from under the thread that reads
            socket.socket.shutdown(self._socket, how)

    # -- the association's own thread --------------------------------------------------------------------

    def run(self) -> None:
        """Serve the association until it ends."""
        try:
            self._serve()
        except TlsFailed as error:
            self._refused(str(error))
        except PeerSpeaksTls:
            self._refused("the peer speaks TLS; this port is plain")
        except DimseError as error:
            # before the association was there: port scanners, health checks, broken peers
            logger.info("no association: %s", error)
        except Exception as error:
            logger.error("association ended by an unexpected %s", type(error).__name__)
        finally:
            with self._lock:
                self._closed = True
                self._socket.close()

    def _serve(self) -> None:
        timeouts = self._timeouts
        peer = f"{self._host}:{self._port}"
        if self._wrap is not None and not self._handshake(self._wrap, peer):
            return
        connection = Connection(self._socket, peer, receive_timeout=timeouts.shortest, send_timeout=timeouts.send)
        try:
            kind, associate = read_associate_pdu(connection, timeouts.artim)
            if kind != pdu.A_ASSOCIATE_RQ:
                if kind != pdu.A_ABORT:
                    raise ProtocolError(f"{peer}: not an A-ASSOCIATE-RQ", pdu.UNEXPECTED_PDU)
                return
            proposal = decode_request(associate)
        except ProtocolError as error:
            connection.send_last(pdu.abort_pdu(pdu.SERVICE_PROVIDER, error.reason))
            self._await_close(connection, min(LINGER_SECONDS, timeouts.artim))
            raise
        connection.peer = f"{proposal.calling_ae_title} at {peer}"
        request = AssociationRequest(
            called_ae_title=proposal.called_ae_title,
            calling_ae_title=proposal.calling_ae_title,
            peer_host=self._host,
            peer_port=self._port,
            implementation_class_uid=proposal.implementation_class_uid,
            implementation_version_name=proposal.implementation_version_name,
            max_pdu_length=proposal.max_pdu_length,
        )
        rejection = self._admit(proposal, request)
        if rejection is not None:
            logger.info("rejected %s: %s", connection.peer, rejection)
            connection.send_last(encode_rejection(rejection))
            self._await_close(connection, min(LINGER_SECONDS, timeouts.artim))
            return
        linger = False
        try:
            linger = self._serve_admitted(connection, proposal, request)
        finally:
            try:
                self._receiver.ended(request)
            except Exception as error:
                logger.error("noting the end of an association failed: %s", type(error).__name__)
        if linger:
            self._await_close(connection, min(LINGER_SECONDS, timeouts.artim))

    def _handshake(self, wrap: Callable[[socket.socket], socket.socket], peer: str) -> bool:
        """Do the TLS handshake; return whether there is something to go on with."""
        deadline = monotonic() + self._timeouts.artim
        self._socket.settimeout(self._timeouts.artim)
        try:
            wrapped = wrap(self._socket)
            with self._lock:
                self._socket = wrapped
                if self._stopping:
                    return False
            if isinstance(wrapped, ssl.SSLSocket):
                wrapped.settimeout(max(0.001, deadline - monotonic()))
                wrapped.do_handshake()
        except (OSError, ValueError) as error:
            if self._stopping:
                return False
            if isinstance(error, HandshakeCut) or is_cut(error):
                # health checks and port scanners, too
                raise ConnectionLost(f"TLS handshake with {peer}: {in_words(error)}") from error
            self._let_it_read(min(LINGER_SECONDS, self._timeouts.artim))
            words = f"TLS cannot be used here: {error}" if isinstance(error, TlsFileError) else in_words(error)
            raise TlsFailed(words) from error
        return True

    def _let_it_read(self, seconds: float) -> None:
        """Let the peer read our alert and close: closing on unread input would reset the connection."""
        with contextlib.suppress(OSError):
            connection = Connection(self._socket, self._host, receive_timeout=seconds, send_timeout=seconds)
            self._await_close(connection, seconds)

    def _admit(self, proposal: Proposal, request: AssociationRequest) -> Rejection | None:
        if not proposal.protocol_version & 1:
            return rejections.PROTOCOL_VERSION_NOT_SUPPORTED
        if proposal.application_context != APPLICATION_CONTEXT:
            return rejections.APPLICATION_CONTEXT_NOT_SUPPORTED
        if self._stopping:
            return rejections.TEMPORARY_CONGESTION
        try:
            return self._receiver.admit(request)
        except Exception as error:
            # an error is never a permission
            logger.error("admitting an association failed: %s", type(error).__name__)
            return rejections.TEMPORARY_CONGESTION

    def _serve_admitted(self, connection: Connection, proposal: Proposal, request: AssociationRequest) -> bool:
        """Serve until the end; return whether the peer is now to close the connection."""
        over = f" ({describe_session(self._socket)})" if isinstance(self._socket, ssl.SSLSocket) else ""
        logger.info("association from %s to %s%s", connection.peer, request.called_ae_title, over)
        results = {context_id: _result(context) for context_id, context in proposal.contexts.items()}
        farewell = pdu.abort_pdu(pdu.SERVICE_USER)
        try:
            connection.send(encode_acceptance(proposal, results, MAX_OPERATIONS))
            self._exchange(connection, request, proposal.contexts, results)
        except AssociationReleased:
            # the requestor closes (PS3.8 section 9.2, Sta13)
            farewell = pdu.RELEASE_RESPONSE
        except AssociationAborted as error:
            logger.info("association %s", error)
            return False
        except ProtocolError as error:
            logger.warning("association with %s aborted: %s", connection.peer, error)
            farewell = pdu.abort_pdu(pdu.SERVICE_PROVIDER, error.reason)
        except ConnectionLost as error:
            # what stop() and abort() do to a connection looks like this
            if not self._stopping:
                logger.warning("association ended: %s", error)
                return False
        except DimseError as error:
            logger.warning("association with %s aborted: %s", connection.peer, error)
            farewell = pdu.abort_pdu(pdu.SERVICE_PROVIDER)
        except Exception as error:
            logger.error("association with %s aborted by an unexpected %s", connection.peer, type(error).__name__)
            farewell = pdu.abort_pdu(pdu.SERVICE_PROVIDER)
        connection.send_last(farewell)
        return True

    def _exchange(
        self,
        connection: Connection,
        request: AssociationRequest,
        proposed: Mapping[int, ProposedContext],
        results: Mapping[int, tuple[int, str]],
    ) -> None:
        """Answer requests until the association ends or this one is to stop."""
        reader = PDataReader(connection, self._timeouts)
        contexts = {
            context_id: (proposed[context_id].abstract_syntax, transfer_syntax)
            for context_id, (result, transfer_syntax) in results.items()
            if result == ACCEPTED
        }
        answerer = RequestAnswerer(connection, reader, self._receiver, request, contexts)
        stop = self._stop_signal
        while True:
            with self._lock:
                if self._stopping or (stop is not None and stop.is_set()):
                    self._stopping = True
                    return
                self._idle = True
            fragment = reader.start_message(self._timeouts.idle)
            # what has begun is finished, even if stop() comes now
            self._idle = False
            context = contexts.get(fragment.context_id)
            if context is None:
                raise ProtocolError("a presentation context that was not accepted", pdu.INVALID_PARAMETER)
            answer = answerer.answer(fragment.context_id, command.decode(reader.command(fragment)))
            if answer:
                self._answering = True
                connection.send(answer)
                self._answering = False

    def _await_close(self, connection: Connection, seconds: float) -> None:
        """Let the peer read what was sent and close: closing on unread input would reset the connection."""
        connection.end_sending()
        with self._lock:
            self._idle = True
            if self._stopping:
                seconds = min(seconds, 0.1)
        connection.drain(monotonic() + seconds)


def serve_association(
    sock: socket.socket,
    peer_address: tuple[object, ...],
    receiver: Receiver,
    *,
    timeouts: Timeouts | None = None,
    stop: StopSignal | None = None,
) -> None:
    """Serve one accepted connection to its end; `stop` is looked at between messages."""
    AcceptedAssociation(sock, peer_address, receiver, timeouts=timeouts, stop=stop).run()


def _result(context: ProposedContext) -> tuple[int, str]:
    if context.abstract_syntax != VERIFICATION and not is_storage(context.abstract_syntax):
        return ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT_VR_LITTLE_ENDIAN
    transfer_syntax = choose_transfer_syntax(context.transfer_syntaxes)
    if transfer_syntax is None:
        return TRANSFER_SYNTAXES_NOT_SUPPORTED, IMPLICIT_VR_LITTLE_ENDIAN
    return ACCEPTED, transfer_syntax
