"""What can go wrong between two application entities.

DimseError
├── ConnectionFailed      no TCP connection: refused, unreachable, unknown host, timed out
│   └── TlsFailed         the TLS handshake did not succeed
├── AssociationRejected   A-ASSOCIATE-RJ
├── AssociationAborted    A-ABORT from the peer, or nothing more can be done on this association
├── AssociationReleased   the peer released the association
├── ConnectionLost        the connection ended without A-RELEASE or A-ABORT
├── PeerTimeout           the peer did not answer, send or take data in time
└── ProtocolError         what the peer sent does not follow PS3.7 or PS3.8
    └── PeerSpeaksTls     it sent TLS over a plain connection

Messages begin or end with the peer, ``AE at host:port``, and never hold a value from a data set.
"""

from __future__ import annotations

from typing import Final

#: A-ASSOCIATE-RJ, PS3.8 Table 9-21: (source, reason) -> words
REJECTION_REASONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}

#: A-ASSOCIATE-RJ, PS3.8 Table 9-21: result -> word
REJECTION_RESULTS: Final = {1: "permanent", 2: "transient"}

#: A-ABORT by the service provider, PS3.8 Table 9-26: reason -> words
ABORT_REASONS: Final = {
    0: "no reason given",
    1: "unrecognised PDU",
    2: "unexpected PDU",
    4: "unrecognised PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}


def describe_rejection(result: int, source: int, reason: int) -> str:
    """Return the words for an A-ASSOCIATE-RJ, e.g. ``called AE title not recognised (permanent)``."""
    words = REJECTION_REASONS.get((source, reason), f"source {source} reason {reason}")
    return f"{words} ({REJECTION_RESULTS.get(result, f'result {result}')})"


def describe_abort(source: int, reason: int) -> str:
    """Return the words for an A-ABORT, e.g. ``by its service provider: unexpected PDU``."""
    if source == 2:
        return f"by its service provider: {ABORT_REASONS.get(reason, f'reason {reason}')}"
    return "by its service user" if source == 0 else f"by source {source}, reason {reason}"


class DimseError(Exception):
    """Something went wrong with a peer."""


class ConnectionFailed(DimseError):
    """There is no TCP connection to the peer."""


class TlsFailed(ConnectionFailed):
    """The TLS handshake with the peer did not succeed."""


class AssociationRejected(DimseError):
    """The peer answered A-ASSOCIATE-RJ (PS3.8 section 9.3.4)."""

    def __init__(self, peer: str, result: int, source: int, reason: int) -> None:
        super().__init__(f"rejected by {peer}: {describe_rejection(result, source, reason)}")
        self.result = result
        self.source = source
        self.reason = reason

    @property
    def permanent(self) -> bool:
        """Whether the same request will be rejected again."""
        return self.result == 1


class AssociationAborted(DimseError):
    """The association was aborted (PS3.8 section 9.3.8)."""

    def __init__(self, peer: str, source: int = 0, reason: int = 0, message: str | None = None) -> None:
        super().__init__(message or f"aborted by {peer} {describe_abort(source, reason)}")
        self.source = source
        self.reason = reason


class AssociationReleased(DimseError):
    """The peer released the association (PS3.8 section 9.3.6)."""


class ConnectionLost(DimseError):
    """The connection ended without a release or an abort."""


class PeerTimeout(DimseError):
    """The peer did not answer, send or take data in time."""


class ProtocolError(DimseError):
    """What the peer sent does not follow PS3.7 or PS3.8.

    ``reason`` is the one for our A-ABORT, see :data:`ABORT_REASONS`.
    """

    def __init__(self, message: str, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason


class PeerSpeaksTls(ProtocolError):
    """The peer sent TLS over a plain connection."""
