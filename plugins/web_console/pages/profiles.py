"""Profiles: uploaded, read, changed, tried out."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from karnak_core.config.export import to_document
from karnak_core.config.profiles import named
from karnak_core.deidentify import Problem, Profile, basic_profile
from karnak_core.errors import ConfigurationError, Misconfigured, NotFound
from karnak_plugins.web_console import tryout, uses
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import CurrentUser, Identity
from karnak_plugins.web_console.api.parts import replace_profile
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import profiles
from karnak_plugins.web_console.merging import Meanwhile, save
from karnak_plugins.web_console.pages.editing import remove
from karnak_plugins.web_console.pages.forms import Form, by_place, checked, form_version, text
from karnak_plugins.web_console.pages.gateway.paths import to
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.profile_text import decoded, elements_of, renamed, wrong_in
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/profiles")
#: rows of a try-out that a page shows
MOST_ROWS: Final = 2000


def profile_path(name: str) -> str:
    """Return the address of a profile's page."""
    return to("/profiles/profile", name=name)


@router.get("")
def list_profiles(request: Request, console: ConsoleOf) -> Response:
    """Show the profiles."""
    return _listed(request, console)


@router.post("")
def add_profile(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add a profile that was uploaded or pasted; nothing is kept where anything is wrong with it."""
    try:
        written = _given(form)
    except ConfigurationError as error:
        return _listed(request, console, status=422, errors=by_place(error))
    wrong = wrong_in(console, written)
    name = profiles(console.plugins).name({"text": written})
    if not wrong and _found(console, name) is not None:
        words = f"there is a profile {name!r} already; change its text, or give this one another name"
        wrong = [Problem(line=1, message=words)]
    if wrong:
        return _listed(request, console, status=422, wrong=wrong, written=written)
    entries = profiles(console.plugins)
    console.change(
        lambda document: entries.added(document, {"text": written}),
        expected_version=None,
        author=user,
        comment=f"add profile {name}"[:255],
        noted=("add", f"profile {name}"),
    )
    return go(request, profile_path(name), f"The profile {name} is added.")


@router.get("/profile")
def profile_page(request: Request, name: str, console: ConsoleOf) -> Response:
    """Show a profile."""
    return _one(request, console, name)


@router.post("/profile")
def change_profile(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change name and version, or the text."""
    entries = profiles(console.plugins)
    old = str(entries.get(to_document(console.configuration), name)["text"])
    wrong: list[Problem] = []
    written = old
    try:
        if "text" in form:
            written = text(form, "text").replace("\r\n", "\n").rstrip("\n") + "\n"
        else:
            written = renamed(
                old, {"name": text(form, "name").strip(), "version": text(form, "profile_version").strip()}
            )
        wrong = wrong_in(console, written)
        if wrong:
            return _one(request, console, name, status=422, wrong=wrong, written=written)
        applied = save(
            console,
            lambda document: replace_profile(console, document, name, {"text": written}),
            lambda document: entries.get(document, name),
            version=form_version(form),
            author=user,
            comment=f"change profile {name}"[:255],
            noted=("change", f"profile {name}"),
            label=f"profile {name}",
        )
    except ConfigurationError as error:
        return _one(request, console, name, status=422, errors=by_place(error), written=written)
    except Meanwhile as error:
        if error.gone:
            raise
        return _one(request, console, name, status=409, meanwhile=error, written=written)
    new = entries.name({"text": written})
    return go(request, profile_path(new), "Saved." if applied.new else "Nothing had changed.")


@router.get("/profile/download")
def download(name: str, console: ConsoleOf) -> Response:
    """Return the text as a file."""
    found = _text(console, name)
    if found is None:
        raise NotFound(f"the profile {name!r} is built in; it has no file")
    attachment = f"attachment; filename*=UTF-8''{quote(name, safe='')}.yml"
    return Response(found, media_type="application/yaml", headers={"Content-Disposition": attachment})


@router.post("/profile/delete")
def delete_profile(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove a profile that no project uses."""
    entries = profiles(console.plugins)
    try:
        uses.refuse_in_use("profile", name, uses.of_profile(console.configuration, name))
        remove(
            console,
            user,
            f"profile {name}",
            lambda document: entries.removed(document, name),
            part=lambda document: entries.get(document, name),
            version=form_version(form),
        )
    except (Refused, Meanwhile) as error:
        return go(request, profile_path(name), f"It is not deleted: {error}.", kind="wrong")
    return go(request, "/profiles", f"The profile {name} is deleted.")


@router.post("/profile/try")
def try_profile(request: Request, name: str, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Show what the profile does to a file, which is not kept."""
    return _tried(request, console, user, form, name)


def _tried(request: Request, console: Console, user: Identity, form: Form, name: str) -> Response:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        return _one(request, console, name, status=422, errors={"file": "choose a DICOM file"})
    shown = checked(form, "values")
    if shown:
        audit(console, user, "look at", f"values of a file, profile {name}", "try-out of a profile")
    try:
        tried = tryout.try_out(
            console,
            user,
            file.file,
            profile=name,
            project=text(form, "project"),
            morph=checked(form, "morph"),
            show_values=shown,
        )
    except Misconfigured as error:
        return _one(request, console, name, status=422, errors={"project": error.reason})
    return _one(
        request,
        console,
        name,
        tried=tried,
        tried_words=tryout.told(tried),
        rows=tried.rows[:MOST_ROWS],
        chosen=text(form, "project"),
    )


def _given(form: Form) -> str:
    file = form.get("file")
    if isinstance(file, UploadFile) and file.filename:
        return decoded(file.file.read((1 << 20) + 1))
    return decoded(text(form, "text").encode("utf-8", "replace"))


def _found(console: Console, name: str) -> Profile | None:
    try:
        return named(console.configuration.profiles, name)
    except KeyError:
        return None


def _text(console: Console, name: str) -> str | None:
    """Return the text of a profile; None: it is the built-in one. Raises NotFound."""
    if name == basic_profile().name:
        return None
    return str(profiles(console.plugins).get(to_document(console.configuration), name)["text"])


def _listed(request: Request, console: Console, *, status: int = 200, **more: Any) -> Response:
    configuration = console.configuration
    found = [basic_profile(), *(entry.profile for entry in configuration.profiles)]
    context: dict[str, Any] = {
        "profiles": [(one, uses.of_profile(configuration, one.name)) for one in found],
        "built_in": basic_profile().name,
        "wrong": [],
        "written": "",
        "errors": {},
    }
    return render(request, "profiles.html", status=status, **{**context, **more})


def _one(request: Request, console: Console, name: str, *, status: int = 200, **more: Any) -> Response:
    stored = _text(console, name)
    profile = _found(console, name)
    meanwhile = more.get("meanwhile")
    context: dict[str, Any] = {
        "profile": profile,
        "name": name,
        "stored": stored,
        "elements": elements_of(stored) if stored else [],
        "used_by": uses.of_profile(console.configuration, name),
        "projects": {"": "none: a secret that is made up and forgotten"}
        | {one.name: one.name for one in console.configuration.projects},
        "wrong": [],
        "written": stored or "",
        "errors": {},
        "meanwhile": None,
        "tried": None,
        "chosen": "",
        "rows": (),
        "form_version": meanwhile.version if meanwhile else console.version,
        "action": profile_path(name),
    }
    return render(request, "profile.html", status=status, **{**context, **more})
