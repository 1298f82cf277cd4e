"""The secrets of projects: which ones there are, new ones, older ones again; shown to who may see them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.projects.rows import StoredSecret
from karnak_plugins.web_console import project_secrets
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.api.changing import Changes, Reads
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(tags=["configuration"], prefix="/projects/{project:path}/secrets")
Name = Annotated[str, Path(description="name of the project")]
Number = Annotated[int, Path(ge=1, le=2**31, description="from 1, the oldest first")]
Secrets = Annotated[Identity, Depends(require_scope("secrets"))]


class SecretOut(BaseModel):
    """A secret of a project, without itself. Times are milliseconds since 1970-01-01 UTC."""

    number: int
    active: bool
    created_at: int
    created_by: str
    active_since: int | None
    active_by: str | None
    active_until: int | None


class NewSecret(BaseModel):
    """A secret to become the active one."""

    model_config = ConfigDict(extra="forbid")

    secret: str | None = Field(default=None, max_length=64, description="32 hex digits; null: a random one is made")


class ShownSecret(BaseModel):
    """A secret itself."""

    number: int
    secret: str = Field(description="32 hex digits")


@router.get("")
def list_secrets(project: Name, _user: Reads, console: ConsoleOf) -> list[SecretOut]:
    """List the secrets that a project has and had; never what they are."""
    return [_out(entry) for entry in project_secrets.listed(console, project)]


@router.post("", status_code=201)
def add_secret(project: Name, new: NewSecret, user: Changes, console: ConsoleOf) -> SecretOut:
    """Make another secret the active one: the same patients get other UIDs, Patient IDs and dates from then on."""
    number = project_secrets.add(console, user, project, new.secret)
    return _out(project_secrets.listed(console, project)[number - 1])


@router.post("/{number}/activate")
def activate_secret(project: Name, number: Number, user: Changes, console: ConsoleOf) -> SecretOut:
    """Make a secret that the project had before the active one again."""
    project_secrets.activate(console, user, project, number)
    return _out(project_secrets.listed(console, project)[number - 1])


@router.post("/{number}/reveal")
def reveal_secret(project: Name, number: Number, user: Secrets, console: ConsoleOf) -> ShownSecret:
    """Return a secret itself; who asks is written down."""
    return ShownSecret(number=number, secret=project_secrets.reveal(console, user, project, number))


def _out(entry: StoredSecret) -> SecretOut:
    shown = {name: value for name, value in vars(entry).items() if name not in ("id", "token")}
    return SecretOut(active=entry.active_since is not None, **shown)
