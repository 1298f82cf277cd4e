"""The keys of a destination of type ``stow``."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from karnak_core.config.names import AuthenticatorName
from karnak_core.config.quantities import Duration, Size
from karnak_core.config.tls import ClientTLS
from karnak_core.http_headers import Headers

KIB = 1024
MIB = 1024 * KIB


class StowDestination(BaseModel):
    """A DICOMweb server that takes instances by STOW-RS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        max_length=2048,
        description="address of the DICOMweb service, http or https; /studies is added where it is missing",
    )
    headers: Headers = Field(
        default=(), description="sent with every request: <key>…</key><value>…</value> pairs, or a mapping"
    )
    authenticator: AuthenticatorName | None = Field(
        default=None, description="name of the authenticator that makes the header Authorization"
    )
    tls: ClientTLS | None = Field(
        default=None, description="how to use TLS with an https url; none: with the authorities that the system trusts"
    )
    connections: int = Field(default=2, ge=1, le=50, description="requests under way at once, each on its connection")
    verify: bool = Field(
        default=False,
        description="true: where the server does not say whether it has an instance, it is asked by QIDO-RS",
    )
    max_instances_per_request: int = Field(
        default=64, ge=1, le=1000, description="instances sent in one request, at most"
    )
    max_request_bytes: Size = Field(
        default=32 * MIB,
        ge=64 * KIB,
        le=1024 * MIB,
        description="size of a request with several instances, at most; a larger instance goes alone",
    )
    connect_timeout: Duration = Field(
        default=10.0, gt=0, le=600, description="time until the connection stands, TLS included"
    )
    timeout: Duration = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="time without a byte moving, in a request or until its answer; however long all of it takes",
    )

    @field_validator("url")
    @classmethod
    def _ends_with_studies(cls, text: str) -> str:
        url = text.strip().rstrip("/")
        if not url.isprintable() or " " in url or "\\" in url:
            raise ValueError("has blanks, backslashes or control characters; write them as %20 and the like")
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"is no URL: {_words(error)}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("does not begin with http:// or https:// and a host name")
        if parts.username is not None or parts.password is not None:
            raise ValueError("has a user name or password in it; use an authenticator")
        if parts.query or parts.fragment or "?" in url or "#" in url:
            raise ValueError("has a query or fragment (? or #); /studies could not be added")
        return url if url.endswith("/studies") else f"{url}/studies"

    @field_validator("authenticator")
    @classmethod
    def _authorized_in_one_way(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and any(header.name.lower() == "authorization" for header in info.data.get("headers", ())):
            raise ValueError("headers have Authorization, and authenticator makes one, too; only one of them can be")
        return value

    @field_validator("tls")
    @classmethod
    def _tls_is_used(cls, value: ClientTLS | None, info: ValidationInfo) -> ClientTLS | None:
        # a url that is wrong is reported by itself
        if value is not None and not info.data.get("url", "https:").startswith("https:"):
            raise ValueError("tls needs a url that begins with https:")
        return value


def _words(error: ValueError) -> str:
    """Return what is wrong, without the value: it may be a secret in the wrong place."""
    return "the port is not 0 to 65535" if "ort" in str(error) else "the host name is not right"
