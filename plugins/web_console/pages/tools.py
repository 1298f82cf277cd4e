"""DICOM tools: ask other nodes. A page for each tool; its answer stands below its form."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.errors import ConfigProblem, ConfigurationError, NotFound
from karnak_core.tools import capabilities as proposing
from karnak_core.tools import node_lists
from karnak_core.tools.echo import CALLING_AE_TITLE, Echo, echo
from karnak_core.tools.monitoring import monitor
from karnak_core.tools.network import check_network
from karnak_core.tools.nodes import GATEWAY_DESTINATIONS, DicomNode
from karnak_core.tools.worklist import WorklistFilter, worklist
from karnak_plugins.web_console import asking
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import CurrentUser, Identity
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.forms import Form, by_place, checked, text, whole_number
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/tools")

#: the tools in the order of their tabs: path below /tools, label, what it is for
TABS: Mapping[str, tuple[str, str]] = {
    "echo": ("Echo", "Does a DICOM node answer? Sends a C-ECHO."),
    "network": ("Network", "Is the name known, does something listen at the port, and how long do connections take?"),
    "monitor": ("Monitor", "Which nodes of a list answer? All of them are asked side by side, for 30 seconds at most."),
    "capabilities": (
        "Capabilities",
        "What does a DICOM node accept? Proposes storage in several transfer syntaxes, and other services. "
        "Nothing is stored.",
    ),
    "worklist": ("Worklist", "What is on a modality worklist? What is shown are patients' data; looking is recorded."),
    "dicomweb": (
        "DICOMweb",
        "Does a DICOMweb service answer, what does its certificate say, and which services does it offer? "
        "Nothing is stored.",
    ),
    "destination": (
        "Destination",
        "Would a destination of the gateway take instances? One that was held goes on when it answers.",
    ),
}
#: the transfer syntaxes that are proposed, in few letters
SYNTAXES = ("Implicit LE", "Explicit LE", "RLE", "JPEG", "JPEG lossless", "JPEG-LS", "JPEG 2000")
#: C-ECHOs that are remembered
MOST_LATELY = 200
#: what worklists are for, besides any other text
MODALITIES = ("ALL", "CR", "CT", "DX", "ES", "MG", "MR", "NM", "OT", "PT", "RF", "US", "XA")


@dataclass(kw_only=True)
class Asked:
    """One request of a tool: what was typed, and what came of it."""

    request: Request
    console: Console
    user: Identity
    form: Form
    errors: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a field's text without blanks around it, and NUL, which PostgreSQL does not take."""
        return text(self.form, name).replace("\0", "").strip()

    def node(self) -> DicomNode:
        """Return the node that is chosen, else the one that is typed; raises ConfigurationError."""
        if key := self.text("known"):
            return chosen(self.console, key)
        return asking.typed_node(
            ae_title=self.text("ae_title"),
            hostname=self.text("hostname"),
            port=whole_number(self.form, "port"),
            tls=checked(self.form, "tls"),
        )

    def calling(self) -> str:
        """Return our AE title; raises ConfigurationError."""
        return asking.calling(self.text("calling_ae_title"))


@dataclass(frozen=True, kw_only=True)
class Lately:
    """One C-ECHO of the last ones."""

    at: int
    who: str
    node: DicomNode
    answer: Echo


def lately_of(request: Request) -> deque[Lately]:
    """Return the last C-ECHOs of this application, the newest first; only in memory."""
    state = request.app.state
    if not hasattr(state, "echoes"):
        state.echoes = deque(maxlen=MOST_LATELY)
    echoes: deque[Lately] = state.echoes
    return echoes


def chosen(console: Console, key: str) -> DicomNode:
    """Return a node of the lists; raises ConfigurationError."""
    try:
        return asking.known_node(console, key)
    except NotFound as error:
        raise wrong("known", str(error)) from error


def wrong(place: str, message: str) -> ConfigurationError:
    """Return what is wrong with a field."""
    return ConfigurationError([ConfigProblem(place=place, message=message)])


@router.get("")
def first_tool(request: Request) -> Response:
    """Go to the first tool."""
    return go(request, "/tools/echo")


@router.get("/{tool}")
def tool_page(request: Request, tool: str, console: ConsoleOf) -> Response:
    """Show a tool; a node of the lists may be chosen by its address."""
    values = {name: value[:400] for name, value in request.query_params.items()}
    return _shown(request, console, tool, {"calling_ae_title": CALLING_AE_TITLE, "modality": "ALL", **values})


