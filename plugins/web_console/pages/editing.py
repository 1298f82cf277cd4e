"""Forms of entries of the configuration: shown, read, applied, or shown again with what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.models import Configuration
from karnak_core.config.profiles import named
from karnak_core.deidentify import basic_profile
from karnak_core.errors import ConfigurationError, NotFound
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.console import Console, Document
from karnak_plugins.web_console.forms.building import Builder
from karnak_plugins.web_console.forms.nodes import Node, told
from karnak_plugins.web_console.forms.reading import Reader
from karnak_plugins.web_console.forms.shapes import Widget
from karnak_plugins.web_console.merging import Meanwhile, at, save
from karnak_plugins.web_console.pages.forms import Form, by_place, form_version
from karnak_plugins.web_console.pages.rendering import go, render

#: of a document, the part that is looked at; raises NotFound where it is gone
PartOf = Callable[[Mapping[str, Any]], Any]
PlaceOf = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class Editing:
    """One entry that is looked at or added, and what its page shows besides the fields."""

    #: what the audit trail and the history call it, such as ``destination FORWARD/pacs``
    what: str
    title: str
    #: of the model's fields; keys that it does not have are left alone
    model: type[BaseModel]
    #: where the form is sent to
    action: str
    #: of the page to go back to, and its name
    back: tuple[str, str]
    #: true: it is to be added
    new: bool = False
    #: keys that the form does not show; they stay
    keep: Sequence[str] = ()
    template: str = "configured.html"
    widgets: Mapping[str, Widget] | None = None
    #: where a form that deletes it is sent to; empty: it cannot be
    delete: str = ""
    #: what deleting it means
    delete_means: str = ""
    lead: str = ""
    #: what lines about it begin with in a plan
    label: str = ""


def fields_of(
    console: Console,
    editing: Editing,
    values: Mapping[str, Any],
    errors: Mapping[str, str],
    made_from: Mapping[str, str] | None = None,
) -> tuple[Node, ...]:
    """Return the fields of the form."""
    builder = Builder(
        plugins=console.plugins,
        names=names_of(console.configuration),
        errors=errors,
        made_from=made_from,
        widgets=editing.widgets or {},
    )
    return builder.fields(editing.model, values, without=editing.keep)


def show(
    request: Request,
    console: Console,
    editing: Editing,
    values: Mapping[str, Any],
    *,
    errors: Mapping[str, str] | None = None,
    meanwhile: Meanwhile | None = None,
    made_from: Mapping[str, str] | None = None,
    nodes: Sequence[Node] | None = None,
    version: int | None = None,
    **more: Any,
) -> Response:
    """Return the page with the form."""
    if nodes is None:
        nodes = fields_of(console, editing, values, errors or {}, made_from)
    return render(
        request,
        editing.template,
        status=422 if errors else 409 if meanwhile else 200,
        editing=editing,
        nodes=nodes,
        by_key={node.key: node for node in nodes},
        told=told(nodes, errors or {}),
        meanwhile=meanwhile,
        form_version=console.version if version is None else version,
        **more,
    )


def before(console: Console, form: Form, part: PartOf) -> Any:
    """Return the part as it was when the form was made; nothing where it was not there."""
    then = at(console, form_version(form))
    try:
        return part(to_document(then)) if then else {}
    except NotFound:
        return {}


def submit(
    request: Request,
    console: Console,
    user: Identity,
    form: Form,
    editing: Editing,
    *,
    part: PartOf,
    old: Mapping[str, Any],
    change: Callable[[Document, dict[str, Any]], Document],
    place: PlaceOf,
    then: Callable[[dict[str, Any]], str],
    read: Callable[[Reader], dict[str, Any]] | None = None,
    nodes: Callable[[Mapping[str, Any], Mapping[str, str], Mapping[str, str]], Sequence[Node]] | None = None,
    **more: Any,
) -> Response:
    """Apply what a form sent, and go on; or show the form again with what is wrong.

    Parameters
    ----------
    part
        What was looked at: of somebody else's change of it nothing is lost.
    old
        The entry when the form was made.
    change
        Puts the new entry into a document.
    place
        Returns where the entry stands, or will stand, in a document, as messages name it.
    then
        Returns the path of the next page, of the new entry.
    """
    reader = Reader(form=form, plugins=console.plugins, widgets=editing.widgets or {})
    entry = read(reader) if read else reader.read(editing.model, old, without=editing.keep)
    kept = {key: old[key] for key in editing.keep if key in old}
    version = form_version(form)
    errors: Mapping[str, str] = {}
    meanwhile = None
    word = "add" if editing.new else "change"
    try:
        applied = save(
            console,
            lambda document: change(document, {**entry, **kept}),
            part,
            version=version,
            author=user,
            comment=f"{word} {editing.what}"[:255],
            noted=(word, editing.what),
            label=editing.label,
        )
    except ConfigurationError as error:
        errors = by_place(error, place(to_document(console.configuration)))
    except Meanwhile as error:
        meanwhile, version = error, error.version
    else:
        said = "Nothing had changed." if not applied.new else "Saved."
        return go(request, then(entry), said, kind="done" if applied.new else "note")
    return show(
        request,
        console,
        editing,
        entry,
        errors=errors,
        meanwhile=meanwhile,
        made_from=reader.made_from,
        nodes=nodes(entry, errors, reader.made_from) if nodes else None,
        version=version,
        **more,
    )


def names_of(configuration: Configuration) -> dict[str, dict[str, str]]:
    """Return what exists of each section that keys name entries of, with texts for people."""
    projects = {}
    for project in configuration.projects:
        profile = named(configuration.profiles, project.profile)
        version = f" {profile.version}" if profile.version else ""
        projects[project.name] = f"{project.name} (profile {profile.name}{version})"
    profiles = [basic_profile().name, *(entry.name for entry in configuration.profiles)]
    return {
        "authenticators": {
            name: f"{name} ({authenticator.type})" for name, authenticator in configuration.authenticators.items()
        },
        "projects": projects,
        "profiles": {name: name for name in profiles},
    }


def remove(
    console: Console,
    user: Identity,
    what: str,
    change: Callable[[Document], Document],
    *,
    part: PartOf,
    version: int,
    label: str = "",
) -> None:
    """Take an entry out of the configuration; raises Meanwhile and ConfigurationError."""
    save(
        console,
        change,
        part,
        version=version,
        author=user,
        comment=f"delete {what}"[:255],
        noted=("delete", what),
        label=label,
    )
