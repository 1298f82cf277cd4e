"""Does a DICOM node answer? C-ECHO (PS3.7 section 9.1.5), and what the node says of itself."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from enum import StrEnum

from karnak_core import tls
from karnak_core.dimse import (
    Association,
    AssociationRejected,
    ConnectionFailed,
    DimseError,
    ProposedContext,
    Timeouts,
    connect_tcp,
    describe,
)
from karnak_core.tools.nodes import DicomNode

#: our AE title, where nobody gives one
CALLING_AE_TITLE = "DCM-TOOLS"
VERIFICATION = "1.2.840.10008.1.1"
_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
#: status of an echo that was not answered, where a number is needed
FAILURE = 0xC000


class EchoState(StrEnum):
    """What came of an echo."""

    #: answered with success
    SUCCESS = "success"
    #: answered with another status
    REFUSED = "refused"
    #: the association is accepted, Verification in it is not
    UNSUPPORTED = "unsupported"
    #: A-ASSOCIATE-RJ
    REJECTED = "rejected"
    #: there is no connection
    UNREACHABLE = "unreachable"
    #: the connection ended, or nothing came in time
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Echo:
    """What came of an echo, for people."""

    state: EchoState
    message: str
    #: of the C-ECHO response; None: there was none
    status: int | None = None
    #: milliseconds until the connection stood; None: it never did
    connect_ms: float | None = None
    #: milliseconds from then until the response, negotiation included; None: there was none
    execution_ms: float | None = None
    #: what the node says that it is; empty: nothing
    implementation_uid: str = ""
    implementation_version: str = ""

    @property
    def ok(self) -> bool:
        """Say whether the node answers as it should."""
        return self.state is EchoState.SUCCESS

    @property
    def hex_status(self) -> str | None:
        """The status as it is written, e.g. ``0000``."""
        return None if self.status is None else f"{self.status:04X}"


class TimedConnect:
    """Makes the connection of an association, with TLS where the node wants it, and remembers how long it took."""

    def __init__(self, node: DicomNode) -> None:
        self._tls = node.tls
        self.milliseconds: float | None = None
        #: monotonic, when the connection stood
        self.stood = 0.0

    def __call__(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect."""
        started = time.monotonic()
        sock = tls.connect(host, port, timeout, self._tls) if self._tls else connect_tcp(host, port, timeout)
        self.stood = time.monotonic()
        self.milliseconds = (self.stood - started) * 1000
        return sock


def timeouts(connect: float, answer: float) -> Timeouts:
    """Return deadlines, in seconds: until the connection stands, and for each answer."""
    return Timeouts(connect=connect, artim=answer, acse=answer, pdu=answer, dimse=answer, idle=answer, send=answer)


def echo(
    node: DicomNode, *, calling_ae_title: str = CALLING_AE_TITLE, connect: float = 5.0, answer: float = 10.0
) -> Echo:
    """Send a C-ECHO to a node, and say what came of it.

    Parameters
    ----------
    connect, answer
        Seconds until the connection stands, and for each answer after that.
    """
    connecting = TimedConnect(node)
    try:
        association = Association.open(
            node.hostname,
            node.port,
            calling_ae_title=calling_ae_title,
            called_ae_title=node.ae_title,
            contexts=[ProposedContext(VERIFICATION, _SYNTAXES)],
            timeouts=timeouts(connect, answer),
            max_operations=1,
            connect=connecting,
        )
    except (DimseError, ValueError) as error:
        return Echo(state=state_of(error), message=str(error), connect_ms=connecting.milliseconds)
    with association:
        return _asked(association, connecting)


def _asked(association: Association, connecting: TimedConnect) -> Echo:
    accepted = association.acceptance
    status = execution = None
    if VERIFICATION not in association.accepted:
        state, message = EchoState.UNSUPPORTED, f"{association.peer} accepts the association, but not Verification"
    else:
        try:
            status = association.send_c_echo()
        except DimseError as error:
            state, message = EchoState.FAILED, str(error)
        else:
            execution = (time.monotonic() - connecting.stood) * 1000
            state = EchoState.SUCCESS if status == 0 else EchoState.REFUSED
            message = f"{association.peer} answers C-ECHO with {describe(status)}"
    return Echo(
        state=state,
        message=message,
        status=status,
        connect_ms=connecting.milliseconds,
        execution_ms=execution,
        implementation_uid=accepted.implementation_uid,
        implementation_version=accepted.implementation_version,
    )


def state_of(error: Exception) -> EchoState:
    """Return what it means that there is no association."""
    if isinstance(error, AssociationRejected):
        return EchoState.REJECTED
    return EchoState.UNREACHABLE if isinstance(error, ConnectionFailed) else EchoState.FAILED
