"""Who an identity provider says that somebody is. Apart from `oidc`, which needs the packages of the extra ``oidc``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from karnak_core.errors import KarnakError
from karnak_plugins.web_console.access.roles import Role

#: seconds that a sign-in may take
LONGEST_SIGN_IN: Final = 600


class SignInError(KarnakError):
    """Somebody cannot be signed in by the identity provider; says why, without what it sent."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who the identity provider says that somebody is."""

    #: issuer and subject: never anybody else's
    subject: str
    name: str
    display_name: str
    roles: frozenset[Role]
    id_token: str
