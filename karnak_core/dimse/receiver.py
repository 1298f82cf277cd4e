"""What an acceptor tells its caller, and what it asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from karnak_core.dimse.rejections import Rejection


@dataclass(frozen=True, kw_only=True)
class AssociationRequest:
    """What the peer asked for in A-ASSOCIATE-RQ."""

    called_ae_title: str
    calling_ae_title: str
    #: address as the socket gives it
    peer_host: str
    peer_port: int
    implementation_class_uid: str
    implementation_version_name: str
    #: what the peer receives in one P-DATA-TF PDU, in bytes; 0: no limit
    max_pdu_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 section 9.3.1.1) with the transfer syntax of its presentation context."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    message_id: int
    #: 0 medium, 1 high, 2 low
    priority: int
    #: empty unless the peer stores on behalf of a C-MOVE
    move_originator_ae_title: str
    association: AssociationRequest


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """The answer to a C-STORE-RQ."""

    status: int
    #: error comment (0000,0902), cut to 64 characters
    comment: str = ""


class Incoming(Protocol):
    """One data set being received. Ends with one of `finish` and `discard`."""

    def write(self, data: memoryview) -> None:
        """Take the next bytes, valid during the call only.

        An exception ends the reception: the rest of the data set is read and thrown away, `discard` is
        called, and the peer gets 0xA700 (the disk or a quota is full) or 0x0110.
        """
        ...

    def finish(self) -> StoreAnswer:
        """Make the complete data set durable and return the answer. An exception is treated as in `write`."""
        ...

    def discard(self) -> None:
        """Forget the data set: the association ended in the middle of it, or it could not be written."""
        ...


class Receiver(Protocol):
    """The caller of an acceptor. Its methods are called in the threads of the associations."""

    def admit(self, request: AssociationRequest) -> Rejection | None:
        """Return None to accept the association; an exception rejects it as temporarily congested."""
        ...

    def begin_store(self, request: StoreRequest) -> Incoming | StoreAnswer:
        """Return what takes the data set, or the answer to give once it was read and thrown away."""
        ...

    def ended(self, request: AssociationRequest) -> None:
        """Take note: an admitted association has ended. Called exactly once for each."""
        ...
