"""The other lists of the configuration: application entities, authenticators, profiles, projects; and the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from karnak_core.config.models import Configuration
from karnak_core.deidentify import basic_profile
from karnak_core.errors import ConfigProblem, ConfigurationError, NotFound
from karnak_plugins.web_console import uses
from karnak_plugins.web_console.api.changing import (
    RESPONSES,
    Change,
    Changes,
    Comment,
    Keys,
    Reads,
    Version,
    change,
    given,
    now,
)
from karnak_plugins.web_console.console import Console, Document
from karnak_plugins.web_console.entries import APPLICATION_ENTITIES, AUTHENTICATORS, PROJECTS, Entries, profiles
from karnak_plugins.web_console.masks import masked
from karnak_plugins.web_console.resources import ConsoleOf, tag

router = APIRouter(tags=["configuration"], responses=RESPONSES)
Name = Annotated[str, Path(description="its name")]
#: sections that are there once
SETTINGS = ("listener", "storage", "monitoring", "clinical_log", "plugins")


class ProfileOut(BaseModel):
    """A profile."""

    name: str
    version: str
    elements: list[str] = Field(description="codenames, in their order")
    used_by: list[str] = Field(description="projects")
    built_in: bool


class ProfileText(BaseModel):
    """A profile with its text; null: it is the built-in one."""

    profile: ProfileOut
    text: str | None


def _routes(
    path: str,
    what: str,
    entries: Callable[[Console], Entries],
    used_by: Callable[[Configuration, str], list[str]] = lambda _configuration, _name: [],
) -> None:
    """Have the operations on one list."""

    def list_all(_user: Reads, response: Response, console: ConsoleOf) -> list[dict[str, Any]]:
        tag(response, console)
        found: list[dict[str, Any]] = masked(entries(console).of(now(console)))
        return found

    def add(
        body: Keys, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
    ) -> dict[str, Any]:
        there = entries(console)
        name = there.name(body)

        def make(document: Document) -> Document:
            return there.added(document, given(body, None, there.place(document, len(there.of(document)))))

        change(console, user, response, f"add {what} {name}", make, version, comment)
        return get(name, user, response, console)

    def get(name: Name, _user: Reads, response: Response, console: ConsoleOf) -> dict[str, Any]:
        tag(response, console)
        found: dict[str, Any] = masked(entries(console).get(now(console), name))
        return found

    def put(
        name: Name,
        body: Keys,
        user: Changes,
        response: Response,
        console: ConsoleOf,
        version: Version,
        comment: Comment = "",
    ) -> dict[str, Any]:
        there = entries(console)

        def make(document: Document) -> Document:
            position = there.position(document, name)
            new = given(body, there.of(document)[position], there.place(document, position))
            return there.replaced(document, name, new)

        change(console, user, response, f"change {what} {name}", make, version, comment)
        return get(there.name(body), user, response, console)

    def delete(
        name: Name, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
    ) -> None:
        there = entries(console)
        there.get(now(console), name)
        uses.refuse_in_use(what, name, used_by(console.configuration, name))
        make = lambda document: there.removed(document, name)  # noqa: E731
        change(console, user, response, f"delete {what} {name}", make, version, comment)

    article = "an" if what[0] in "aeiou" else "a"
    several = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    key = what.replace(" ", "_")
    plural = several.replace(" ", "_")
    one = f"{path}/{{name:path}}"
    router.get(path, name=f"list_{plural}", description=f"List the {several}.")(list_all)
    router.post(path, name=f"add_{key}", status_code=201, description=f"Add {article} {what}.")(add)
    router.get(one, name=f"get_{key}", description=f"Return {article} {what}.")(get)
    router.put(one, name=f"put_{key}", description=f"Change {article} {what}.")(put)
    router.delete(one, name=f"delete_{key}", status_code=204, description=f"Remove {article} {what}; not in use.")(
        delete
    )


_routes("/application-entities", "application entity", lambda _console: APPLICATION_ENTITIES)
_routes("/projects", "project", lambda _console: PROJECTS, uses.of_project)


# ---- profiles: their text is what counts ----


@router.get("/profiles")
def list_profiles(_user: Reads, response: Response, console: ConsoleOf) -> list[ProfileOut]:
    """List the profiles, the built-in one too."""
    tag(response, console)
    found = [basic_profile(), *(entry.profile for entry in console.configuration.profiles)]
    return [_profile_out(console, profile) for profile in found]


@router.post("/profiles", status_code=201)
def add_profile(
    body: Keys, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> ProfileText:
    """Add a profile: {"text": the YAML}. Nothing is kept where anything is wrong with it; errors say the lines."""
    entries, new = profiles(console.plugins), _profile_text(body)
    name = entries.name(new)
    make = lambda document: entries.added(document, new)  # noqa: E731
    change(console, user, response, f"add profile {name}", make, version, comment)
    return get_profile(name, user, response, console)


@router.get("/profiles/{name:path}")
def get_profile(name: Name, _user: Reads, response: Response, console: ConsoleOf) -> ProfileText:
    """Return a profile with its text."""
    tag(response, console)
    if name == basic_profile().name:
        return ProfileText(profile=_profile_out(console, basic_profile()), text=None)
    for entry in console.configuration.profiles:
        if entry.name == name:
            return ProfileText(profile=_profile_out(console, entry.profile), text=entry.text)
    raise NotFound(f"there is no profile {name!r}")


@router.put("/profiles/{name:path}")
def put_profile(
    name: Name,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> ProfileText:
    """Change a profile: {"text": the YAML}. With another name in it, projects that use it follow."""
    new = _profile_text(body)
    make = lambda document: replace_profile(console, document, name, new)  # noqa: E731
    change(console, user, response, f"change profile {name}", make, version, comment)
    return get_profile(profiles(console.plugins).name(new), user, response, console)


@router.delete("/profiles/{name:path}", status_code=204)
def delete_profile(
    name: Name, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> None:
    """Remove a profile; not in use."""
    entries = profiles(console.plugins)
    entries.get(now(console), name)
    uses.refuse_in_use("profile", name, uses.of_profile(console.configuration, name))
    make = lambda document: entries.removed(document, name)  # noqa: E731
    change(console, user, response, f"delete profile {name}", make, version, comment)


def replace_profile(console: Console, document: Document, name: str, new: dict[str, Any]) -> Document:
    """Return the document with another text for a profile; projects follow to its new name."""
    entries = profiles(console.plugins)
    changed = entries.replaced(document, name, new)
    renamed = entries.name(new)
    if renamed and renamed != name and "projects" in changed:
        projects = [{**one, "profile": renamed} if one.get("profile") == name else one for one in changed["projects"]]
        changed = {**changed, "projects": projects}
    return changed


def _profile_text(body: dict[str, Any]) -> dict[str, Any]:
    text = body.get("text")
    if body.keys() != {"text"} or not isinstance(text, str):
        # a path would be one of the gateway's machine
        raise ConfigurationError([ConfigProblem(place="text", message="is missing, or something else is there, too")])
    return given({"text": text.replace("\r\n", "\n")}, None, "")


def _profile_out(console: Console, profile: Any) -> ProfileOut:
    return ProfileOut(
        name=profile.name,
        version=profile.version,
        elements=list(profile.codenames),
        used_by=[one.name for one in console.configuration.projects if one.profile == profile.name],
        built_in=profile.name == basic_profile().name,
    )


# ---- authenticators: by name ----


@router.get("/authenticators")
def list_authenticators(_user: Reads, response: Response, console: ConsoleOf) -> dict[str, dict[str, Any]]:
    """List the authenticators by name."""
    tag(response, console)
    found: dict[str, dict[str, Any]] = masked(AUTHENTICATORS.of(now(console)))
    return found


@router.get("/authenticators/{name}")
def get_authenticator(name: Name, _user: Reads, response: Response, console: ConsoleOf) -> dict[str, Any]:
    """Return an authenticator."""
    tag(response, console)
    found: dict[str, Any] = masked(AUTHENTICATORS.get(now(console), name))
    return found


@router.put("/authenticators/{name}")
def put_authenticator(
    name: Name,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> dict[str, Any]:
    """Add or change an authenticator."""
    word = "change" if name in AUTHENTICATORS.of(now(console)) else "add"

    def make(document: Document) -> Document:
        there = AUTHENTICATORS.of(document)
        new = given(body, there.get(name), f"authenticators.{name}")
        return {**document, "authenticators": {**there, name: new}}

    change(console, user, response, f"{word} authenticator {name}", make, version, comment)
    return get_authenticator(name, user, response, console)


@router.delete("/authenticators/{name}", status_code=204)
def delete_authenticator(
    name: Name, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> None:
    """Remove an authenticator; not in use."""
    AUTHENTICATORS.get(now(console), name)
    uses.refuse_in_use("authenticator", name, uses.of_authenticator(console.configuration, name))
    make = lambda document: AUTHENTICATORS.removed(document, name)  # noqa: E731
    change(console, user, response, f"delete authenticator {name}", make, version, comment)


# ---- what is there once ----


@router.get("/settings")
def get_settings(_user: Reads, response: Response, console: ConsoleOf) -> dict[str, Any]:
    """Return listener, storage, monitoring, clinical log, and the sections of plugins."""
    tag(response, console)
    document = now(console)
    found: dict[str, Any] = masked({name: document[name] for name in SETTINGS if name in document})
    return found


@router.put("/settings")
def put_settings(
    body: Keys, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> Change:
    """Change the settings; sections that are left out get their defaults."""
    unknown = [ConfigProblem(place=key, message=f"unknown key; known: {', '.join(SETTINGS)}") for key in body]
    wrong = [problem for problem in unknown if problem.place not in SETTINGS]
    if wrong:
        raise ConfigurationError(wrong)

    def make(document: Document) -> Document:
        others = {key: value for key, value in document.items() if key not in SETTINGS}
        return {**others, **given(body, document, "")}

    applied = change(console, user, response, "change settings", make, version, comment)
    return Change(version=applied.version, changes=list(applied.changes), new=applied.new)
