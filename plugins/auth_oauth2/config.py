"""The keys of an authenticator of type ``oauth2``: a token, or what one is fetched with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, field_validator, model_validator

from karnak_core.config.collect import together
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Origin, Secret
from karnak_core.config.tls import AuthoritiesPath

#: RFC 6750 section 2.1
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
#: RFC 6749 appendix A.4
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e ]*")


class OAuth2Authenticator(BaseModel):
    """A bearer token: ``token``, or fetched from ``token_url`` with client credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: Secret | None = Field(default=None, description="a token that is given; none: one is fetched")
    token_url: str = Field(
        default="", max_length=2048, description="where tokens are fetched, http or https; not needed with token"
    )
    client_id: str = Field(default="", max_length=1024, description="who we are at the token server")
    client_secret: Secret | None = Field(default=None, description="proves that to the token server")
    scope: str = Field(default="", max_length=4096, description="what tokens are to be good for, separated by blanks")
    client_authentication: Literal["header", "body"] = Field(
        default="header",
        description="where id and secret stand in the request: in its Authorization header, or in its body",
    )
    ca: AuthoritiesPath | None = Field(
        default=None,
        description="PEM file: who may issue the token server's certificate, or that certificate itself; none: those "
        "that the system trusts",
    )
    timeout: Duration = Field(
        default=10.0, gt=0, le=120, description="time until the connection stands, and again until the answer is there"
    )

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, value: Secret | None) -> Secret | None:
        # what it refers to is looked at when it is used
        if value is not None and value.origin is Origin.PLAIN:
            refuse_no_token(value.where)
        return value

    @field_validator("client_secret")
    @classmethod
    def _is_no_empty_secret(cls, value: Secret | None) -> Secret | None:
        if value == Secret.plain(""):
            raise ValueError("is empty")
        return value

    @field_validator("token_url")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        url = text.strip()
        if not url:
            return ""
        if not url.isprintable() or " " in url or "\\" in url:
            raise ValueError("has blanks, backslashes or control characters; write them as %20 and the like")
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("is no address that begins with http:// or https:// and a host name")
        if parts.username is not None or parts.password is not None:
            raise ValueError("has a user name or password in it; write client_id and client_secret")
        if parts.fragment:
            raise ValueError("has a fragment (#)")
        return url

    @field_validator("scope")
    @classmethod
    def _is_a_scope(cls, text: str) -> str:
        scope = " ".join(text.split())
        if not _SCOPE.fullmatch(scope):
            raise ValueError(f"{text!r} has characters that a scope cannot have (RFC 6749 section 3.3)")
        return scope

    @model_validator(mode="wrap")
    @classmethod
    def _is_one_of_two_forms(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        def look(keys: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
            needed = ("token_url", "client_id", "client_secret")
            given = [name for name in needed if keys.get(name)]
            if keys.get("token") is not None:
                more = ", ".join(given + (["scope"] if keys.get("scope") else []))
                if more:
                    yield "token", f"token is given, and {more} to fetch one, too; only one of them can be"
            elif not given:
                yield "token", "needs token, or token_url, client_id and client_secret to fetch one"
            else:
                for name in needed:
                    if name not in given:
                        yield name, f"is missing, which {', '.join(given)} {'needs' if len(given) == 1 else 'need'}"

        return together(value, handler, look)


def refuse_no_token(text: str) -> None:
    """Raise ValueError, without the text, when it is no token (RFC 6750 section 2.1)."""
    if not text:
        raise ValueError("is empty")
    if text.lower().startswith("bearer "):
        raise ValueError("begins with 'Bearer', which is put in front of it; leave it out")
    if not _TOKEN.fullmatch(text):
        raise ValueError("has characters that a token cannot have (RFC 6750 section 2.1)")
