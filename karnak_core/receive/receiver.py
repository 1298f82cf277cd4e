"""What the network layer asks of the gateway: admit an association, take an instance."""

from __future__ import annotations

from typing import Final

from karnak_core.dimse import AssociationRequest, Rejection, StoreAnswer, StoreRequest
from karnak_core.model import Header, now_ms
from karnak_core.receive.access import Access
from karnak_core.receive.committer import Committer
from karnak_core.receive.incoming import OUT_OF_RESOURCES, SUCCESS, Incoming
from karnak_core.receive.refusals import Refusals
from karnak_core.receive.space import Space
from karnak_core.spool.files import SpoolWriter
from karnak_core.spool.record import Received

PROCESSING_FAILURE: Final = 0x0110
#: Media Storage Directory Storage: not an image, and useless elsewhere
DICOMDIR: Final = "1.2.840.10008.1.3.10"


class GatewayReceiver:
    """Implements :class:`karnak_core.dimse.Receiver` for all associations."""

    def __init__(
        self, access: Access, writer: SpoolWriter, committer: Committer, space: Space, refusals: Refusals
    ) -> None:
        self._access = access
        self._writer = writer
        self._committer = committer
        self._space = space
        self._refusals = refusals

    def admit(self, request: AssociationRequest) -> Rejection | None:
        """Decide about an association."""
        return self._access.admit(request)

    def ended(self, request: AssociationRequest) -> None:
        """Count down."""
        self._access.ended(request)

    def begin_store(self, request: StoreRequest) -> Incoming | StoreAnswer:
        """Take an instance, or say at once why not."""
        node = request.association.called_ae_title
        destinations = self._access.destinations(node)
        if not destinations:
            self._refusals.instance(node)
            return StoreAnswer(PROCESSING_FAILURE, f"{node} has no enabled destination")
        if request.sop_class_uid == DICOMDIR:
            self._committer.commit(_excluded(request, destinations, "DICOMDIR not forwarded"))
            return StoreAnswer(SUCCESS)
        if not self._space.enough():
            self._refusals.instance(node)
            return StoreAnswer(OUT_OF_RESOURCES, "storage is below its reserve")
        return Incoming(request, destinations, self._writer, self._committer, self._space, self._refusals)


def _excluded(request: StoreRequest, destinations: tuple[str, ...], rule: str) -> Received:
    return Received(
        forward_node=request.association.called_ae_title,
        calling_ae_title=request.association.calling_ae_title,
        peer_host=request.association.peer_host,
        received_at=now_ms(),
        transfer_syntax_uid=request.transfer_syntax_uid,
        header=Header(sop_class_uid=request.sop_class_uid, sop_instance_uid=request.sop_instance_uid),
        path=None,
        dataset_offset=0,
        size=0,
        destinations=destinations,
        excluded=rule,
    )
