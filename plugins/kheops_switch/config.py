"""The keys of a follow-up of type ``kheops_album``."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from karnak_core.config.names import ConditionText
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Origin, Secret
from karnak_core.config.tls import ClientTLS

#: RFC 6750 section 2.1
TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class KheopsAlbum(BaseModel):
    """An album that series are shared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_url: str = Field(
        max_length=2048, description="address of the API of Kheops, http or https, e.g. https://kheops.example.org/api"
    )
    destination_token: Secret = Field(description="secret: token of the album, with the scope write")
    source_token: Secret = Field(
        description="secret: token of where instances are sent to, with the scopes read and send"
    )
    condition: ConditionText = Field(
        default="",
        max_length=1024,
        description="only series with an instance that meets this expression, as it was received; blank: all",
    )
    tls: ClientTLS | None = Field(
        default=None,
        description="how to use TLS with an https api_url; none: with the authorities that the system trusts",
    )
    timeout: Duration = Field(
        default=20.0, gt=0, le=300, description="time until the connection stands, and again until the answer is there"
    )

    @field_validator("api_url")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        url = text.strip().rstrip("/")
        if not url.isprintable() or " " in url or "\\" in url:
            raise ValueError("has blanks, backslashes or control characters; write them as %20 and the like")
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, good = urlsplit(""), False
        if not good:
            raise ValueError("is no address that begins with http:// or https:// and a host name")
        if parts.username is not None or parts.password is not None:
            raise ValueError("has a user name or password in it; Kheops is authorized by the tokens")
        if "?" in url or "#" in url:
            raise ValueError("has a query or fragment (? or #)")
        return url

    @field_validator("destination_token", "source_token")
    @classmethod
    def _is_a_token(cls, value: Secret) -> Secret:
        # what it refers to is looked at when it is used
        if value.origin is Origin.PLAIN:
            refuse_no_token(value.where)
        return value

    @field_validator("tls")
    @classmethod
    def _tls_is_used(cls, value: ClientTLS | None, info: ValidationInfo) -> ClientTLS | None:
        # a url that is wrong is reported by itself
        if value is not None and not info.data.get("api_url", "https:").startswith("https:"):
            raise ValueError("tls needs an api_url that begins with https:")
        return value


def refuse_no_token(text: str) -> None:
    """Raise ValueError, without the text, when it is no token (RFC 6750 section 2.1)."""
    if not text:
        raise ValueError("is empty")
    if text.lower().startswith("bearer "):
        raise ValueError("begins with 'Bearer', which is put in front of it; leave it out")
    if not TOKEN.fullmatch(text):
        raise ValueError("has characters that a token cannot have (RFC 6750 section 2.1)")
