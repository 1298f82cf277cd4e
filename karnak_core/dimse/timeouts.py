"""How long to wait for a peer."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Deadlines in seconds, each > 0; every read and write on a connection has one of them."""

    #: TCP connect, name resolution apart
    connect: float = 10.0
    #: ARTIM (PS3.8 section 9.1.5): for the TLS handshake, and until A-ASSOCIATE-RQ is complete
    artim: float = 30.0
    #: requestor: for A-ASSOCIATE-AC and A-RELEASE-RP
    acse: float = 30.0
    #: from the first byte of a PDU to its last
    pdu: float = 60.0
    #: between the parts of one message (for each 64 KiB of it), and for the response to a request
    dimse: float = 60.0
    #: acceptor: between two messages
    idle: float = 300.0
    #: in which the peer must take 64 KiB of what is sent
    send: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"timeouts: {field.name}: {getattr(self, field.name)!r} is not more than 0")

    @property
    def shortest(self) -> float:
        """The shortest of the deadlines for reading."""
        return min(self.artim, self.acse, self.pdu, self.dimse, self.idle)
