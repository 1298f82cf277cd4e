"""What does a DICOM node take? An association that proposes much, and what is accepted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.uid import UID

from karnak_core.dimse import Association, DimseError, ProposedContext
from karnak_core.tools.echo import CALLING_AE_TITLE, EchoState, TimedConnect, state_of, timeouts
from karnak_core.tools.nodes import DicomNode

#: kinds of objects that most nodes store: CR, DX, MG, CT, MR, US, secondary capture, XA, NM, PET
STORAGE_CLASSES: Final = tuple(
    f"1.2.840.10008.5.1.4.1.1.{suffix}" for suffix in ("1", "1.1", "1.2", "2", "4", "6.1", "7", "12.1", "20", "128")
)
#: Implicit and Explicit VR Little Endian, RLE, JPEG Baseline, JPEG Lossless SV1, JPEG-LS and JPEG 2000 lossless
TRANSFER_SYNTAXES: Final = tuple(
    f"1.2.840.10008.1.2{suffix}" for suffix in ("", ".1", ".5", ".4.50", ".4.70", ".4.80", ".4.90")
)
#: Verification, storage commitment, study root FIND, MOVE and GET, and the worklist
SERVICES: Final = (
    "1.2.840.10008.1.1",
    "1.2.840.10008.1.20.1",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.5.1.4.1.2.2.3",
    "1.2.840.10008.5.1.4.31",
)
_ANY: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a node accepted."""

    #: success: there was an association
    state: EchoState
    message: str
    #: SOP class UID -> transfer syntax UIDs, of what was accepted to be stored
    storage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: SOP class UIDs
    services: tuple[str, ...] = ()
    #: bytes of a PDU that the node takes; 0: of any length
    max_pdu_length: int | None = None
    implementation_uid: str = ""
    implementation_version: str = ""

    @property
    def ok(self) -> bool:
        """Say whether the node answered."""
        return self.state is EchoState.SUCCESS


def capabilities(
    node: DicomNode, *, calling_ae_title: str = CALLING_AE_TITLE, connect: float = 5.0, answer: float = 10.0
) -> Capabilities:
    """Propose storage and services to a node, and say what it accepts. Nothing is stored.

    Parameters
    ----------
    connect, answer
        Seconds until the connection stands, and for each answer after that.
    """
    # each syntax in a context of its own: of several in one the node picks one, and says nothing of the others
    contexts = [ProposedContext(uid, (syntax,)) for uid in STORAGE_CLASSES for syntax in TRANSFER_SYNTAXES]
    contexts += [ProposedContext(uid, _ANY) for uid in SERVICES]
    try:
        association = Association.open(
            node.hostname,
            node.port,
            calling_ae_title=calling_ae_title,
            called_ae_title=node.ae_title,
            contexts=contexts,
            timeouts=timeouts(connect, answer),
            max_operations=1,
            connect=TimedConnect(node),
        )
    except (DimseError, ValueError) as error:
        return Capabilities(state=state_of(error), message=str(error))
    with association:
        accepted, acceptance = association.accepted, association.acceptance
    storage = {uid: tuple(accepted[uid]) for uid in STORAGE_CLASSES if uid in accepted}
    services = tuple(uid for uid in SERVICES if uid in accepted)
    pairs = sum(map(len, storage.values()))
    return Capabilities(
        state=EchoState.SUCCESS,
        message=f"{association.peer} accepts {pairs + len(services)} of {len(contexts)} presentation contexts",
        storage=storage,
        services=services,
        max_pdu_length=acceptance.max_pdu_length,
        implementation_uid=acceptance.implementation_uid,
        implementation_version=acceptance.implementation_version,
    )


def name_of(uid: str) -> str:
    """Return the name of a SOP class or transfer syntax (PS3.6 Annex A)."""
    return str(UID(uid).name)
