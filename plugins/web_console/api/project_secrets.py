"""The secrets of projects: which ones there are, new ones, older ones again; shown to who may see them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.projects.rows import StoredSecret
from karnak_core.spool.views import iso
from karnak_plugins.web_console import project_secrets
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.api.changing import RESPONSES, Changes, Reads
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.resources import ConsoleOf, SeenState, tag_state

router = APIRouter(tags=["configuration"], prefix="/projects/{project:path}/secrets")
Name = Annotated[str, Path(description="name of the project")]
Number = Annotated[int, Path(ge=1, le=2**31, description="from 1, the oldest first")]
Secrets = Annotated[Identity, Depends(require_scope("secrets"))]


class SecretOut(BaseModel):
    """A secret of a project, without itself."""

    number: int
    active: bool
    created_at: str
    created_by: str
    active_since: str | None
    active_by: str | None
    active_until: str | None


class NewSecret(BaseModel):
    """A secret to become the active one."""

    model_config = ConfigDict(extra="forbid")

    secret: str | None = Field(default=None, max_length=64, description="32 hex digits; null: a random one is made")


class ShownSecret(BaseModel):
    """A secret itself."""

    number: int
    secret: str = Field(description="32 hex digits")


@router.get("")
def list_secrets(project: Name, _user: Reads, console: ConsoleOf, response: Response) -> list[SecretOut]:
    """List the secrets that a project has and had; never what they are."""
    return [_out(entry) for entry in _listed(console, project, response)]


@router.post("", status_code=201, responses=RESPONSES)
def add_secret(
    project: Name, new: NewSecret, user: Changes, console: ConsoleOf, seen: SeenState, response: Response
) -> SecretOut:
    """Make another secret the active one: the same patients get other UIDs, Patient IDs and dates from then on."""
    number = project_secrets.add(console, user, project, new.secret, seen=seen)
    return _out(_listed(console, project, response)[number - 1])


@router.post("/{number}/activate", responses=RESPONSES)
def activate_secret(
    project: Name, number: Number, user: Changes, console: ConsoleOf, seen: SeenState, response: Response
) -> SecretOut:
    """Make a secret that the project had before the active one again."""
    project_secrets.activate(console, user, project, number, seen=seen)
    return _out(_listed(console, project, response)[number - 1])


@router.post("/{number}/reveal")
def reveal_secret(project: Name, number: Number, user: Secrets, console: ConsoleOf) -> ShownSecret:
    """Return a secret itself; who asks is written down."""
    return ShownSecret(number=number, secret=project_secrets.reveal(console, user, project, number))


def _listed(console: Console, project: str, response: Response) -> list[StoredSecret]:
    found = project_secrets.listed(console, project)
    tag_state(response, project_secrets.state_of(found))
    return found


def _out(entry: StoredSecret) -> SecretOut:
    return SecretOut(
        number=entry.number,
        active=entry.active_since is not None,
        created_at=str(iso(entry.created_at)),
        created_by=entry.created_by,
        active_since=iso(entry.active_since),
        active_by=entry.active_by,
        active_until=iso(entry.active_until),
    )
