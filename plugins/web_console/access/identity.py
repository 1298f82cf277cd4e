"""Who makes a request, and what the request needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from karnak_plugins.web_console.access.roles import Role, Scope, scopes_of
from karnak_plugins.web_console.access.sessions import Session
from karnak_plugins.web_console.access.tokens import Token
from karnak_plugins.web_console.access.users import User
from karnak_plugins.web_console.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user, by a session or by an API token."""

    user: User
    #: IP address; empty: unknown
    address: str
    session: Session | None = None
    token: Token | None = None

    @property
    def name(self) -> str:
        """The user's name, and the token's: as it stands in the history and in the audit trail."""
        return f"{self.user.name} (token {self.token.name})" if self.token else self.user.name

    @property
    def roles(self) -> frozenset[Role]:
        """The user's roles."""
        return self.user.roles

    @property
    def scopes(self) -> frozenset[Scope]:
        """What may be asked of the API: what the roles allow, and of this what the token is for."""
        allowed = scopes_of(self.roles)
        return allowed & self.token.scopes if self.token else allowed


def identity_of(request: Request) -> Identity | None:
    """Return who makes the request; None: nobody that is known. Set before anything else is done."""
    found: Identity | None = request.state.identity
    return found


def current_user(request: Request) -> Identity:
    """Return who makes the request; a dependency."""
    identity = identity_of(request)
    if identity is None:
        raise Refused(401, "sign in first")
    return identity


CurrentUser = Annotated[Identity, Depends(current_user)]


def require(*roles: Role | str) -> Callable[[Request], Identity]:
    """Return a dependency for pages: the user has one of these roles. API tokens open no pages."""
    wanted = frozenset(Role(role) for role in roles)

    def required(request: Request) -> Identity:
        identity = current_user(request)
        if identity.session is None or not identity.roles & wanted:
            raise Refused(403, f"this is for {' and '.join(sorted(wanted))} only")
        return identity

    required.__dict__["requires"] = wanted
    return required


def require_scope(*scopes: Scope | str) -> Callable[[Request], Identity]:
    """Return a dependency for the API: the session's roles, or the token, allow all of these."""
    wanted = frozenset(Scope(scope) for scope in scopes)

    def required(request: Request) -> Identity:
        identity = current_user(request)
        if lacking := wanted - identity.scopes:
            raise Refused(403, f"this needs the scope {', '.join(sorted(lacking))}")
        return identity

    required.__dict__["requires"] = wanted
    return required
