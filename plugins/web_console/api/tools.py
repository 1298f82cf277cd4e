"""Questions about other nodes: echo, network, capabilities, worklist, DICOMweb; and the probe of a destination."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator

from karnak_core.errors import ConfigProblem, ConfigurationError, NotFound
from karnak_core.tools.capabilities import Capabilities, capabilities, name_of
from karnak_core.tools.dicomweb import Certificate, Support, WebCheck
from karnak_core.tools.echo import CALLING_AE_TITLE, Echo, EchoState, echo
from karnak_core.tools.monitoring import monitor
from karnak_core.tools.network import check_network
from karnak_core.tools.nodes import DicomNode, Service
from karnak_core.tools.worklist import WorklistFilter, worklist
from karnak_plugins.web_console import asking
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.api.node_lists import NAMES
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/tools", tags=["tools"])

Tools = Annotated[Identity, Depends(require_scope("tools"))]
Filter = Annotated[str, Field(default="", max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TypedNode(_Body):
    """An address."""

    ae_title: str = Field(max_length=16, description="called AE title")
    hostname: str = Field(max_length=255, description="DNS name or IP address")
    port: int = Field(ge=1, le=65535)
    tls: bool = Field(default=False, description="true: by TLS, trusting whom the system trusts")


class _Target(_Body):
    """A DICOM node: typed, or a key as the list of nodes has it."""

    node: TypedNode | None = Field(default=None, description="an address; null: `known` says which node")
    known: str | None = Field(default=None, max_length=400, description="`key` of a node of the lists")
    calling_ae_title: str = Field(default=CALLING_AE_TITLE, max_length=16, description="our AE title")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.node is None) == (self.known is None):
            raise ValueError("either node or known is needed")
        return self

    def found(self, console: Console) -> tuple[DicomNode, str]:
        """Return the node, and our AE title."""
        title = asking.calling(self.calling_ae_title)
        if self.node is None:
            return asking.known_node(console, self.known or ""), title
        return asking.typed_node(**self.node.model_dump()), title


class EchoIn(_Target):
    """A node to send a C-ECHO to."""


class EchoOut(BaseModel):
    """What came of a C-ECHO."""

    ok: bool
    state: EchoState
    status: str | None = Field(description="of the response, in hexadecimal, e.g. 0000; null: there was none")
    message: str
    connect_ms: float | None = Field(description="until the connection stood")
    execution_ms: float | None = Field(description="from then until the response")
    implementation_uid: str
    implementation_version: str


class NetworkIn(_Body):
    """A host and port."""

    hostname: str = Field(min_length=1, max_length=255)
    port: int = Field(ge=1, le=65535)


class LatencyOut(BaseModel):
    """How long TCP connections took, in milliseconds."""

    attempts: int
    successes: int
    min: float
    avg: float
    max: float
    loss: int = Field(description="percent")


class NetworkOut(BaseModel):
    """What was seen of a host and port."""

    ok: bool
    addresses: list[str]
    open: bool
    host_message: str
    port_message: str
    latency: LatencyOut | None


class MonitorIn(_Body):
    """A group of nodes."""

    group: str = Field(
        max_length=64,
        pattern=NAMES,
        description="its name; “Gateway destinations”: where the gateway sends; empty: nodes in no group",
    )
    calling_ae_title: str = Field(default=CALLING_AE_TITLE, max_length=16, description="our AE title")


class NodeOut(BaseModel):
    """A DICOM node."""

    ae_title: str
    hostname: str
    port: int
    description: str


class NodeStateOut(BaseModel):
    """How a node does."""

    node: NodeOut
    echo: EchoOut


class MonitorOut(BaseModel):
    """How the nodes of a group do."""

    items: list[NodeStateOut]


class NamedUid(BaseModel):
    """A UID and its name."""

    uid: str
    name: str


class StorageOut(NamedUid):
    """A SOP class and the transfer syntaxes that it is accepted in."""

    transfer_syntaxes: list[NamedUid]


class CapabilitiesOut(BaseModel):
    """What a node accepts."""

    ok: bool
    state: EchoState
    message: str
    storage: list[StorageOut]
    services: list[NamedUid]
    max_pdu_length: int | None = Field(description="bytes; 0: of any length")
    implementation_uid: str
    implementation_version: str


class WorklistIn(_Target):
    """A node, and what is looked for on its worklist; texts may hold * and ?."""

    patient_name: Filter
    patient_id: Filter
    accession_number: Filter
    admission_id: Filter
    modality: Annotated[str, Field(default="", max_length=16, description="empty or ALL: any")]
    station_ae_title: Annotated[str, Field(default="", max_length=16)]
    from_date: date | None = Field(default=None, description="of the scheduled procedure step, this day included")
    to_date: date | None = Field(default=None, description="this day included")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_date and self.to_date and self.from_date > self.to_date:
            raise ValueError("from_date is later than to_date")
        return self


class WorklistOut(BaseModel):
    """What is on a worklist."""

    ok: bool
    state: EchoState
    message: str
    entries: list[dict[str, str]] = Field(description="keyword -> value")
    cut: bool = Field(description="true: there are more")


class WebIn(_Body):
    """A DICOMweb service: its address, an endpoint of the lists, or a destination."""

    url: str | None = Field(default=None, max_length=2048)
    endpoint_id: int | None = Field(default=None, ge=1, le=2**63 - 1)
    destination: str | None = Field(default=None, max_length=130, description="NODE/NAME")
    authenticator: str = Field(default="", max_length=64, description="of the configuration; empty: none")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(one is not None for one in (self.url, self.endpoint_id, self.destination)) != 1:
            raise ValueError("one of url, endpoint_id and destination is needed")
        return self


class CertificateOut(BaseModel):
    """What a server's certificate says."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: list[str]
    trusted: bool
    trouble: str = Field(description="why it is not trusted; empty: it is")
    session: str = Field(description="protocol and cipher suite")


