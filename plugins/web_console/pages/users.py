"""Users: who may sign in, and as what; and everybody's API tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.errors import ConfigurationError, Conflict
from karnak_plugins.web_console.access import tokens, users
from karnak_plugins.web_console.access.audit import recorded
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.access.roles import Role, chosen
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.forms import Form, by_place, checked, text, texts
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/users")

MEANINGS = {
    Role.ADMIN: "sees and changes everything",
    Role.INVESTIGATOR: "looks after pseudonyms, and may ask which patient one stands for",
    Role.USER: "looks after pseudonyms",
}


@router.get("")
def list_users(request: Request, console: ConsoleOf) -> Response:
    """Show everybody, and every token."""
    return _listed(request, console)


@router.post("")
def add_user(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Add a user; the password is shown once."""
    try:
        with recorded(console, user) as (database, write_down):
            added, password = users.create(
                database,
                name=text(form, "name"),
                display_name=text(form, "display_name"),
                roles=_roles(form),
                author=user.name,
            )
            write_down("add a user", added.name, f"roles {' '.join(sorted(added.roles))}")
    except ConfigurationError as error:
        return _listed(request, console, status=422, errors=by_place(error), form=form)
    return _listed(request, console, shown=password, shown_for=added.name)


@router.get("/{user_id}")
def user_page(request: Request, user_id: int, console: ConsoleOf) -> Response:
    """Show one user."""
    return _one(request, console, user_id)


@router.post("/{user_id}")
def change_user(request: Request, user_id: int, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change name, roles, and whether the user may sign in."""
    disabled = checked(form, "disabled")
    if user_id == user.user.id and disabled:
        raise Conflict("you cannot disable yourself")
    try:
        with recorded(console, user) as (database, write_down):
            changed = users.change(
                database,
                user_id,
                roles=_roles(form),
                display_name=text(form, "display_name"),
                disabled=disabled,
                seen=text(form, "seen"),
            )
            roles = " ".join(sorted(changed.roles))
            write_down("change a user", changed.name, f"roles {roles}{', disabled' if disabled else ''}")
    except ConfigurationError as error:
        return _one(request, console, user_id, status=422, errors=by_place(error))
    except users.ChangedMeanwhile as error:
        return _one(request, console, user_id, status=409, meanwhile=str(error))
    return go(request, "/users", f"{changed.name} is changed.")


@router.post("/{user_id}/password")
def reset_password(request: Request, user_id: int, user: CurrentUser, console: ConsoleOf) -> Response:
    """Give a user a new password, shown once."""
    if user_id == user.user.id:
        raise Conflict("change your own password under “Your account”")
    with recorded(console, user) as (database, write_down):
        password = users.reset_password(database, user_id)
        with database.read() as connection:
            write_down("reset a password", users.get(connection, user_id).name)
    return _one(request, console, user_id, shown=password)


@router.post("/{user_id}/delete")
def delete_user(request: Request, user_id: int, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Remove a user and the user's tokens."""
    if user_id == user.user.id:
        raise Conflict("you cannot delete yourself")
    try:
        with recorded(console, user) as (database, write_down):
            gone = users.delete(database, user_id, seen=text(form, "seen"))
            write_down("delete a user", gone.name)
    except users.ChangedMeanwhile as error:
        return _one(request, console, user_id, status=409, meanwhile=str(error))
    return go(request, "/users", f"{gone.name} is deleted.")


@router.post("/tokens/{token_id}/delete")
def delete_token(request: Request, token_id: int, user: CurrentUser, console: ConsoleOf) -> Response:
    """Delete anybody's token."""
    with recorded(console, user) as (database, write_down):
        token = tokens.delete(database, token_id)
        write_down("delete a token", token.name, f"of {token.user_name}")
    return go(request, "/users", f"The token {token.name} of {token.user_name} is deleted.")


def _roles(form: Form) -> frozenset[Role]:
    return chosen(Role, texts(form, "roles"))


def _listed(
    request: Request, console: Console, *, status: int = 200, form: Form | None = None, **more: Any
) -> Response:
    with console.database.read() as connection:
        everybody, every_token = users.all_users(connection), tokens.all_tokens(connection)
    context: dict[str, Any] = {
        "users": everybody,
        "tokens": every_token,
        "now": console.clock(),
        "roles": MEANINGS,
        "errors": {},
        "name": text(form, "name") if form else "",
        "display_name": text(form, "display_name") if form else "",
        "chosen": texts(form, "roles") if form else [],
        "shown": "",
        "shown_for": "",
    }
    return render(request, "users.html", status=status, **{**context, **more})


def _one(request: Request, console: Console, user_id: int, *, status: int = 200, **more: Any) -> Response:
    with console.database.read() as connection:
        whose, own = users.get(connection, user_id), tokens.all_tokens(connection, user_id)
    context: dict[str, Any] = {
        "whose": whose,
        "meanwhile": "",
        "tokens": own,
        "now": console.clock(),
        "roles": MEANINGS,
        "errors": {},
        "shown": "",
    }
    return render(request, "user.html", status=status, **{**context, **more})
