"""The lists of DICOM nodes and DICOMweb endpoints that the tools know."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.tools import node_csv, node_lists
from karnak_core.tools.nodes import GATEWAY_DESTINATIONS, WORKSTATION, DicomNode, Service, WebEndpoint
from karnak_plugins.web_console import asking
from karnak_plugins.web_console.access.audit import recorded
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.api.changing import RESPONSES
from karnak_plugins.web_console.resources import ConsoleOf, Page, SeenState, tag_state

router = APIRouter(prefix="/tools", tags=["node lists"])

Tools = Annotated[Identity, Depends(require_scope("tools"))]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
#: of a group's name: no control characters, which PostgreSQL takes no text with
NAMES = r"^[^\x00-\x1f]*$"
Group = Annotated[
    str | None, Query(max_length=64, pattern=NAMES, description="of this group only; empty: of those in none")
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NodeIn(_Body):
    """A DICOM node."""

    ae_title: str = Field(max_length=64, description="1–16 characters")
    hostname: str = Field(max_length=255, description="DNS name or IP address")
    port: int = Field(ge=1, le=65535)
    description: str = Field(default="", max_length=255)
    node_type: str = Field(default=WORKSTATION, max_length=32, description="WORKLIST is in no group")
    group: str | None = Field(default=None, max_length=64, description="null: none")


class NodeOut(BaseModel):
    """A DICOM node of the lists, or one that the configuration sends to."""

    id: int | None = Field(description="null: it is a destination of the gateway, and cannot be changed here")
    key: str = Field(description="`known` of the requests of the tools")
    ae_title: str
    hostname: str
    port: int
    description: str
    node_type: str
    group: str | None


class EndpointIn(_Body):
    """A DICOMweb endpoint."""

    url: str = Field(max_length=2048, description="http or https")
    description: str = Field(default="", max_length=255)
    services: list[Service] = Field(default_factory=list, max_length=len(Service), description="none: not known which")
    group: str | None = Field(default=None, max_length=64, description="null: none")


class EndpointOut(EndpointIn):
    """A DICOMweb endpoint of the lists."""

    id: int


class GroupOut(BaseModel):
    """A group."""

    name: str = Field(description="empty: what is in none")
    nodes: int
    endpoints: int
    read_only: bool


class ImportIn(_Body):
    """A CSV file."""

    csv: str = Field(max_length=node_csv.MOST_BYTES)
    group: str | None = Field(default=None, max_length=64, description="of rows that name none")
    force_group: bool = Field(default=False, description="true: of all rows, whatever they name")
    replace: bool = Field(default=False, description="true: the groups of the rows are emptied first")


class ImportOut(BaseModel):
    """What came of an import."""

    added: int
    known: int = Field(description="were there already")
    problems: list[str] = Field(description="row N: what is wrong; such a row is left out, unless it is called a note")


@router.get("/groups")
def list_groups(_user: Tools, console: ConsoleOf) -> Page[GroupOut]:
    """List the groups, the one of the gateway's own destinations first."""
    own = GroupOut(name=GATEWAY_DESTINATIONS, nodes=len(asking.own_nodes(console)), endpoints=0, read_only=True)
    with console.database.read() as connection:
        found = node_lists.groups(connection)
    groups = [
        GroupOut(name=name, nodes=nodes, endpoints=endpoints, read_only=False)
        for name, (nodes, endpoints) in found.items()
    ]
    return Page(items=[own, *groups])


@router.delete("/groups/{group}", status_code=204)
def delete_group(
    group: Annotated[str, Path(max_length=64, pattern=NAMES)],
    user: Tools,
    console: ConsoleOf,
    count: Annotated[
        int | None,
        Query(ge=0, le=2**53, description="entries that were looked at; where there are more by now, 409"),
    ] = None,
) -> Response:
    """Remove every entry of a group."""
    with recorded(console, user) as (database, write_down):
        gone = node_lists.delete_group(database, group, most=count)
        write_down("delete", f"node group {group}", f"{gone} entries")
    return Response(status_code=204)


@router.get("/nodes")
def list_nodes(_user: Tools, console: ConsoleOf, group: Group = None) -> Page[NodeOut]:
    """List the DICOM nodes; those that the configuration sends to come first."""
    own = [_own(node) for node in asking.own_nodes(console)] if group in (None, GATEWAY_DESTINATIONS) else []
    with console.database.read() as connection:
        found = node_lists.nodes(connection, group)
    return Page(items=[*own, *map(_node_out, found)])


@router.post("/nodes", status_code=201)
def add_node(new: NodeIn, user: Tools, console: ConsoleOf, response: Response) -> NodeOut:
    """Add a DICOM node."""
    with recorded(console, user) as (database, write_down):
        stored = node_lists.save_node(database, DicomNode(**new.model_dump()))
        write_down("add", f"node {stored.node}")
    tag_state(response, stored.state)
    return _node_out(stored)


