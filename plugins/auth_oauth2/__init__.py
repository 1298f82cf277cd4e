"""Authenticators of type ``oauth2``: bearer tokens, given or fetched with client credentials (RFC 6749, RFC 6750)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karnak_core import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import Authenticator
from karnak_plugins.auth_oauth2.bearer import open_bearer
from karnak_plugins.auth_oauth2.config import OAuth2Authenticator

OAUTH2 = Kind(
    name="oauth2",
    config=OAuth2Authenticator,
    open=open_bearer,
    summary="a bearer token: one that is given, or fetched with client credentials",
)


@hookimpl
def karnak_register_authenticators() -> Sequence[Kind[Any, Authenticator]]:
    """Offer the type ``oauth2``."""
    return [OAUTH2]
