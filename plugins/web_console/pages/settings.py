"""Settings: listener, storage, monitoring, clinical log, application entities, and what plugins share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.models import ApplicationEntity, ClinicalLog, Listener, Monitoring, Storage
from karnak_core.errors import NotFound
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console, Document
from karnak_plugins.web_console.entries import APPLICATION_ENTITIES
from karnak_plugins.web_console.merging import Meanwhile
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text
from karnak_plugins.web_console.pages.gateway.paths import to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/settings")
BACK = ("/settings", "Settings")
#: sections of the gateway: the model, the title, and what is to be known besides
SECTIONS: dict[str, tuple[type[BaseModel], str, str]] = {
    "listener": (Listener, "Listener", "Another port or address applies as soon as it is saved; associations go on."),
    "storage": (Storage, "Storage", ""),
    "monitoring": (Monitoring, "Monitoring by programs", "Metrics and health by HTTP."),
    "clinical_log": (
        ClinicalLog,
        "Clinical log",
        "It tells which de-identified instance was which: a file that identifies patients.",
    ),
}
#: sections that may be off
OPTIONAL = frozenset({"monitoring", "clinical_log"})
PLUGIN = "plugins."
TITLES = {"email_notify": "E-mail server", "web_console": "Web console"}


@router.get("")
def settings(request: Request, console: ConsoleOf) -> Response:
    """Show every section."""
    document = to_document(console.configuration)
    sections = [
        (name, title, name not in OPTIONAL or getattr(console.configuration, name) is not None, note)
        for name, (_, title, note) in SECTIONS.items()
    ]
    there = document.get("plugins", {})
    plugins = [
        (f"{PLUGIN}{name}", _title(name), name in there, _summary(model))
        for name, model in console.plugins.sections.items()
    ]
    entities = console.configuration.application_entities
    return render(request, "settings.html", sections=[*sections, *plugins], entities=entities)


@router.get("/section")
def section_page(request: Request, name: str, console: ConsoleOf) -> Response:
    """Show a section."""
    editing = _editing(console, name)
    found = _get(to_document(console.configuration), name)
    return show(request, console, editing, found or {}, **_around(console, name))


@router.post("/section")
def change_section(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change a section; one that was off is on then."""
    old = before(console, form, lambda document: _get(document, name))
    return submit(
        request,
        console,
        user,
        form,
        _editing(console, name),
        part=lambda document: _get(document, name) or {},
        old=old or {},
        change=lambda document, new: _with(document, name, new),
        place=lambda _: name,
        then=lambda _: "/settings",
        **_around(console, name),
    )


@router.post("/section/off")
def remove_section(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Take a section out: what it is about is off, or has its defaults."""
    _editing(console, name)
    remove(
        console,
        user,
        f"settings {name}",
        lambda document: _with(document, name, None),
        part=lambda document: _get(document, name) or {},
        version=form_version(form),
    )
    return go(request, "/settings", "It is off.")


@router.get("/entity/add")
def new_entity(request: Request, console: ConsoleOf) -> Response:
    """Show an empty form."""
    return show(request, console, _adding_entity(), {})


@router.post("/entity/add")
def add_entity(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add an application entity."""
    entries = APPLICATION_ENTITIES
    return submit(
        request,
        console,
        user,
        form,
        _adding_entity(text(form, "ae_title")),
        part=lambda _: True,
        old={},
        change=entries.added,
        place=lambda document: entries.place(document, len(entries.of(document))),
        then=lambda _: "/settings",
    )


@router.get("/entity")
def entity_page(request: Request, name: str, console: ConsoleOf) -> Response:
    """Show an application entity."""
    entry = APPLICATION_ENTITIES.get(to_document(console.configuration), name)
    return show(request, console, _editing_entity(name), entry)


@router.post("/entity")
def change_entity(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change an application entity."""
    entries = APPLICATION_ENTITIES
    return submit(
        request,
        console,
        user,
        form,
        _editing_entity(name),
        part=lambda document: entries.get(document, name),
        old=before(console, form, lambda document: entries.get(document, name)),
        change=lambda document, new: entries.replaced(document, name, new),
        place=lambda document: entries.place(document, entries.position(document, name)),
        then=lambda _: "/settings",
    )


@router.post("/entity/delete")
def delete_entity(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove an application entity."""
    entries = APPLICATION_ENTITIES
    try:
        remove(
            console,
            user,
            f"application entity {name}",
            lambda document: entries.removed(document, name),
            part=lambda document: entries.get(document, name),
            version=form_version(form),
        )
    except Meanwhile as error:
        return go(request, "/settings", f"It is not deleted: {error}.", kind="wrong")
    return go(request, "/settings", f"The application entity {name} is deleted.")


def _get(document: Mapping[str, Any], name: str) -> Any:
    """Return a section of a document; None: it is not there."""
    if name.startswith(PLUGIN):
        return (document.get("plugins") or {}).get(name.removeprefix(PLUGIN))
    return document.get(name)


def _with(document: Document, name: str, section: dict[str, Any] | None) -> Document:
    if name.startswith(PLUGIN):
        plugins = {key: value for key, value in (document.get("plugins") or {}).items() if f"{PLUGIN}{key}" != name}
        if section is not None:
            plugins[name.removeprefix(PLUGIN)] = section
        return {**document, "plugins": plugins}
    others = {key: value for key, value in document.items() if key != name}
    return others if section is None else {**others, name: section}


def _title(plugin: str) -> str:
    return TITLES.get(plugin, plugin)


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _around(console: Console, name: str) -> dict[str, Any]:
    there = _get(to_document(console.configuration), name) is not None
    # without its section the console would go, and nobody could put it back here
    can_go = there and (name in OPTIONAL or (name.startswith(PLUGIN) and name != f"{PLUGIN}web_console"))
    return {"name": name, "can_go": can_go}


def _editing(console: Console, name: str) -> Editing:
    plugin = name.removeprefix(PLUGIN)
    if name in SECTIONS:
        model, title, lead = SECTIONS[name]
    elif name.startswith(PLUGIN) and plugin in console.plugins.sections:
        model, title = console.plugins.sections[plugin], _title(plugin)
        lead = _summary(model)
    else:
        raise NotFound(f"there is no section {name!r}")
    return Editing(
        what=f"settings {name}",
        title=title,
        model=model,
        action=to("/settings/section", name=name),
        back=BACK,
        template="section.html",
        lead=lead,
        label=name,
    )


def _adding_entity(name: str = "") -> Editing:
    return Editing(
        what=f"application entity {name}",
        title="Add an application entity",
        model=ApplicationEntity,
        action="/settings/entity/add",
        back=BACK,
        new=True,
        lead="The address of an AE title, for destinations that use the AE title as host, and for the DICOM tools.",
    )


def _editing_entity(name: str) -> Editing:
    return Editing(
        what=f"application entity {name}",
        title=name,
        model=ApplicationEntity,
        action=to("/settings/entity", name=name),
        back=BACK,
        delete=to("/settings/entity/delete", name=name),
        delete_means="Destinations that use the AE title as host look it up by DNS then.",
        label=f"application entity {name}",
    )
