"""Sources: who may send to a node."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.models import Source
from karnak_core.errors import Conflict
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.entries import NODES, sources
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text
from karnak_plugins.web_console.pages.gateway.paths import node_path, source_path, to
from karnak_plugins.web_console.pages.rendering import go
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/gateway/source")


@router.get("/add")
def new_source(request: Request, node: str, console: ConsoleOf) -> Response:
    """Show an empty form."""
    sources(node).of(to_document(console.configuration))
    return show(request, console, _adding(node), {})


@router.post("/add")
def add_source(request: Request, node: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add a source."""
    entries = sources(node)
    return submit(
        request,
        console,
        user,
        form,
        _adding(node, text(form, "ae_title")),
        part=lambda document: entries.node in [NODES.name(one) for one in NODES.of(document)] or None,
        old={},
        change=entries.added,
        place=lambda document: entries.place(document, len(entries.of(document))),
        then=lambda _: node_path(node),
    )


@router.get("")
def source_page(request: Request, node: str, name: str, console: ConsoleOf) -> Response:
    """Show a source."""
    return show(request, console, _editing(node, name), sources(node).get(to_document(console.configuration), name))


@router.post("")
def change_source(
    request: Request, node: str, name: str, user: CurrentUser, form: Form, console: ConsoleOf
) -> Response:
    """Change a source."""
    entries = sources(node)
    return submit(
        request,
        console,
        user,
        form,
        _editing(node, name),
        part=lambda document: entries.get(document, name),
        old=before(console, form, lambda document: entries.get(document, name)),
        change=lambda document, new: entries.replaced(document, name, new),
        place=lambda document: entries.place(document, entries.position(document, name)),
        then=lambda _: node_path(node),
    )


@router.post("/delete")
def delete_source(
    request: Request, node: str, name: str, user: CurrentUser, form: Form, console: ConsoleOf
) -> Response:
    """Remove a source."""
    entries = sources(node)
    try:
        remove(
            console,
            user,
            f"source {node}/{name}",
            lambda document: entries.removed(document, name),
            part=lambda document: entries.get(document, name),
            version=form_version(form),
            label=f"{node}/source {name}",
        )
    except Conflict as error:
        return go(request, node_path(node), f"It is not deleted: {error}.", kind="wrong")
    return go(request, node_path(node), f"The source {name} is deleted.")


def _adding(node: str, title: str = "") -> Editing:
    return Editing(
        what=f"source {node}/{title}",
        title="Add a source",
        model=Source,
        action=to("/gateway/source/add", node=node),
        back=(node_path(node), node),
        new=True,
        lead=f"As soon as {node} has a source, only its sources may send to it.",
    )


def _editing(node: str, name: str) -> Editing:
    return Editing(
        what=f"source {node}/{name}",
        title=name,
        model=Source,
        action=source_path(node, name),
        back=(node_path(node), node),
        delete=to("/gateway/source/delete", node=node, name=name),
        delete_means=f"It may not send to {node} any more; if it is the last source, anyone may.",
        label=f"{node}/source {name}",
    )
