"""The configuration as a whole: got, planned, applied, its history, and the kinds that it can be made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, Field
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from karnak_core.config import store, yaml_text
from karnak_core.config.afterwards import FollowUp, Notification
from karnak_core.config.deidentification import PseudonymSource
from karnak_core.config.export import to_document
from karnak_core.config.models import Authenticator, Configuration, Destination
from karnak_core.config.parts import Part
from karnak_core.kinds import Kind
from karnak_core.spool.views import iso
from karnak_plugins.web_console import whole
from karnak_plugins.web_console.api.changing import (
    RESPONSES,
    Change,
    Changes,
    Comment,
    Reads,
    Version,
    change,
    given,
    now,
)
from karnak_plugins.web_console.masks import masked
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, Page, PagingOf, tag

router = APIRouter(tags=["configuration"], responses=RESPONSES)
YAML = "application/yaml"
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "a configuration as in a file, with the texts of profiles; a secret that was got masked is kept",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            YAML: {"schema": {"type": "string"}},
        },
    }
}


async def _whole(request: Request) -> dict[str, Any]:
    body = await request.body()
    if "yaml" in request.headers.get("Content-Type", "").lower():
        return whole.read(body)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON; YAML needs the Content-Type application/yaml") from None
    if not isinstance(found, dict):
        raise Refused(422, "the body is not an object of the keys of a configuration")
    return whole.without_paths(found)


Whole = Annotated[dict[str, Any], Depends(_whole)]


class VersionOut(BaseModel):
    """A version of the configuration."""

    number: int
    created_at: str
    author: str
    comment: str
    changes: list[str] = Field(description="one line each: + added, - removed, ~ changed")


class Plan(BaseModel):
    """What applying would change."""

    version: int = Field(description="of the configuration that applies")
    changes: list[str] = Field(description="one line each; none: nothing would change")


class KindOut(BaseModel):
    """A type that a plugin offers."""

    name: str
    summary: str
    keys: dict[str, Any] | None = Field(description="JSON schema of its own keys; null: there is none for them")


class KindsOut(BaseModel):
    """The kinds of one section."""

    common: dict[str, Any] | None = Field(description="JSON schema of the keys that all of them have")
    kinds: list[KindOut]


@router.get("/configuration", responses={200: {"content": {YAML: {"schema": {"type": "string"}}}}}, response_model=None)
def get_configuration(
    _user: Reads,
    console: ConsoleOf,
    accept: Annotated[str, Header(description="application/yaml, or application/json")] = "application/json",
) -> Response | dict[str, Any]:
    """Return the configuration that applies; secrets are masked, and kept where it is sent back like this."""
    headers = {"ETag": f'"v{console.version}"', "Vary": "Accept"}
    document = masked(now(console))
    if "yaml" in accept.lower():
        return Response(yaml_text.write(document), media_type=YAML, headers=headers)
    return whole.json_answer(document, headers)


@router.put("/configuration", openapi_extra=_BODY)
def put_configuration(
    user: Changes, body: Whole, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> Change:
    """Apply a whole configuration, as `karnak apply` does."""
    make = lambda document: given(body, document, "")  # noqa: E731
    applied = change(console, user, response, "apply configuration", make, version, comment)
    return Change(version=applied.version, changes=list(applied.changes), new=applied.new)


@router.post("/configuration/plan", openapi_extra=_BODY)
def plan_configuration(_user: Changes, body: Whole, response: Response, console: ConsoleOf) -> Plan:
    """Say what applying a whole configuration would change, as `karnak plan` does."""
    tag(response, console)
    return Plan(version=console.version, changes=whole.plan(console, given(body, now(console), "")))


@router.get("/configuration/history")
def list_versions(_user: Reads, paging: PagingOf, console: ConsoleOf) -> Page[VersionOut]:
    """List the versions, the newest first."""
    found = store.history(console.database, before=paging.number(), limit=paging.limit + 1)
    shown = found[: paging.limit]
    items = [
        VersionOut(**{**vars(one), "created_at": iso(one.created_at), "changes": list(one.changes)}) for one in shown
    ]
    return Page(items=items, next=str(shown[-1].number) if len(found) > len(shown) else None)


@router.get("/configuration/versions/{number}")
def get_version(number: Number, _user: Reads, console: ConsoleOf) -> dict[str, Any]:
    """Return the configuration of a version; secrets are masked."""
    found: dict[str, Any] = masked(to_document(store.version(console.database, console.plugins, number)))
    return found


@router.post("/configuration/rollback/{number}")
def roll_back(
    number: Number, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> Change:
    """Make an earlier version apply again, as a new one."""
    applied = console.roll_back(number, expected_version=version, author=user, comment=comment)
    tag(response, console)
    return Change(version=applied.version, changes=list(applied.changes), new=applied.new)


@router.get("/kinds")
def list_kinds(_user: Reads, console: ConsoleOf) -> dict[str, KindsOut]:
    """Return the types of everything that has types, with JSON schemas of their keys, for forms and for checks."""
    plugins = console.plugins
    found: dict[str, tuple[type[Part] | None, Mapping[str, Kind[Any, Any]]]] = {
        "destinations": (Destination, plugins.destinations),
        "authenticators": (Authenticator, plugins.authenticators),
        "pseudonym_sources": (PseudonymSource, plugins.pseudonym_sources),
        "follow_ups": (FollowUp, plugins.follow_ups),
        "notifications": (Notification, plugins.notifiers),
    }
    kinds = {
        name: KindsOut(
            common=_schema(common) if common else None,
            kinds=[KindOut(name=kind.name, summary=kind.summary, keys=_schema(kind.config)) for kind in some.values()],
        )
        for name, (common, some) in found.items()
    }
    sections = [KindOut(name=name, summary="", keys=_schema(model)) for name, model in plugins.sections.items()]
    return {**kinds, "plugins": KindsOut(common=None, kinds=sections), "configuration": _of_all()}


def _of_all() -> KindsOut:
    return KindsOut(common=_schema(Configuration), kinds=[])


def _schema(model: type[BaseModel]) -> dict[str, Any] | None:
    try:
        return model.model_json_schema()
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        # a third party's key that has none
        return None
