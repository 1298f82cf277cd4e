"""Forward nodes: the list with all that hangs on them, and the page of each."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.models import ForwardNode
from karnak_core.errors import Conflict
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import NODES
from karnak_plugins.web_console.filtering import LONGEST, STATES, Wanted, lines_of, node_of
from karnak_plugins.web_console.left_behind import refuse_left_behind, waiting, would_fail
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text
from karnak_plugins.web_console.pages.gateway.paths import node_path, to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/gateway")
BACK = ("/gateway", "Gateway")
INNER = ("sources", "destinations")


@router.get("")
def gateway(request: Request, console: ConsoleOf, q: str = "", state: str = "") -> Response:
    """Show every node, or those that are wanted."""
    return _listed(request, console, "gateway/list.html", q, state)


@router.get("/live")
def live(request: Request, console: ConsoleOf, q: str = "", state: str = "") -> Response:
    """Show how the destinations are by now."""
    return _listed(request, console, "gateway/_nodes.html", q, state)


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
def node_page(request: Request, node: str, console: ConsoleOf, q: str = "", state: str = "") -> Response:
    """Show a node, with those of its sources and destinations that are wanted."""
    entry = NODES.get(to_document(console.configuration), node)
    return show(request, console, _editing(console, node), entry, **_inside(console, node, _wanted(q, state)))


@router.get("/node/lists")
def node_lists(request: Request, node: str, console: ConsoleOf, q: str = "", state: str = "") -> Response:
    """Show those of its sources and destinations that are wanted, as they are by now."""
    return render(request, "gateway/_inside.html", **_inside(console, node, _wanted(q, state)))


@router.post("/node")
def change_node(request: Request, node: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change title and description."""

    def part(document: Any) -> Any:
        return {key: value for key, value in NODES.get(document, node).items() if key not in INNER}

    def change(document: Any, new: dict[str, Any]) -> Any:
        there = NODES.get(document, node)
        inner = {key: there[key] for key in INNER if key in there}
        changed = NODES.replaced(document, node, {**{key: new[key] for key in new if key not in INNER}, **inner})
        refuse_left_behind(console, document, changed, node)
        return changed

    return submit(
        request,
        console,
        user,
        form,
        _editing(console, node),
        part=part,
        old=before(console, form, part),
        change=change,
        place=lambda document: NODES.place(document, NODES.position(document, node)),
        then=lambda entry: node_path(str(entry["ae_title"])),
        **_inside(console, node, Wanted()),
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


def _listed(request: Request, console: Console, template: str, q: str, state: str) -> Response:
    wanted = _wanted(q, state)
    total = len(console.configuration.forward_nodes)
    return render(request, template, nodes=list(wanted.nodes(console)), total=total, wanted=wanted, states=STATES)


def _wanted(q: str, state: str) -> Wanted:
    return Wanted(text=q[:LONGEST], state=state if state in STATES else "")


def _inside(console: Console, title: str, wanted: Wanted) -> dict[str, Any]:
    node = node_of(console, title)
    return {
        "node": node,
        "sources": wanted.sources(node),
        "lines": wanted.lines(lines_of(console, node)),
        "wanted": wanted,
        "states": STATES,
    }


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


def _editing(console: Console, node: str) -> Editing:
    left = would_fail(waiting(console, node))
    return Editing(
        what=f"forward node {node}",
        title=node,
        model=ForwardNode,
        keep=INNER,
        action=node_path(node),
        back=BACK,
        template="gateway/node.html",
        delete=to("/gateway/node/delete", node=node),
        delete_means=f"Its sources and destinations go, too. What was received stays in the ledger. {left}".strip(),
        label=node,
    )
