"""Projects: which profile they have, and the secrets that UIDs, Patient IDs and dates follow from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.config.deidentification import Project
from karnak_core.config.export import to_document
from karnak_core.config.profiles import named
from karnak_core.errors import ConfigurationError, Conflict
from karnak_plugins.web_console import project_secrets, uses
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import PROJECTS
from karnak_plugins.web_console.merging import Meanwhile
from karnak_plugins.web_console.pages.editing import Editing, before, remove, show, submit
from karnak_plugins.web_console.pages.forms import Form, form_version, text, whole_number
from karnak_plugins.web_console.pages.gateway.paths import to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.project_secrets import project_of
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/projects")
BACK = ("/projects", "Projects")


def project_path(name: str) -> str:
    """Return the address of a project's page."""
    return to("/projects/project", name=name)


@router.get("")
def list_projects(request: Request, console: ConsoleOf) -> Response:
    """Show the projects."""
    configuration = console.configuration
    found = [
        (one, named(configuration.profiles, one.profile), uses.of_project(configuration, one.name))
        for one in configuration.projects
    ]
    given = {one.name: project_secrets.given_by(one) for one in configuration.projects}
    return render(request, "projects.html", projects=found, given=given)


@router.get("/add")
def new_project(request: Request, console: ConsoleOf) -> Response:
    """Show an empty form."""
    return show(request, console, _adding(), {"profile": ""})


@router.post("/add")
def add_project(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add a project; it gets a secret at once."""
    return submit(
        request,
        console,
        user,
        form,
        _adding(text(form, "name")),
        part=lambda _: True,
        old={},
        change=PROJECTS.added,
        place=lambda document: PROJECTS.place(document, len(PROJECTS.of(document))),
        then=lambda entry: project_path(str(entry["name"])),
    )


@router.get("/project")
def project_page(request: Request, name: str, console: ConsoleOf) -> Response:
    """Show a project."""
    return _shown(request, console, name)


@router.post("/project")
def change_project(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Give a project another profile."""
    return submit(
        request,
        console,
        user,
        form,
        _editing(project_of(console, name)),
        part=lambda document: PROJECTS.get(document, name),
        old=before(console, form, lambda document: PROJECTS.get(document, name)),
        change=lambda document, new: PROJECTS.replaced(document, name, new),
        place=lambda document: PROJECTS.place(document, PROJECTS.position(document, name)),
        then=lambda _: project_path(name),
        **_around(console, name),
    )


@router.post("/project/delete")
def delete_project(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove a project that no destination uses; its secrets stay, for a project of this name."""
    try:
        uses.refuse_in_use("project", name, uses.of_project(console.configuration, name))
        remove(
            console,
            user,
            f"project {name}",
            lambda document: PROJECTS.removed(document, name),
            part=lambda document: PROJECTS.get(document, name),
            version=form_version(form),
        )
    except (Refused, Meanwhile) as error:
        return go(request, project_path(name), f"It is not deleted: {error}.", kind="wrong")
    return go(request, "/projects", f"The project {name} is deleted.")


@router.post("/secret/generate")
def generate(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Give a project a new random secret."""
    try:
        number = project_secrets.add(console, user, name, None, seen=text(form, "seen"))
    except Conflict as error:
        return _not_changed(request, name, error)
    return go(request, project_path(name), f"Secret {number} is active.")


@router.post("/secret/set")
def set_secret(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Give a project a secret that comes from elsewhere."""
    try:
        written = text(form, "secret")[: project_secrets.LONGEST]
        number = project_secrets.add(console, user, name, written, seen=text(form, "seen"))
    except ConfigurationError as error:
        return _shown(request, console, name, secret_wrong=error.problems[0].message, status=422)
    except Conflict as error:
        return _not_changed(request, name, error)
    return go(request, project_path(name), f"Secret {number} is active.")


@router.post("/secret/activate")
def activate(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Make an older secret the active one."""
    number = whole_number(form, "number") or 0
    try:
        changed = project_secrets.activate(console, user, name, number, seen=text(form, "seen"))
    except Conflict as error:
        return _not_changed(request, name, error)
    said = f"Secret {number} is active." if changed else f"Secret {number} was active already."
    return go(request, project_path(name), said)


@router.post("/secret/show")
def show_secret(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Show a secret, this once."""
    number = whole_number(form, "number") or 0
    shown = project_secrets.reveal(console, user, name, number)
    return _shown(request, console, name, secret_shown=shown, secret_number=number)


def _not_changed(request: Request, name: str, error: Conflict) -> Response:
    return go(request, project_path(name), f"The secret is not changed: {error}.", kind="wrong")


def _shown(request: Request, console: Console, name: str, *, status: int = 200, **more: Any) -> Response:
    entry = PROJECTS.get(to_document(console.configuration), name)
    context = {**_around(console, name), **more}
    answer = show(request, console, _editing(project_of(console, name)), entry, **context)
    answer.status_code = status
    return answer


def _around(console: Console, name: str) -> dict[str, Any]:
    secrets = project_secrets.listed(console, name)
    return {
        "project": project_of(console, name),
        "name": name,
        "used_by": uses.of_project(console.configuration, name),
        "secrets": list(reversed(secrets)),
        "secrets_seen": project_secrets.state_of(secrets),
        "given_by": project_secrets.given_by(project_of(console, name)),
        "meaning": project_secrets.meaning(name),
        "secret_shown": "",
        "secret_number": 0,
        "secret_wrong": "",
    }


def _adding(name: str = "") -> Editing:
    return Editing(
        what=f"project {name}",
        title="Add a project",
        model=Project,
        keep=("secret",),
        action="/projects/add",
        back=BACK,
        new=True,
        lead="A secret is made for it. You can put another one in its place afterwards.",
    )


def _editing(project: Project) -> Editing:
    # another name would be another project, with another secret
    keep: Sequence[str] = ("name",) if project.secret is not None else ("name", "secret")
    return Editing(
        what=f"project {project.name}",
        title=project.name,
        model=Project,
        keep=keep,
        action=project_path(project.name),
        back=BACK,
        template="project.html",
        delete=to("/projects/project/delete", name=project.name),
        delete_means="Its secrets stay, for a project of this name.",
        label=f"project {project.name}",
    )
