"""What everybody has: the way to the first page, one's own password and API tokens."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.errors import ConfigurationError
from karnak_plugins.web_console.access import passwords, tokens, users
from karnak_plugins.web_console.access.audit import recorded
from karnak_plugins.web_console.access.identity import CurrentUser, Identity
from karnak_plugins.web_console.access.roles import MEANINGS, Scope, chosen, scopes_of
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages import home
from karnak_plugins.web_console.pages.forms import Form, by_place, text, texts, whole_number
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.pages.sign_in import attempts_of, begin_session
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter()

LIFETIMES = {"30": "30 days", "90": "90 days", "365": "1 year", "1825": "5 years"}


@router.get("/")
def first_page(request: Request, user: CurrentUser) -> Response:
    """Go to the first page that one may see."""
    return go(request, home(user.roles))


@router.get("/password")
def password_page(request: Request, user: CurrentUser) -> Response:
    """Show the form for another password."""
    _has_password(user)
    return render(request, "password.html", errors={})


@router.post("/password")
def change_password(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change one's own password; every session of the user ends, and this one begins anew."""
    _has_password(user)
    errors = _wrong_password(request, user, console, text(form, "old"), text(form, "new"), text(form, "again"))
    if errors:
        return render(request, "password.html", status=422, errors=errors)
    with recorded(console, user) as (database, write_down):
        users.set_password(database, user.user.id, text(form, "new"))
        write_down("change the password", user.user.name)
    response = go(request, home(user.roles), "Your password is changed.")
    begin_session(request, console, response, user.user)
    return response


def _has_password(user: Identity) -> None:
    if not user.user.has_password or user.session is None:
        raise Refused(404, "you sign in by an identity provider, and have no password here")


def _wrong_password(
    request: Request, user: Identity, console: Console, old: str, new: str, again: str
) -> dict[str, str]:
    attempts, name, address = attempts_of(request), user.user.name, user.address
    # who is signed in has a count of their own, whatever others try
    browser = f"session {user.session.id}" if user.session else ""
    if wait := math.ceil(attempts.begin(name, address, browser)):
        return {"old": f"there were too many attempts; try again in {wait} s"}
    with console.database.read() as connection:
        found = users.stored_password(connection, name)
    if found is None or not passwords.matches(old, found[1]):
        return {"old": "is not your password"}
    attempts.succeeded(name, address, browser)
    errors = {}
    if problem := passwords.problem(new, name):
        errors["new"] = problem
    elif new == old:
        errors["new"] = "is the one that you have"
    if new != again:
        errors["again"] = "is not the same"
    return errors


@router.get("/account")
def account_page(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show who one is, and one's own API tokens."""
    return _account(request, user, console)


@router.post("/account/tokens")
def add_token(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Make an API token, which is shown once."""
    scopes = chosen(Scope, texts(form, "scopes"))
    days = whole_number(form, "days") or 0
    try:
        with recorded(console, user) as (database, write_down):
            token, shown = tokens.create(
                database, user.user, name=text(form, "name"), scopes=scopes, days=days, now=console.clock()
            )
            write_down("add a token", token.name, f"scopes {' '.join(sorted(token.scopes))}")
    except ConfigurationError as error:
        return _account(request, user, console, status=422, errors=by_place(error), form=form)
    return _account(request, user, console, made=token, shown=shown)


@router.post("/account/tokens/{token_id}/delete")
def delete_token(request: Request, token_id: int, user: CurrentUser, console: ConsoleOf) -> Response:
    """Delete one's own token."""
    with recorded(console, user) as (database, write_down):
        token = tokens.delete(database, token_id, user.user.id)
        write_down("delete a token", token.name)
    return go(request, "/account", f"The token {token.name} is deleted.")


def _account(
    request: Request, user: Identity, console: Console, *, status: int = 200, form: Form | None = None, **more: Any
) -> Response:
    with console.database.read() as connection:
        own = tokens.all_tokens(connection, user.user.id)
    context: dict[str, Any] = {
        "tokens": own,
        "now": console.clock(),
        "allowed": {scope: MEANINGS[scope] for scope in Scope if scope in scopes_of(user.roles)},
        "lifetimes": LIFETIMES,
        "errors": {},
        "made": None,
        "shown": "",
        "name": text(form, "name") if form else "",
        "chosen": texts(form, "scopes") if form else [],
        "days": text(form, "days") if form else "90",
    }
    return render(request, "account.html", status=status, **{**context, **more})