@router.get("/nodes.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def export_nodes(_user: Tools, console: ConsoleOf, group: Group = None) -> Response:
    """Export DICOM nodes as CSV."""
    with console.database.read() as connection:
        found = [stored.node for stored in node_lists.nodes(connection, group)]
    if group in (None, GATEWAY_DESTINATIONS):
        found = [*(asking.own_nodes(console) if group else ()), *found]
    return csv_answer(node_csv.export_nodes(found), "nodes.csv")


@router.post("/nodes/import")
def import_nodes(given: ImportIn, user: Tools, console: ConsoleOf) -> ImportOut:
    """Import DICOM nodes from CSV: description,aetitle,hostname,port,nodeType,nodeGroup."""
    parsed = node_csv.parse_nodes(given.csv, group=given.group or None, force_group=given.force_group)
    with recorded(console, user) as (database, write_down):
        done = node_lists.import_nodes(database, parsed.entries, empty_first=given.replace)
        write_down("import", "nodes", f"{done.added} added")
    return ImportOut(added=done.added, known=done.known, problems=list(parsed.problems))


@router.get("/nodes/{node_id}")
def get_node(node_id: Number, _user: Tools, console: ConsoleOf, response: Response) -> NodeOut:
    """Return a DICOM node."""
    with console.database.read() as connection:
        stored = node_lists.get_node(connection, node_id)
    tag_state(response, stored.state)
    return _node_out(stored)


@router.put("/nodes/{node_id}", responses=RESPONSES)
def change_node(
    node_id: Number, change: NodeIn, user: Tools, console: ConsoleOf, seen: SeenState, response: Response
) -> NodeOut:
    """Put a DICOM node in the place of another one."""
    with recorded(console, user) as (database, write_down):
        stored = node_lists.save_node(database, DicomNode(**change.model_dump()), node_id, seen=seen)
        write_down("change", f"node {stored.node}")
    tag_state(response, stored.state)
    return _node_out(stored)


@router.delete("/nodes/{node_id}", status_code=204, responses=RESPONSES)
def delete_node(node_id: Number, user: Tools, console: ConsoleOf, seen: SeenState) -> Response:
    """Remove a DICOM node."""
    with recorded(console, user) as (database, write_down):
        gone = node_lists.delete_node(database, node_id, seen=seen)
        write_down("delete", f"node {gone}")
    return Response(status_code=204)


@router.get("/endpoints")
def list_endpoints(_user: Tools, console: ConsoleOf, group: Group = None) -> Page[EndpointOut]:
    """List the DICOMweb endpoints."""
    with console.database.read() as connection:
        return Page(items=[_endpoint_out(stored) for stored in node_lists.endpoints(connection, group)])


@router.post("/endpoints", status_code=201)
def add_endpoint(new: EndpointIn, user: Tools, console: ConsoleOf, response: Response) -> EndpointOut:
    """Add a DICOMweb endpoint."""
    with recorded(console, user) as (database, write_down):
        stored = node_lists.save_endpoint(database, _endpoint(new))
        write_down("add", f"endpoint {stored.id}")
    tag_state(response, stored.state)
    return _endpoint_out(stored)


@router.get("/endpoints.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def export_endpoints(_user: Tools, console: ConsoleOf, group: Group = None) -> Response:
    """Export DICOMweb endpoints as CSV."""
    with console.database.read() as connection:
        found = [stored.endpoint for stored in node_lists.endpoints(connection, group)]
    return csv_answer(node_csv.export_endpoints(found), "endpoints.csv")


@router.post("/endpoints/import")
def import_endpoints(given: ImportIn, user: Tools, console: ConsoleOf) -> ImportOut:
    """Import DICOMweb endpoints from CSV: description,url,services,group."""
    parsed = node_csv.parse_endpoints(given.csv, group=given.group or None, force_group=given.force_group)
    with recorded(console, user) as (database, write_down):
        done = node_lists.import_endpoints(database, parsed.entries, empty_first=given.replace)
        write_down("import", "endpoints", f"{done.added} added")
    return ImportOut(added=done.added, known=done.known, problems=list(parsed.problems))


@router.get("/endpoints/{endpoint_id}")
def get_endpoint(endpoint_id: Number, _user: Tools, console: ConsoleOf, response: Response) -> EndpointOut:
    """Return a DICOMweb endpoint."""
    with console.database.read() as connection:
        stored = node_lists.get_endpoint(connection, endpoint_id)
    tag_state(response, stored.state)
    return _endpoint_out(stored)


@router.put("/endpoints/{endpoint_id}", responses=RESPONSES)
def change_endpoint(
    endpoint_id: Number, change: EndpointIn, user: Tools, console: ConsoleOf, seen: SeenState, response: Response
) -> EndpointOut:
    """Put a DICOMweb endpoint in the place of another one."""
    with recorded(console, user) as (database, write_down):
        stored = node_lists.save_endpoint(database, _endpoint(change), endpoint_id, seen=seen)
        write_down("change", f"endpoint {stored.id}")
    tag_state(response, stored.state)
    return _endpoint_out(stored)


@router.delete("/endpoints/{endpoint_id}", status_code=204, responses=RESPONSES)
def delete_endpoint(endpoint_id: Number, user: Tools, console: ConsoleOf, seen: SeenState) -> Response:
    """Remove a DICOMweb endpoint."""
    with recorded(console, user) as (database, write_down):
        node_lists.delete_endpoint(database, endpoint_id, seen=seen)
        write_down("delete", f"endpoint {endpoint_id}")
    return Response(status_code=204)


def csv_answer(text: str, name: str) -> Response:
    """Return a file of CSV, to be saved."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _own(node: DicomNode) -> NodeOut:
    return _out(node, None, asking.key_of(node))


def _node_out(stored: node_lists.StoredNode) -> NodeOut:
    return _out(stored.node, stored.id, f"n:{stored.id}")


def _out(node: DicomNode, number: int | None, key: str) -> NodeOut:
    values = {name: value for name, value in vars(node).items() if name != "tls"}
    return NodeOut(id=number, key=key, **values)


def _endpoint(given: EndpointIn) -> WebEndpoint:
    ordered = tuple(service for service in Service if service in given.services)
    return WebEndpoint(url=given.url.strip(), description=given.description, services=ordered, group=given.group)


def _endpoint_out(stored: node_lists.StoredEndpoint) -> EndpointOut:
    return EndpointOut(id=stored.id, **{**vars(stored.endpoint), "services": list(stored.endpoint.services)})
