"""Forward nodes: the list with all that hangs on them, and the page of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.models import Destination, ForwardNode
from karnak_core.errors import Conflict, NotFound
from karnak_core.monitor import standing
from karnak_core.monitor.standing import DestinationStanding
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import NODES
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text
from karnak_plugins.web_console.pages.gateway.paths import node_path, to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/gateway")
BACK = ("/gateway", "Gateway")
INNER = ("sources", "destinations")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A destination in a list."""

    destination: Destination
    #: None: it takes part in nothing yet
    standing: DestinationStanding | None

    @property
    def where(self) -> str:
        """Return what is told of where it goes, in a few words."""
        options = self.destination.options
        found = [getattr(options, key, None) for key in ("ae_title", "url", "directory", "file")]
        where = next((value for value in found if isinstance(value, str) and value), "")
        host, port = getattr(options, "hostname", ""), getattr(options, "port", None)
        return f"{where} at {host}{f':{port}' if port else ''}" if host else where

    @property
    def does(self) -> str:
        """Return what is done to instances."""
        if self.destination.de_identification:
            return f"de-identified, {self.destination.de_identification.project}"
        if self.destination.tag_morphing:
            return f"tag morphing, {self.destination.tag_morphing.project}"
        return ""


@router.get("")
def gateway(request: Request, console: ConsoleOf, q: str = "") -> Response:
    """Show every node."""
    return render(request, "gateway/list.html", nodes=list(_found(console, q)), q=q[:200], **_count(console))


@router.get("/live")
def live(request: Request, console: ConsoleOf, q: str = "") -> Response:
    """Show how the destinations are by now."""
    return render(request, "gateway/_nodes.html", nodes=list(_found(console, q)), q=q[:200], **_count(console))


@router.get("/add")
def new_node(request: Request, console: ConsoleOf) -> Response:
    """Show an empty form."""
    return show(request, console, _adding(), {})


@router.post("/add")
def add_node(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add a node."""
    title = text(form, "ae_title")
    editing = _adding(title)
    return submit(
        request,
        console,
        user,
        form,
        editing,
        part=lambda _: True,
        old={},
        change=NODES.added,
        place=lambda document: NODES.place(document, len(NODES.of(document))),
        then=lambda entry: node_path(str(entry["ae_title"])),
    )


@router.get("/node")
def node_page(request: Request, node: str, console: ConsoleOf) -> Response:
    """Show a node."""
    entry = NODES.get(to_document(console.configuration), node)
    return show(request, console, _editing(node), entry, **_inside(console, node))


@router.post("/node")
def change_node(request: Request, node: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change title and description."""

    def part(document: Any) -> Any:
        return {key: value for key, value in NODES.get(document, node).items() if key not in INNER}

    def change(document: Any, new: dict[str, Any]) -> Any:
        there = NODES.get(document, node)
        inner = {key: there[key] for key in INNER if key in there}
        return NODES.replaced(document, node, {**{key: new[key] for key in new if key not in INNER}, **inner})

    return submit(
        request,
        console,
        user,
        form,
        _editing(node),
        part=part,
        old=before(console, form, part),
        change=change,
        place=lambda document: NODES.place(document, NODES.position(document, node)),
        then=lambda entry: node_path(str(entry["ae_title"])),
        **_inside(console, node),
    )


@router.post("/node/delete")
def delete_node(request: Request, node: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove a node with its sources and destinations."""
    try:
        remove(
            console,
            user,
            f"forward node {node}",
            lambda document: NODES.removed(document, node),
            part=lambda document: NODES.get(document, node),
            version=form_version(form),
            label=node,
        )
    except Conflict as error:
        return go(request, node_path(node), f"It is not deleted: {error}. Look at it again first.", kind="wrong")
    return go(request, "/gateway", f"The forward node {node} is deleted.")


def lines_of(console: Console, node: ForwardNode) -> list[Line]:
    """Return the destinations of a node, with how they are."""
    known = _standings(console)
    return [
        Line(destination=destination, standing=known.get((node.ae_title, destination.name)))
        for destination in node.destinations
    ]


def node_of(console: Console, title: str) -> ForwardNode:
    """Return a node; raises NotFound."""
    for node in console.configuration.forward_nodes:
        if node.ae_title == title:
            return node
    raise NotFound(f"there is no forward node {title!r}")


def _standings(console: Console) -> dict[tuple[str, str], DestinationStanding]:
    found = standing.look(console.database, console.configuration, console.spool)
    return {(one.numbers.forward_node, one.numbers.destination): one for one in found.destinations}


def _found(console: Console, q: str) -> Iterator[tuple[ForwardNode, list[Line]]]:
    known = _standings(console)
    wanted = q.strip().lower()
    for node in console.configuration.forward_nodes:
        lines = [
            Line(destination=destination, standing=known.get((node.ae_title, destination.name)))
            for destination in node.destinations
        ]
        own = f"{node.ae_title} {node.description} {' '.join(one.ae_title for one in node.sources)}".lower()
        if wanted in own:
            yield node, lines
        elif hits := [line for line in lines if wanted in _words(line)]:
            yield node, hits


def _words(line: Line) -> str:
    one = line.destination
    port = getattr(one.options, "port", "")
    return f"{one.name} {one.type} {one.description} {line.where} {line.does} {port}".lower()


def _count(console: Console) -> dict[str, Any]:
    return {"total": len(console.configuration.forward_nodes)}


def _inside(console: Console, node: str) -> dict[str, Any]:
    found = node_of(console, node)
    return {"node": found, "lines": lines_of(console, found), "kinds": console.plugins.destinations}


def _adding(title: str = "") -> Editing:
    return Editing(
        what=f"forward node {title}",
        title="Add a forward node",
        model=ForwardNode,
        keep=INNER,
        action="/gateway/add",
        back=BACK,
        new=True,
        lead="Senders call this AE title. Who may send, and where it goes, comes next.",
    )


def _editing(node: str) -> Editing:
    return Editing(
        what=f"forward node {node}",
        title=node,
        model=ForwardNode,
        keep=INNER,
        action=node_path(node),
        back=BACK,
        template="gateway/node.html",
        delete=to("/gateway/node/delete", node=node),
        delete_means="Its sources and destinations go, too. What was received stays in the ledger.",
        label=node,
    )
