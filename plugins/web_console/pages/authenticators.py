"""Authenticators: how requests to somebody are authorized; added, changed, tested, deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.names import NAME
from karnak_core.deliver.contexts import Contexts
from karnak_core.errors import ConfigProblem, ConfigurationError, DeliveryError, NotFound
from karnak_core.kinds import Kind
from karnak_plugins.web_console import uses
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console, Document
from karnak_plugins.web_console.entries import AUTHENTICATORS
from karnak_plugins.web_console.merging import Meanwhile
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text
from karnak_plugins.web_console.pages.gateway.paths import to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/authenticators")
BACK = ("/authenticators", "Authenticators")


def authenticator_path(name: str) -> str:
    """Return the address of an authenticator's page."""
    return to("/authenticators/authenticator", name=name)


@router.get("")
def list_authenticators(request: Request, console: ConsoleOf) -> Response:
    """Show the authenticators."""
    configuration = console.configuration
    found = [
        (name, one, uses.of_authenticator(configuration, name)) for name, one in configuration.authenticators.items()
    ]
    return render(request, "authenticators.html", authenticators=found, kinds=console.plugins.authenticators.values())


@router.get("/add")
def new_authenticator(request: Request, type: str, console: ConsoleOf) -> Response:
    """Show an empty form of a type."""
    return show(request, console, _adding(_kind(console, type)), {}, **_around("", None))


@router.post("/add")
def add_authenticator(request: Request, type: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add an authenticator."""
    kind, name = _kind(console, type), text(form, "authenticator_name").strip()

    def change(document: Document, new: dict[str, Any]) -> Document:
        if not NAME.fullmatch(name):
            words = f"{name!r} is not 1 to 64 letters, digits, underscores, dots or hyphens"
            raise ConfigurationError([ConfigProblem(place="authenticator_name", message=words)])
        if name in AUTHENTICATORS.of(document):
            words = f"{name!r} is there already"
            raise ConfigurationError([ConfigProblem(place="authenticator_name", message=words)])
        return AUTHENTICATORS.added(document, name, {"type": kind.name, **new})

    return submit(
        request,
        console,
        user,
        form,
        _adding(kind, name),
        part=lambda _: True,
        old={},
        change=change,
        place=lambda _: f"authenticators.{name}",
        then=lambda _: authenticator_path(name),
        **_around(name, None),
    )


@router.get("/authenticator")
def authenticator_page(request: Request, name: str, console: ConsoleOf) -> Response:
    """Show an authenticator."""
    entry = AUTHENTICATORS.get(to_document(console.configuration), name)
    kind = _kind(console, str(entry["type"]))
    return show(request, console, _editing(name, kind), entry, **_around(name, console))


@router.post("/authenticator")
def change_authenticator(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change an authenticator."""
    old = before(console, form, lambda document: AUTHENTICATORS.get(document, name))
    kind = _kind(console, str(old.get("type") or text(form, "type")))
    return submit(
        request,
        console,
        user,
        form,
        _editing(name, kind),
        part=lambda document: AUTHENTICATORS.get(document, name),
        old=old,
        change=lambda document, new: AUTHENTICATORS.replaced(document, name, {"type": kind.name, **new}),
        place=lambda _: f"authenticators.{name}",
        then=lambda _: authenticator_path(name),
        **_around(name, console),
    )


@router.post("/authenticator/test")
def test_authenticator(request: Request, name: str, user: CurrentUser, console: ConsoleOf) -> Response:
    """Ask an authenticator for headers, and say whether it has any; never which."""
    AUTHENTICATORS.get(to_document(console.configuration), name)
    audit(console, user, "test", f"authenticator {name}")
    contexts = Contexts(console.plugins, console.vault, console.data_directory)
    try:
        headers = contexts.of(console.configuration, "", "").authenticators[name].headers(refresh=True)
    except DeliveryError as error:
        return go(request, authenticator_path(name), f"It does not work: {error.reason}", kind="wrong")
    finally:
        contexts.close_all_but(None)
    said = f"It works: it gives {', '.join(headers)}." if headers else "It works, and gives no header."
    return go(request, authenticator_path(name), said)


@router.post("/authenticator/delete")
def delete_authenticator(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove an authenticator that nothing uses."""
    try:
        uses.refuse_in_use("authenticator", name, uses.of_authenticator(console.configuration, name))
        remove(
            console,
            user,
            f"authenticator {name}",
            lambda document: AUTHENTICATORS.removed(document, name),
            part=lambda document: AUTHENTICATORS.get(document, name),
            version=form_version(form),
        )
    except (Refused, Meanwhile) as error:
        return go(request, authenticator_path(name), f"It is not deleted: {error}.", kind="wrong")
    return go(request, "/authenticators", f"The authenticator {name} is deleted.")


def _kind(console: Console, name: str) -> Kind[Any, Any]:
    kind = console.plugins.authenticators.get(name)
    if kind is None:
        raise NotFound(
            f"there is no type of authenticators {name!r}; known: {', '.join(console.plugins.authenticators)}"
        )
    return kind


def _around(name: str, console: Console | None) -> dict[str, Any]:
    used = uses.of_authenticator(console.configuration, name) if console else []
    return {"name": name, "used_by": used}


def _adding(kind: Kind[Any, Any], name: str = "") -> Editing:
    return Editing(
        what=f"authenticator {name}",
        title=f"Add an authenticator: {kind.summary or kind.name}",
        model=kind.config,
        action=to("/authenticators/add", type=kind.name),
        back=BACK,
        new=True,
        template="authenticator.html",
    )


def _editing(name: str, kind: Kind[Any, Any]) -> Editing:
    return Editing(
        what=f"authenticator {name}",
        title=name,
        model=kind.config,
        action=authenticator_path(name),
        back=BACK,
        template="authenticator.html",
        lead=kind.summary,
        delete=to("/authenticators/authenticator/delete", name=name),
        delete_means="Nothing uses it.",
        label=f"authenticator {name}",
    )