class ProbeOut(BaseModel):
    """Whether a service is offered."""

    service: Service
    support: Support
    detail: str


class WebOut(BaseModel):
    """What was seen of a DICOMweb service."""

    ok: bool
    message: str
    connected: bool
    connect_ms: float | None
    certificate: CertificateOut | None
    certificate_valid: bool | None
    status: int | None = Field(description="of the answer to OPTIONS")
    allow: str
    server: str
    token_acquired: bool | None = Field(description="null: no authenticator was named")
    token_error: str
    authorized: bool
    probes: list[ProbeOut]


class ProbeIn(_Body):
    """A destination of the configuration."""

    destination: str = Field(max_length=130, description="NODE/NAME")


class ProbedOut(BaseModel):
    """What a destination says of itself."""

    destination: str
    ok: bool
    message: str
    note: str = Field(description="why nothing is sent to it all the same; empty: it is")


@router.post("/echo")
def send_echo(asked: EchoIn, _user: Tools, console: ConsoleOf) -> EchoOut:
    """Send a C-ECHO to a node."""
    node, title = asked.found(console)
    with asking.slot():
        return echo_out(echo(node, calling_ae_title=title))


@router.post("/network")
def look_at_network(asked: NetworkIn, _user: Tools) -> NetworkOut:
    """Look up a name, connect, and measure."""
    node = asking.typed_node(ae_title="X", hostname=asked.hostname, port=asked.port, tls=False)
    with asking.slot():
        check = check_network(node.hostname, node.port)
    latency = check.latency
    return NetworkOut(
        ok=check.ok,
        addresses=list(check.addresses),
        open=check.open,
        host_message=check.host_message,
        port_message=check.port_message,
        latency=LatencyOut(**vars(latency), loss=latency.loss) if latency else None,
    )


@router.post("/monitor")
def monitor_group(asked: MonitorIn, _user: Tools, console: ConsoleOf) -> MonitorOut:
    """Send a C-ECHO to every node of a group, side by side; it takes 30 s at most."""
    title = asking.calling(asked.calling_ae_title)
    nodes = asking.nodes_of(console, asked.group)
    with asking.slot():
        states = monitor(nodes, calling_ae_title=title)
    return MonitorOut(items=[NodeStateOut(node=node_out(state.node), echo=echo_out(state.echo)) for state in states])


