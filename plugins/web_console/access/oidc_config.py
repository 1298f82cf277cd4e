"""The keys of ``plugins.web_console.oidc``."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Secret
from karnak_core.config.tls import ClientTLS


class OpenIdConnect(BaseModel):
    """An identity provider that people sign in by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(
        max_length=1024,
        description="address of the identity provider, as it names itself, e.g. "
        "https://login.example.org/realms/hospital; https, but for this machine",
    )
    client_id: str = Field(min_length=1, max_length=255, description="who the console is at the identity provider")
    client_secret: Secret | None = Field(
        default=None, description="proves that to the identity provider; none: a public client, which has PKCE alone"
    )
    scopes: str = Field(
        default="openid profile email",
        max_length=1024,
        description="what is asked for, separated by blanks; openid is added",
    )
    roles_claim: str = Field(
        default="resource_access.karnak.roles",
        min_length=1,
        max_length=255,
        description="where in the token the roles stand: names separated by dots; of what stands there, admin, "
        "investigator and user count",
    )
    roles_from_id_token: bool = Field(
        default=False, description="true: the roles are those of the ID token, not of the access token"
    )
    name_claim: str = Field(
        default="preferred_username", min_length=1, max_length=255, description="claim of the ID token: the user's name"
    )
    label: str = Field(
        default="Sign in with your organisation", min_length=1, max_length=64, description="what the link says"
    )
    tls: ClientTLS | None = Field(
        default=None, description="how to use TLS with the identity provider; none: with whom the system trusts"
    )
    timeout: Duration = Field(
        default=5.0, gt=0, le=60, description="time until a connection stands, and again until an answer is there"
    )

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, text: str) -> str:
        allowed = "https:// with a host, without a query and fragment"
        try:
            parts = urlsplit(text)
            good = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise ValueError(f"is not {allowed}") from None
        beyond = parts.query or parts.fragment or parts.username or not text.isprintable() or " " in text
        if not good or beyond or not is_safe(text):
            raise ValueError(f"{text!r} is not {allowed}; http only for this machine")
        return text

    @field_validator("scopes")
    @classmethod
    def _asks_for_openid(cls, text: str) -> str:
        scopes = text.split()
        return " ".join(scopes if "openid" in scopes else ["openid", *scopes])

    @field_validator("client_secret")
    @classmethod
    def _is_no_empty_secret(cls, value: Secret | None) -> Secret | None:
        if value == Secret.plain(""):
            raise ValueError("is empty")
        return value


def is_safe(url: str) -> bool:
    """Say whether nobody on the way can read or change what goes to an address: by TLS, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    return parts.scheme == "http" and here
