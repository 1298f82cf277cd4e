"""The DICOM upper layer (PS3.8) and the exchange of C-STORE and C-ECHO (PS3.7), in both roles.

Acceptor: `AcceptedAssociation` serves one accepted socket for a `Receiver`. Requestor: `Association.open`.
"""

from __future__ import annotations

from karnak_core.dimse import rejections
from karnak_core.dimse.acceptor import AcceptedAssociation, serve_association
from karnak_core.dimse.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    ConnectionFailed,
    ConnectionLost,
    DimseError,
    PeerTimeout,
    ProtocolError,
    TlsFailed,
)
from karnak_core.dimse.negotiation import ProposedContext
from karnak_core.dimse.opening import connect_tcp
from karnak_core.dimse.receiver import AssociationRequest, Incoming, Receiver, StoreAnswer, StoreRequest
from karnak_core.dimse.rejections import Rejection
from karnak_core.dimse.requestor import Association, StoreResponse
from karnak_core.dimse.status import describe
from karnak_core.dimse.timeouts import Timeouts

__all__ = [
    "AcceptedAssociation",
    "Association",
    "AssociationAborted",
    "AssociationRejected",
    "AssociationReleased",
    "AssociationRequest",
    "ConnectionFailed",
    "ConnectionLost",
    "DimseError",
    "Incoming",
    "PeerTimeout",
    "ProposedContext",
    "ProtocolError",
    "Receiver",
    "Rejection",
    "StoreAnswer",
    "StoreRequest",
    "StoreResponse",
    "Timeouts",
    "TlsFailed",
    "connect_tcp",
    "describe",
    "rejections",
    "serve_association",
]
