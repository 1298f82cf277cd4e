"""Destinations: added, changed, paused and deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.models import Destination
from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict
from karnak_core.kinds import Kind
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import NODES, destinations
from karnak_plugins.web_console.left_behind import refuse_left_behind, waiting, would_fail
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text
from karnak_plugins.web_console.pages.gateway.destination_form import (
    NATIVE_WORDS,
    WIDGETS,
    groups_of,
    kind_of,
    read_destination,
)
from karnak_plugins.web_console.pages.gateway.paths import destination_path, node_path, to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf
from karnak_plugins.web_console.sop_classes import sop_class_names

router = APIRouter(prefix="/gateway/destination")
#: one click of the list: the key, and what it becomes
SWITCHES = {
    "pause": ("paused", True),
    "resume": ("paused", False),
    "disable": ("enabled", False),
    "enable": ("enabled", True),
}


@router.get("/add")
def new_destination(request: Request, node: str, console: ConsoleOf, type: str = "") -> Response:
    """Ask for the type, then show an empty form."""
    destinations(node).of(to_document(console.configuration))
    if not type:
        return render(request, "gateway/kinds.html", node=node, kinds=console.plugins.destinations.values())
    kind = kind_of(console, type)
    return _shown(request, console, _adding(node, kind), kind, {})


@router.post("/add")
def add_destination(
    request: Request, node: str, type: str, user: CurrentUser, form: Form, console: ConsoleOf
) -> Response:
    """Add a destination."""
    kind, entries = kind_of(console, type), destinations(node)
    return submit(
        request,
        console,
        user,
        form,
        _adding(node, kind, text(form, "name")),
        part=lambda document: node in [NODES.name(one) for one in NODES.of(document)] or None,
        old={},
        change=entries.added,
        place=lambda document: entries.place(document, len(entries.of(document))),
        then=lambda _: node_path(node),
        read=lambda reader: read_destination(reader, kind, {}),
        nodes=lambda entry, errors, made_from: groups_of(console, kind, entry, errors, made_from).all,
        **_around(console, kind),
    )


@router.get("")
def destination_page(request: Request, node: str, name: str, console: ConsoleOf) -> Response:
    """Show a destination."""
    entry = destinations(node).get(to_document(console.configuration), name)
    kind = kind_of(console, str(entry["type"]))
    return _shown(request, console, _editing(console, node, name, kind), kind, entry)


@router.post("")
def change_destination(
    request: Request, node: str, name: str, user: CurrentUser, form: Form, console: ConsoleOf
) -> Response:
    """Change a destination."""
    entries = destinations(node)
    old = before(console, form, lambda document: entries.get(document, name))
    kind = kind_of(console, str(old.get("type") or text(form, "type")))

    def change(document: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        changed = entries.replaced(document, name, new)
        refuse_left_behind(console, document, changed, node)
        return changed

    return submit(
        request,
        console,
        user,
        form,
        _editing(console, node, name, kind),
        part=lambda document: entries.get(document, name),
        old=old,
        change=change,
        place=lambda document: entries.place(document, entries.position(document, name)),
        then=lambda entry: destination_path(node, str(entry["name"])),
        read=lambda reader: read_destination(reader, kind, old),
        nodes=lambda entry, errors, made_from: groups_of(console, kind, entry, errors, made_from).all,
        **_around(console, kind),
    )


@router.post("/switch")
def switch_destination(
    request: Request, node: str, name: str, user: CurrentUser, form: Form, console: ConsoleOf
) -> Response:
    """Pause, resume, enable or disable a destination, whatever else of it has changed."""
    word = text(form, "to")
    if word not in SWITCHES:
        raise ConfigurationError([ConfigProblem(place="to", message=f"is not one of {', '.join(SWITCHES)}")])
    key, value = SWITCHES[word]
    entries = destinations(node)
    applied = console.change(
        lambda document: entries.replaced(document, name, {**entries.get(document, name), key: value}),
        expected_version=None,
        author=user,
        comment=f"{word} destination {node}/{name}"[:255],
        noted=(word, f"destination {node}/{name}"),
    )
    return go(request, destination_path(node, name), "Done." if applied.new else "Nothing had changed.")


@router.post("/delete")
def delete_destination(
    request: Request, node: str, name: str, user: CurrentUser, form: Form, console: ConsoleOf
) -> Response:
    """Remove a destination."""
    entries = destinations(node)
    try:
        remove(
            console,
            user,
            f"destination {node}/{name}",
            lambda document: entries.removed(document, name),
            part=lambda document: entries.get(document, name),
            version=form_version(form),
            label=f"{node}/{name}",
        )
    except Conflict as error:
        said = f"It is not deleted: {error}. Look at it again first."
        return go(request, destination_path(node, name), said, kind="wrong")
    return go(request, node_path(node), f"The destination {name} is deleted.")


def _shown(
    request: Request, console: Console, editing: Editing, kind: Kind[Any, Any], values: dict[str, Any]
) -> Response:
    groups = groups_of(console, kind, values, {})
    return show(request, console, editing, values, nodes=groups.all, **_around(console, kind))


def _around(console: Console, kind: Kind[Any, Any]) -> dict[str, Any]:
    """Return what the page shows besides the fields."""
    further = groups_of(console, kind, {}, {})
    return {
        "kind": kind,
        "main_keys": [node.key for node in further.main],
        "further_keys": [node.key for node in further.further],
        "native_words": NATIVE_WORDS,
        "has_projects": bool(console.configuration.projects),
        "sop_class_names": sop_class_names(),
    }


def _adding(node: str, kind: Kind[Any, Any], name: str = "") -> Editing:
    return Editing(
        what=f"destination {node}/{name}",
        title=f"Add a destination: {kind.summary or kind.name}",
        model=Destination,
        action=to("/gateway/destination/add", node=node, type=kind.name),
        back=(node_path(node), node),
        new=True,
        template="gateway/destination.html",
        widgets=WIDGETS,
    )


def _editing(console: Console, node: str, name: str, kind: Kind[Any, Any]) -> Editing:
    left = would_fail(waiting(console, node, name))
    return Editing(
        what=f"destination {node}/{name}",
        title=name,
        model=Destination,
        action=destination_path(node, name),
        back=(node_path(node), node),
        template="gateway/destination.html",
        widgets=WIDGETS,
        delete=to("/gateway/destination/delete", node=node, name=name),
        delete_means=f"Nothing of {node} goes there any more. {left}".strip(),
        label=f"{node}/{name}",
    )