@router.post("/capabilities")
def ask_capabilities(asked: EchoIn, _user: Tools, console: ConsoleOf) -> CapabilitiesOut:
    """Propose storage and services to a node, and list what it accepts. Nothing is stored."""
    node, title = asked.found(console)
    with asking.slot():
        return capabilities_out(capabilities(node, calling_ae_title=title))


@router.post("/worklist")
def ask_worklist(asked: WorklistIn, user: Tools, console: ConsoleOf) -> WorklistOut:
    """Ask a node for its modality worklist. The answer is patients' data."""
    node, title = asked.found(console)
    wanted = WorklistFilter(**asked.model_dump(exclude={"node", "known", "calling_ae_title"}))
    audit(console, user, "look at", f"worklist of {node}")
    with asking.slot():
        try:
            answer = worklist(node, wanted, calling_ae_title=title)
        except ValueError as error:
            raise wrong_filter(error) from error
    return WorklistOut(
        ok=answer.ok,
        state=answer.state,
        message=answer.message,
        entries=[dict(entry) for entry in answer.entries],
        cut=answer.cut,
    )


@router.post("/dicomweb")
def ask_dicomweb(asked: WebIn, user: Tools, console: ConsoleOf) -> WebOut:
    """Connect to a DICOMweb service, look at its certificate, and ask which services it offers. Nothing is stored.

    An authenticator is sent where a destination uses it; elsewhere this needs the scope `secrets`.
    """
    url, tls, authenticator = asked.url or "", None, asked.authenticator
    if asked.endpoint_id is not None:
        url = asking.endpoint(console, asked.endpoint_id).url
    if asked.destination is not None:
        options = asking.web_destinations(console).get(asked.destination)
        if options is None:
            raise NotFound("there is no such DICOMweb destination")
        url, tls = options.url, getattr(options, "tls", None)
        authenticator = authenticator or getattr(options, "authenticator", None) or ""
    with asking.slot():
        return web_out(asking.check_web(console, user, url, authenticator, tls))


@router.post("/probe")
def probe_destination(asked: ProbeIn, user: Tools, console: ConsoleOf) -> ProbedOut:
    """Ask a destination of the configuration whether it would take instances; one that was held goes on if so."""
    with asking.slot():
        probed = asking.probe(console, asked.destination)
    audit(console, user, "probe", f"destination {probed.destination}", "it answers" if probed.ok else "it does not")
    return ProbedOut(**vars(probed))


def wrong_filter(error: ValueError) -> ConfigurationError:
    """Return what is wrong with a filter, by its field."""
    place, _, message = str(error).partition(": ")
    return ConfigurationError([ConfigProblem(place=place, message=message)])


def echo_out(answer: Echo) -> EchoOut:
    """Return what came of an echo, for the API."""
    values: dict[str, Any] = {**vars(answer), "status": answer.hex_status, "ok": answer.ok}
    return EchoOut(**values)


def node_out(node: DicomNode) -> NodeOut:
    """Return a node, for the API."""
    return NodeOut(ae_title=node.ae_title, hostname=node.hostname, port=node.port, description=node.description)


def capabilities_out(found: Capabilities) -> CapabilitiesOut:
    """Return what a node accepts, for the API."""
    return CapabilitiesOut(
        ok=found.ok,
        state=found.state,
        message=found.message,
        storage=[
            StorageOut(uid=uid, name=name_of(uid), transfer_syntaxes=[_named(syntax) for syntax in syntaxes])
            for uid, syntaxes in found.storage.items()
        ],
        services=[_named(uid) for uid in found.services],
        max_pdu_length=found.max_pdu_length,
        implementation_uid=found.implementation_uid,
        implementation_version=found.implementation_version,
    )


def _named(uid: str) -> NamedUid:
    return NamedUid(uid=uid, name=name_of(uid))


def web_out(check: WebCheck) -> WebOut:
    """Return what was seen of a DICOMweb service, for the API."""
    values = {name: value for name, value in vars(check).items() if name not in ("url", "valid")}
    values["certificate"] = _certificate_out(check.certificate) if check.certificate else None
    values["probes"] = [ProbeOut(**vars(one)) for one in check.probes]
    return WebOut(ok=check.ok, **values)


def _certificate_out(certificate: Certificate) -> CertificateOut:
    return CertificateOut(**{**vars(certificate), "names": list(certificate.names)})
