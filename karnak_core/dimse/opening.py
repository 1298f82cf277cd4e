"""The requestor's way to an association: connect, ask, and take what the peer grants."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from karnak_core.dimse import pdu
from karnak_core.dimse.connection import Connection
from karnak_core.dimse.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionFailed,
    ConnectionLost,
    PeerSpeaksTls,
    PeerTimeout,
    ProtocolError,
    TlsFailed,
)
from karnak_core.dimse.negotiation import (
    ACCEPTED,
    MAX_CONTEXTS,
    Acceptance,
    ProposedContext,
    decode_acceptance,
    encode_request,
)
from karnak_core.dimse.pdata import read_associate_pdu
from karnak_core.dimse.timeouts import Timeouts
from karnak_core.tls import HandshakeCut, HandshakeFailed, TlsFileError, in_words, is_alert

#: below this a peer's limit is nonsense
SHORTEST_MAX_PDU: Final = 64

#: how long to look for an alert on a connection that broke
LAST_WORDS_SECONDS: Final = 0.5

#: host, port, timeout in seconds -> a connected socket, with TLS where it shall be
Connect = Callable[[str, int, float], socket.socket]


def connect_tcp(host: str, port: int, timeout: float) -> socket.socket:
    """Return a connected TCP socket."""
    return socket.create_connection((host, port), timeout)


def establish(
    host: str,
    port: int,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[ProposedContext],
    timeouts: Timeouts,
    max_operations: int,
    connect: Connect,
) -> tuple[Connection, Acceptance]:
    """Connect and negotiate; see `Association.open`."""
    if not 1 <= len(contexts) <= MAX_CONTEXTS:
        raise ValueError(f"{len(contexts)} presentation contexts are not 1 to {MAX_CONTEXTS}")
    for title in (calling_ae_title, called_ae_title):
        if not 1 <= len(title.strip()) <= 16 or not title.isascii() or not title.isprintable():
            raise ValueError(f"AE title {title!r} is not 1 to 16 characters (DICOM PS3.5 section 6.2)")
    peer = f"{called_ae_title} at {host}:{port}"
    request = encode_request(
        called_ae_title=called_ae_title,
        calling_ae_title=calling_ae_title,
        contexts=contexts,
        max_operations=max_operations,
    )
    connection = _connection(host, port, peer, connect, timeouts)
    try:
        connection.send(request)
        acceptance = _negotiate(connection, timeouts)
        if 0 < acceptance.max_pdu_length < SHORTEST_MAX_PDU:
            raise ProtocolError(f"it announced a maximum PDU length of {acceptance.max_pdu_length}")
    except PeerSpeaksTls as error:
        connection.close()
        raise TlsFailed(f"{peer} speaks TLS, and the connection to it is plain") from error
    except ProtocolError as error:
        connection.send_last(pdu.abort_pdu(pdu.SERVICE_PROVIDER, error.reason))
        connection.hang_up()
        connection.close()
        raise ProtocolError(f"{peer}: {error}", error.reason) from error
    except PeerTimeout as error:
        connection.send_last(pdu.abort_pdu(pdu.SERVICE_USER))
        connection.close()
        raise PeerTimeout(f"no answer to the association request from {peer}") from error
    except ConnectionLost as error:
        lost = _lost(connection, error)
        connection.close()
        raise lost from error
    except BaseException:
        connection.close()
        raise
    return connection, acceptance


def _lost(connection: Connection, error: ConnectionLost) -> ConnectionLost | TlsFailed:
    """Say what it most likely means that the connection ended before the association was answered."""
    if isinstance(connection.socket, ssl.SSLSocket):
        # in TLS 1.3 the peer looks at our certificate when our side of the handshake is done already
        alert = _alert(connection, error)
        if alert is not None:
            return TlsFailed(f"no TLS with {connection.peer}: {in_words(alert)}")
        return ConnectionLost(f"{error}, right after the TLS handshake; does it want another certificate of ours?")
    return ConnectionLost(f"{error}, without an answer; does it know this host? does it expect TLS?")


def _alert(connection: Connection, error: ConnectionLost) -> BaseException | None:
    """Return the alert that ended the connection; it may have come before what we could not send any more."""
    if is_alert(error.__cause__):
        return error.__cause__
    try:
        connection.fill(monotonic() + LAST_WORDS_SECONDS)
    except ConnectionLost as last:
        return last.__cause__ if is_alert(last.__cause__) else None
    except PeerTimeout:
        pass
    return None


def _connection(host: str, port: int, peer: str, connect: Connect, timeouts: Timeouts) -> Connection:
    try:
        sock = connect(host, port, timeouts.connect)
    except HandshakeCut as error:
        raise ConnectionFailed(f"no TLS with {peer}: {error}") from error
    except (HandshakeFailed, TlsFileError, ssl.SSLError) as error:
        raise TlsFailed(f"no TLS with {peer}: {in_words(error)}") from error
    except TimeoutError as error:
        raise ConnectionFailed(f"cannot connect to {peer}: no answer within {timeouts.connect:g} s") from error
    except OSError as error:
        words = (error.strerror or type(error).__name__).lower()
        raise ConnectionFailed(f"cannot connect to {peer}: {words}") from error
    try:
        return Connection(sock, peer, receive_timeout=timeouts.shortest, send_timeout=timeouts.send)
    except OSError as error:
        sock.close()
        raise ConnectionFailed(f"cannot connect to {peer}: {error.strerror}") from error


def _negotiate(connection: Connection, timeouts: Timeouts) -> Acceptance:
    kind, associate = read_associate_pdu(connection, timeouts.acse)
    if kind == pdu.A_ASSOCIATE_AC:
        return decode_acceptance(associate)
    if kind == pdu.A_ASSOCIATE_RJ:
        result, source, reason = associate[7:10]
        raise AssociationRejected(connection.peer, result, source, reason)
    if kind == pdu.A_ABORT:
        raise AssociationAborted(connection.peer, associate[8], associate[9])
    raise ProtocolError("it answered with an A-ASSOCIATE-RQ", pdu.UNEXPECTED_PDU)


def accepted_contexts(acceptance: Acceptance, contexts: Sequence[ProposedContext]) -> dict[str, dict[str, int]]:
    """Return context IDs by abstract and transfer syntax."""
    accepted: dict[str, dict[str, int]] = {}
    for position, context in enumerate(contexts):
        context_id = 2 * position + 1
        result, transfer_syntax = acceptance.contexts.get(context_id, (-1, ""))
        # an answer that we did not offer is no answer
        if result == ACCEPTED and transfer_syntax in context.transfer_syntaxes:
            accepted.setdefault(context.abstract_syntax, {}).setdefault(transfer_syntax, context_id)
    return accepted
