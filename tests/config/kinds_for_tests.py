"""A third party's plugin as the tests of the configuration use it: two destination types and more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from karnak_core import hookimpl
from karnak_core.config.models import Configuration
from karnak_core.config.names import AETitle, AuthenticatorName
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Secret
from karnak_core.errors import ConfigProblem
from karnak_core.kinds import Kind


class Certificates(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: str = Field(description="file of trusted certificates")
    password: Secret | None = Field(default=None, description="opens the key")


class PeerConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AETitle = Field(description="AE title")
    hostname: str = Field(default="", description="DNS name")
    port: int = Field(default=104, ge=1, le=65535, description="TCP port")
    timeout: Duration = Field(default=30.0, gt=0, description="wait for an answer")
    password: Secret | None = Field(default=None, description="sent along")
    tls: Certificates | bool = Field(default=False, description="certificates, or false")
    headers: str | dict[str, str] = Field(default="", description="sent along")


class GuardedConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    authenticator: AuthenticatorName | None = Field(default=None, description="authorizes requests")
    others: tuple[AuthenticatorName, ...] = Field(default=(), description="and these, too")


class TokenConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Secret = Field(description="sent along")
    lifetime: Duration = Field(default=60.0, gt=0, description="how long it is used")


class FolderConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: str = Field(description="where files go")
    pattern: str = Field(default="{SOPInstanceUID}.dcm", description="name of a file")


class MailConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="localhost", description="mail server")
    port: int = Field(default=25, ge=1, le=65535, description="TCP port")
    password: Secret = Field(default=Secret.plain(""), description="of the account")


def unused(_config: object, _context: object) -> Any:
    raise AssertionError("the configuration opens no parts")


PEER = Kind(name="peer", config=PeerConfig, open=unused)
GUARDED = Kind(name="guarded", config=GuardedConfig, open=unused)
TOKEN = Kind(name="token", config=TokenConfig, open=unused)
FOLDER = Kind(name="folder", config=FolderConfig, open=unused)
MAIL = Kind(name="mail", config=MailConfig, open=unused)


@hookimpl
def karnak_register_destinations() -> Sequence[Kind[Any, Any]]:
    return [PEER, FOLDER, GUARDED]


@hookimpl
def karnak_register_authenticators() -> Sequence[Kind[Any, Any]]:
    return [TOKEN]


@hookimpl
def karnak_register_services() -> Sequence[Kind[Any, Any]]:
    return [MAIL]


@hookimpl
def karnak_check_config(config: Configuration) -> Sequence[ConfigProblem]:
    return [
        ConfigProblem(place=f"forward_nodes[{index}].ae_title", message="FORBIDDEN is forbidden here")
        for index, node in enumerate(config.forward_nodes)
        if node.ae_title == "FORBIDDEN"
    ]