@router.post("/{tool}")
def use_tool(request: Request, tool: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Ask, and show the answer below the form."""
    values = {name: value for name, value in form.items() if isinstance(value, str) and name != "csrf_token"}
    asked = Asked(request=request, console=console, user=user, form=form)
    if tool not in USES:
        raise NotFound("there is no such tool")
    try:
        # what is wrong with the form is told without a slot
        ask = USES[tool](asked)
    except ConfigurationError as error:
        return _shown(request, console, tool, values, errors=by_place(error), status=422)
    with asking.slot():
        try:
            result = ask()
        except ConfigurationError as error:
            return _shown(request, console, tool, values, errors=by_place(error), status=422)
    return _shown(request, console, tool, values, result=result)


def _shown(
    request: Request,
    console: Console,
    tool: str,
    values: Mapping[str, str],
    *,
    errors: Mapping[str, str] | None = None,
    result: Any = None,
    status: int = 200,
) -> Response:
    if tool not in TABS:
        raise NotFound("there is no such tool")
    known = asking.choices(console)
    with console.database.read() as connection:
        groups = [name for name in node_lists.groups(connection) if name]
        endpoints = node_lists.endpoints(connection)
    return render(
        request,
        f"tools/{tool}.html",
        status=status,
        tabs=TABS,
        tool=tool,
        values=_Values(values),
        errors=errors or {},
        result=result,
        known=known,
        groups=[GATEWAY_DESTINATIONS, *groups],
        endpoints=endpoints,
        destinations=list(asking.destinations(console)),
        web_destinations=list(asking.web_destinations(console)),
        authenticators=sorted(console.configuration.authenticators),
        modalities=MODALITIES,
        syntaxes=list(zip(proposing.TRANSFER_SYNTAXES, SYNTAXES, strict=True)),
        name_of=proposing.name_of,
        now=datetime.now(UTC),
        lately=list(lately_of(request)) if tool == "echo" else [],
    )


class _Values(dict[str, str]):
    """What was typed by the name of the field; nothing in those that are not in it."""

    def __missing__(self, name: str) -> str:
        return ""


Ask = Callable[[], Any]


def _echo(asked: Asked) -> Ask:
    node, title = asked.node(), asked.calling()

    def ask() -> Any:
        answer = echo(node, calling_ae_title=title)
        one = Lately(at=asked.console.clock(), who=asked.user.name, node=node, answer=answer)
        lately_of(asked.request).appendleft(one)
        return node, answer

    return ask


def _network(asked: Asked) -> Ask:
    if key := asked.text("known"):
        node = chosen(asked.console, key)
    else:
        port = whole_number(asked.form, "port")
        node = asking.typed_node(ae_title="X", hostname=asked.text("hostname"), port=port, tls=False)
    return lambda: check_network(node.hostname, node.port)


def _monitor(asked: Asked) -> Ask:
    title = asked.calling()
    try:
        nodes = asking.nodes_of(asked.console, asked.text("group"))
    except NotFound as error:
        raise wrong("group", str(error)) from error
    return lambda: monitor(nodes, calling_ae_title=title)


def _capabilities(asked: Asked) -> Ask:
    node, title = asked.node(), asked.calling()
    return lambda: (node, proposing.capabilities(node, calling_ae_title=title))


def _worklist(asked: Asked) -> Ask:
    node, title = asked.node(), asked.calling()
    wanted = WorklistFilter(
        patient_name=asked.text("patient_name"),
        patient_id=asked.text("patient_id"),
        accession_number=asked.text("accession_number"),
        admission_id=asked.text("admission_id"),
        modality=asked.text("modality"),
        station_ae_title=asked.text("station_ae_title"),
        from_date=_day(asked, "from_date"),
        to_date=_day(asked, "to_date"),
    )
    if wanted.from_date and wanted.to_date and wanted.from_date > wanted.to_date:
        raise wrong("to_date", "is before the first day")

    def ask() -> Any:
        audit(asked.console, asked.user, "look at", f"worklist of {node}")
        try:
            return node, worklist(node, wanted, calling_ae_title=title)
        except ValueError as error:
            place, _, message = str(error).partition(": ")
            raise wrong(place, message) from error

    return ask


def _day(asked: Asked, name: str) -> date | None:
    if not (written := asked.text(name)):
        return None
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise wrong(name, "is not a day such as 2026-01-31") from error


def _dicomweb(asked: Asked) -> Ask:
    target, authenticator, tls = asked.text("target"), asked.text("authenticator"), None
    kind, _, name = target.partition(":")
    url = asked.text("url")
    if kind == "e" and name.isascii() and name.isdigit() and len(name) < 19:
        try:
            url = asking.endpoint(asked.console, int(name)).url
        except NotFound as error:
            raise wrong("target", str(error)) from error
    elif target:
        options = asking.web_destinations(asked.console).get(name)
        if options is None:
            raise wrong("target", "there is no such destination any more")
        url, tls = options.url, getattr(options, "tls", None)
        authenticator = authenticator or getattr(options, "authenticator", None) or ""
    if not url:
        raise wrong("url", "is missing; or choose one of the list")
    return lambda: asking.check_web(asked.console, asked.user, url, authenticator, tls)


def _destination(asked: Asked) -> Ask:
    name = asked.text("destination")
    if name not in asking.destinations(asked.console):
        raise wrong("destination", "there is no such destination")

    def ask() -> Any:
        probed = asking.probe(asked.console, name)
        said = "it answers" if probed.ok else "it does not"
        audit(asked.console, asked.user, "probe", f"destination {name}", said)
        return probed

    return ask


#: looks at the form, and returns what asks
USES: Mapping[str, Callable[[Asked], Ask]] = {
    "echo": _echo,
    "network": _network,
    "monitor": _monitor,
    "capabilities": _capabilities,
    "worklist": _worklist,
    "dicomweb": _dicomweb,
    "destination": _destination,
}
