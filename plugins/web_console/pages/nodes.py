"""Lists of DICOM nodes and DICOMweb endpoints, for the tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict
from karnak_core.tools import node_csv, node_lists
from karnak_core.tools.nodes import GATEWAY_DESTINATIONS, WORKLIST, WORKSTATION, DicomNode, Service, WebEndpoint
from karnak_plugins.web_console import asking
from karnak_plugins.web_console.access.audit import recorded
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.api.node_lists import csv_answer
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.forms import Form, by_place, checked, text, texts, whole_number
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/nodes")

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
#: rows of a file whose problems are shown
MOST_PROBLEMS = 50


@router.get("")
def lists(request: Request, console: ConsoleOf) -> Response:
    """Show every list."""
    return _listed(request, console)


@router.post("/import")
def import_file(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Import a CSV file of nodes or of endpoints."""
    group, kind = text(form, "group").strip() or None, text(form, "kind")
    forced, replace = checked(form, "force_group"), checked(form, "replace")
    try:
        content = _uploaded(form)
        if kind == "endpoints":
            endpoints = node_csv.parse_endpoints(content, group=group, force_group=forced)
            problems = endpoints.problems
            with recorded(console, user) as (database, write_down):
                done = node_lists.import_endpoints(database, endpoints.entries, empty_first=replace)
                write_down("import", "endpoints", f"{done.added} added")
        else:
            nodes = node_csv.parse_nodes(content, group=group, force_group=forced)
            problems = nodes.problems
            with recorded(console, user) as (database, write_down):
                done = node_lists.import_nodes(database, nodes.entries, empty_first=replace)
                write_down("import", "nodes", f"{done.added} added")
    except ConfigurationError as error:
        return _listed(request, console, status=422, errors=by_place(error), importing=_typed(form))
    said = f"{done.added} added, {done.known} there already."
    if not problems:
        return go(request, "/nodes", said)
    more = len(problems) - MOST_PROBLEMS
    shown = [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
    return _listed(request, console, imported=said, problems=shown)


@router.get("/export/{kind}.csv")
def export_file(kind: str, console: ConsoleOf) -> Response:
    """Save every node, or every endpoint, as CSV."""
    with console.database.read() as connection:
        if kind == "endpoints":
            endpoints = [stored.endpoint for stored in node_lists.endpoints(connection)]
            return csv_answer(node_csv.export_endpoints(endpoints), "endpoints.csv")
        nodes = [stored.node for stored in node_lists.nodes(connection)]
    return csv_answer(node_csv.export_nodes(nodes), "nodes.csv")


@router.post("/delete-group")
def delete_group(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove every entry of a group."""
    group = text(form, "group").replace("\0", "")
    try:
        with recorded(console, user) as (database, write_down):
            gone = node_lists.delete_group(database, group, most=whole_number(form, "count"))
            write_down("delete", f"node group {group}", f"{gone} entries")
    except Conflict as error:
        return go(request, "/nodes", f"Nothing is deleted: {error}.", kind="wrong")
    return go(request, "/nodes", f"The group {group} is deleted.")


@router.get("/add")
def add_node_page(request: Request, console: ConsoleOf) -> Response:
    """Show the form for another node."""
    values = {"node_type": WORKSTATION, "group": request.query_params.get("group", "")[:64]}
    return _node_form(request, console, None, values)


@router.post("/add")
def add_node(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add a node."""
    return _save_node(request, user, form, console, None)


@router.get("/endpoints/add")
def add_endpoint_page(request: Request, console: ConsoleOf) -> Response:
    """Show the form for another endpoint."""
    return _endpoint_form(request, console, None, {})


@router.post("/endpoints/add")
def add_endpoint(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add an endpoint."""
    return _save_endpoint(request, user, form, console, None)


@router.get("/endpoints/{number}")
def endpoint_page(request: Request, number: Number, console: ConsoleOf) -> Response:
    """Show an endpoint, to be changed."""
    with console.database.read() as connection:
        stored = node_lists.get_endpoint(connection, number)
    found = stored.endpoint
    values = {"url": found.url, "description": found.description, "group": found.group or "", "seen": stored.state}
    return _endpoint_form(request, console, number, values, services=list(found.services))


@router.post("/endpoints/{number}")
def change_endpoint(request: Request, number: Number, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change an endpoint."""
    return _save_endpoint(request, user, form, console, number)


@router.post("/endpoints/{number}/delete")
def delete_endpoint(request: Request, number: Number, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove an endpoint that is still as it was shown."""
    try:
        with recorded(console, user) as (database, write_down):
            node_lists.delete_endpoint(database, number, seen=text(form, "seen") or None)
            write_down("delete", f"endpoint {number}")
    except Conflict as error:
        return go(request, "/nodes", f"Nothing is deleted: {error}.", kind="wrong")
    return go(request, "/nodes", "The endpoint is deleted.")


@router.get("/{number}")
def node_page(request: Request, number: Number, console: ConsoleOf) -> Response:
    """Show a node, to be changed."""
    with console.database.read() as connection:
        stored = node_lists.get_node(connection, number)
    values = {name: str(value or "") for name, value in vars(stored.node).items() if name != "tls"}
    return _node_form(request, console, number, {**values, "seen": stored.state})


@router.post("/{number}")
def change_node(request: Request, number: Number, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change a node."""
    return _save_node(request, user, form, console, number)


@router.post("/{number}/delete")
def delete_node(request: Request, number: Number, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove a node that is still as it was shown."""
    try:
        with recorded(console, user) as (database, write_down):
            gone = node_lists.delete_node(database, number, seen=text(form, "seen") or None)
            write_down("delete", f"node {gone}")
    except Conflict as error:
        return go(request, "/nodes", f"Nothing is deleted: {error}.", kind="wrong")
    return go(request, "/nodes", f"The node {gone.ae_title} is deleted.")


def _save_node(request: Request, user: CurrentUser, form: Form, console: Console, number: int | None) -> Response:
    values = _typed(form)
    node = DicomNode(
        ae_title=values.get("ae_title", ""),
        hostname=values.get("hostname", ""),
        port=whole_number(form, "port") or 0,
        description=values.get("description", ""),
        node_type=values.get("node_type", ""),
        group=values.get("group") or None,
    )
    try:
        with recorded(console, user) as (database, write_down):
            stored = node_lists.save_node(database, node, number, seen=values.get("seen") or None)
            write_down("change" if number else "add", f"node {stored.node}")
    except ConfigurationError as error:
        return _node_form(request, console, number, values, errors=by_place(error), status=422)
    except Conflict:
        with console.database.read() as connection:
            there = node_lists.get_node(connection, number or 0)
        now = f"{there.node}, {there.node.description}, {there.node.group or 'in no group'}"
        return _node_form(request, console, number, {**values, "seen": there.state}, now=now, status=409)
    return go(request, "/nodes", f"The node {stored.node.ae_title} is {'changed' if number else 'added'}.")


def _save_endpoint(request: Request, user: CurrentUser, form: Form, console: Console, number: int | None) -> Response:
    values, chosen = _typed(form), texts(form, "services")
    services = tuple(service for service in Service if service.value in chosen)
    endpoint = WebEndpoint(
        url=values.get("url", ""),
        description=values.get("description", ""),
        services=services,
        group=values.get("group") or None,
    )
    try:
        with recorded(console, user) as (database, write_down):
            stored = node_lists.save_endpoint(database, endpoint, number, seen=values.get("seen") or None)
            write_down("change" if number else "add", f"endpoint {stored.id}")
    except ConfigurationError as error:
        errors = by_place(error)
        return _endpoint_form(request, console, number, values, services=services, errors=errors, status=422)
    except Conflict:
        with console.database.read() as connection:
            there = node_lists.get_endpoint(connection, number or 0)
        now = f"{there.endpoint.url}, {there.endpoint.description}, {there.endpoint.group or 'in no group'}"
        values |= {"seen": there.state}
        return _endpoint_form(request, console, number, values, services=services, now=now, status=409)
    return go(request, "/nodes", f"The endpoint is {'changed' if number else 'added'}.")


def _typed(form: Form) -> dict[str, str]:
    return {name: value.strip() for name, value in form.items() if isinstance(value, str) and name != "csrf_token"}


def _uploaded(form: Form) -> str:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise ConfigurationError([ConfigProblem(place="file", message="no file is chosen")])
    try:
        return node_csv.decoded(file.file.read(node_csv.MOST_BYTES + 1))
    except ValueError as error:
        raise ConfigurationError([ConfigProblem(place="file", message=str(error))]) from error


def _listed(
    request: Request,
    console: Console,
    *,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
    importing: Mapping[str, str] | None = None,
    imported: str = "",
    problems: list[str] | None = None,
) -> Response:
    with console.database.read() as connection:
        nodes, endpoints = node_lists.nodes(connection), node_lists.endpoints(connection)
        groups = node_lists.groups(connection)
    by_group: dict[str, Any] = {}
    for stored in nodes:
        by_group.setdefault(stored.node.group or "", []).append(stored)
    return render(
        request,
        "nodes/lists.html",
        status=status,
        own=[(node, asking.key_of(node)) for node in asking.own_nodes(console)],
        own_name=GATEWAY_DESTINATIONS,
        by_group=by_group,
        endpoints=endpoints,
        groups=[name for name in groups if name],
        counts={name: sum(counts) for name, counts in groups.items()},
        errors=errors or {},
        importing={"kind": "nodes", "group": "", **(importing or {})},
        imported=imported,
        problems=problems or [],
    )


def _node_form(
    request: Request,
    console: Console,
    number: int | None,
    values: Mapping[str, str],
    *,
    errors: Mapping[str, str] | None = None,
    now: str = "",
    status: int = 200,
) -> Response:
    empty = dict.fromkeys(("description", "ae_title", "hostname", "port", "node_type", "group", "seen"), "")
    return render(
        request,
        "nodes/node.html",
        status=status,
        number=number,
        values={**empty, **values},
        errors=errors or {},
        now=now,
        groups=_groups(console),
        types=[WORKSTATION, "PACS", WORKLIST],
    )


def _endpoint_form(
    request: Request,
    console: Console,
    number: int | None,
    values: Mapping[str, str],
    *,
    services: list[Service] | tuple[Service, ...] = (),
    errors: Mapping[str, str] | None = None,
    now: str = "",
    status: int = 200,
) -> Response:
    return render(
        request,
        "nodes/endpoint.html",
        status=status,
        number=number,
        values={**dict.fromkeys(("description", "url", "group", "seen"), ""), **values},
        services=services,
        every_service=list(Service),
        errors=errors or {},
        now=now,
        groups=_groups(console),
    )


def _groups(console: Console) -> list[str]:
    with console.database.read() as connection:
        return [name for name in node_lists.groups(connection) if name]
