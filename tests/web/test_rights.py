"""Nothing is open by itself: every page has roles, every operation of the API a scope, and both are kept to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from web_support import Client, ConsoleApp

from karnak_plugins.web_console.access.roles import ALLOWED, Role, Scope
from karnak_plugins.web_console.guard import OPEN

#: of the API, what belongs to everybody who is known: one's own tokens
OWN = {"/api/v1/tokens", "/api/v1/tokens/{token_id}"}
#: pages of everybody who is signed in
EVERYBODY = {"/", "/password", "/account", "/account/tokens", "/account/tokens/{token_id}/delete", "/sign-out"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked for."""

    method: str
    path: str
    #: roles or scopes; None: only to be known
    requires: frozenset[Any] | None

    @property
    def is_api(self) -> bool:
        """Say whether it is one of the API."""
        return self.path.startswith("/api/")

    @property
    def is_open(self) -> bool:
        """Say whether anybody may ask for it."""
        return self.path.startswith(OPEN)

    def ask(self, client: Client) -> Any:
        """Ask for it; nothing has these numbers and names."""
        return client.request(self.method, re.sub(r"\{[^}]+\}", "999999", self.path))


def operations(console_app: ConsoleApp) -> list[Operation]:
    """Return everything that can be asked for."""
    found = [
        Operation(method=method, path=route.path, requires=_required(route.dependant))
        for route in _flat(console_app.app.routes)
        for method in sorted(route.methods - {"HEAD"})
    ]
    assert len(found) > 20
    return found


def _flat(routes: Any) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from _flat(route.effective_candidates())
        elif hasattr(route, "dependant"):
            yield route


def _required(dependant: Any) -> frozenset[Any] | None:
    found = [one.call.requires for one in dependant.dependencies if hasattr(one.call, "requires")]
    return found[0] if found else None


def test_every_operation_says_who_may_use_it(console_app: ConsoleApp) -> None:
    unsaid = {one.path for one in operations(console_app) if one.requires is None and not one.is_open}
    assert unsaid == OWN | EVERYBODY


def test_operations_of_the_api_need_scopes_and_pages_need_roles(console_app: ConsoleApp) -> None:
    for one in operations(console_app):
        kind = Scope if one.is_api else Role
        assert all(isinstance(needed, kind) for needed in one.requires or ()), one


def test_nobody_gets_in_without_signing_in(console_app: ConsoleApp) -> None:
    console_app.add_user("somebody")
    client = console_app.client()
    for one in operations(console_app):
        if one.is_open:
            continue
        answer = one.ask(client)
        if one.is_api:
            assert (answer.status_code, answer.json()["status"]) == (401, 401), one
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        else:
            assert answer.status_code == 303, one
            assert answer.headers["Location"].startswith("/sign-in"), one


def test_a_path_that_does_not_exist_looks_like_any_other_to_who_is_not_signed_in(console_app: ConsoleApp) -> None:
    client = console_app.client()
    assert client.get("/nowhere").headers["Location"] == "/sign-in?next=%2Fnowhere"
    assert client.get("/api/v1/nowhere").status_code == 401
    assert client.get("/api/v1/openapi.json").status_code == 401


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_is_refused_whatever_it_has_no_scope_for(console_app: ConsoleApp, scope: Scope) -> None:
    client = console_app.with_token(scope)
    for one in operations(console_app):
        if one.is_api and one.requires is not None and scope not in one.requires:
            answer = one.ask(client)
            assert answer.status_code == 403, one
            assert answer.json()["detail"].startswith("this needs the scope "), one


def test_a_token_opens_no_page(console_app: ConsoleApp) -> None:
    client = console_app.with_token(*Scope)
    for one in operations(console_app):
        if not one.is_api and not one.is_open:
            assert one.ask(client).status_code == 303, one


@pytest.mark.parametrize("role", list(Role))
def test_a_role_opens_its_own_pages_and_no_others(console_app: ConsoleApp, role: Role) -> None:
    client = console_app.signed_in("somebody", role)
    csrf = {"X-CSRF-Token": client.csrf()}
    for one in operations(console_app):
        if one.is_open or one.requires is None:
            continue
        client.headers.update(csrf)
        allowed = one.requires <= ALLOWED[role] if one.is_api else role in one.requires
        if not allowed:
            assert one.ask(client).status_code == 403, one
        elif one.method == "GET":
            assert one.ask(client).status_code not in (401, 403), one


def test_every_change_by_a_session_needs_the_token_of_its_pages(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    for one in operations(console_app):
        if one.method != "GET" and not one.is_open:
            answer = one.ask(client)
            assert answer.status_code == 403, one
            assert "load the page again" in answer.text, one


def test_who_has_to_change_the_password_can_do_nothing_else(console_app: ConsoleApp) -> None:
    console_app.add_user("newcomer", "admin", must_change=True)
    client = console_app.signed_in("newcomer")
    for one in operations(console_app):
        if one.is_open or one.path in ("/password", "/sign-out"):
            continue
        answer = one.ask(client)
        if one.is_api:
            assert answer.status_code == 403, one
        else:
            assert (answer.status_code, answer.headers["Location"]) == (303, "/password"), one
