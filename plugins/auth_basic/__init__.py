"""Authenticators of type ``basic``: a user name and a password (RFC 7617)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karnak_core import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import Authenticator
from karnak_plugins.auth_basic.basic import Basic
from karnak_plugins.auth_basic.config import BasicAuthenticator

BASIC = Kind(
    name="basic",
    config=BasicAuthenticator,
    open=Basic,
    summary="a user name and a password",
)


@hookimpl
def karnak_register_authenticators() -> Sequence[Kind[Any, Authenticator]]:
    """Offer the type ``basic``."""
    return [BASIC]
