"""Users, API tokens, and the audit trail."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.spool.views import iso
from karnak_plugins.web_console.access import tokens, users
from karnak_plugins.web_console.access.audit import Wanted, entries, recorded
from karnak_plugins.web_console.access.identity import CurrentUser, Identity, require_scope
from karnak_plugins.web_console.access.roles import Role, Scope
from karnak_plugins.web_console.api.changing import RESPONSES
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, Page, PagingOf, SeenState, tag_state

router = APIRouter(tags=["access"])

Admin = Annotated[Identity, Depends(require_scope("users"))]
#: PostgreSQL takes no text with NUL in it
NO_NUL = r"^[^\x00]*$"
#: of a row; larger ones no database has
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UserOut(BaseModel):
    """A user."""

    id: int
    name: str
    display_name: str
    roles: list[Role]
    must_change: bool = Field(description="the password is to be changed at the next sign-in")
    disabled: bool
    has_password: bool = Field(description="false: signs in by an identity provider")
    created_at: str = Field(description="UTC, ISO 8601, as all times here")
    created_by: str
    signed_in_at: str | None


class NewUser(_Body):
    """A user to be added."""

    name: str = Field(max_length=64)
    display_name: str = Field(default="", max_length=128)
    roles: list[Role] = Field(max_length=3)


class UserChange(_Body):
    """What is to be changed of a user; what is null stays."""

    display_name: str | None = Field(default=None, max_length=128)
    roles: list[Role] | None = Field(default=None, max_length=3)
    disabled: bool | None = None


class WithPassword(BaseModel):
    """A user with a password that is shown this once."""

    user: UserOut
    one_time_password: str


class TokenOut(BaseModel):
    """An API token, without itself."""

    id: int
    user_name: str
    name: str
    start: str = Field(description="its first characters")
    scopes: list[Scope]
    created_at: str
    expires_at: str
    used_at: str | None


class NewToken(_Body):
    """A token to be made for the user who asks."""

    name: str = Field(max_length=64)
    scopes: list[Scope] = Field(max_length=len(Scope), description="of those that the user, or the token used, has")
    days: int = Field(default=90, ge=1, le=tokens.LONGEST, description="how long it is valid")


class MadeToken(BaseModel):
    """A token, which is shown this once."""

    token: TokenOut
    secret: str


class EntryOut(BaseModel):
    """What somebody did."""

    id: int
    at: str
    who: str
    address: str
    action: str
    object: str
    detail: str


@router.get("/users")
def list_users(_user: Admin, console: ConsoleOf) -> Page[UserOut]:
    """List the users."""
    with console.database.read() as connection:
        return Page(items=[_user_out(one) for one in users.all_users(connection)])


@router.post("/users", status_code=201)
def add_user(new: NewUser, user: Admin, console: ConsoleOf, response: Response) -> WithPassword:
    """Add a user, who has to change the password at the first sign-in."""
    with recorded(console, user) as (database, write_down):
        added, password = users.create(
            database, name=new.name, display_name=new.display_name, roles=new.roles, author=user.name
        )
        write_down("add a user", added.name, f"roles {' '.join(sorted(added.roles))}")
    tag_state(response, added.state)
    return WithPassword(user=_user_out(added), one_time_password=password)


@router.get("/users/{user_id}")
def get_user(user_id: Number, _user: Admin, console: ConsoleOf, response: Response) -> UserOut:
    """Return a user."""
    with console.database.read() as connection:
        found = users.get(connection, user_id)
    tag_state(response, found.state)
    return _user_out(found)


@router.patch("/users/{user_id}", responses=RESPONSES)
def change_user(
    user_id: Number, change: UserChange, user: Admin, console: ConsoleOf, seen: SeenState, response: Response
) -> UserOut:
    """Change a user."""
    if user_id == user.user.id and change.disabled:
        raise Refused(409, "you cannot disable yourself")
    with recorded(console, user) as (database, write_down):
        changed = users.change(
            database,
            user_id,
            roles=change.roles,
            display_name=change.display_name,
            disabled=change.disabled,
            seen=seen,
        )
        roles = " ".join(sorted(changed.roles))
        write_down("change a user", changed.name, f"roles {roles}{', disabled' if changed.disabled else ''}")
    tag_state(response, changed.state)
    return _user_out(changed)


@router.delete("/users/{user_id}", status_code=204, responses=RESPONSES)
def delete_user(user_id: Number, user: Admin, console: ConsoleOf, seen: SeenState) -> Response:
    """Remove a user with all sessions and tokens."""
    if user_id == user.user.id:
        raise Refused(409, "you cannot delete yourself")
    with recorded(console, user) as (database, write_down):
        gone = users.delete(database, user_id, seen=seen)
        write_down("delete a user", gone.name)
    return Response(status_code=204)


@router.post("/users/{user_id}/password")
def reset_password(user_id: Number, user: Admin, console: ConsoleOf) -> WithPassword:
    """Give a user a new password, to be changed at the next sign-in."""
    if user_id == user.user.id:
        raise Refused(409, "you cannot reset your own password")
    with recorded(console, user) as (database, write_down):
        password = users.reset_password(database, user_id)
        with database.read() as connection:
            whose = users.get(connection, user_id)
        write_down("reset a password", whose.name)
    return WithPassword(user=_user_out(whose), one_time_password=password)


@router.get("/tokens")
def list_tokens(user: CurrentUser, console: ConsoleOf) -> Page[TokenOut]:
    """List one's own API tokens; everybody's for who may look at users."""
    own = None if Scope.USERS in user.scopes else user.user.id
    with console.database.read() as connection:
        return Page(items=[_token_out(one) for one in tokens.all_tokens(connection, own)])


@router.post("/tokens", status_code=201)
def add_token(new: NewToken, user: CurrentUser, console: ConsoleOf) -> MadeToken:
    """Make an API token for oneself. A token makes none that may do more, or lasts longer, than itself."""
    if beyond := set(new.scopes) - user.scopes:
        raise Refused(403, f"this needs the scope {', '.join(sorted(beyond))}")
    if user.token and console.clock() + new.days * tokens.DAY > user.token.expires_at:
        raise Refused(403, "the new token would be valid longer than the one that asks for it")
    with recorded(console, user) as (database, write_down):
        token, secret = tokens.create(
            database, user.user, name=new.name, scopes=new.scopes, days=new.days, now=console.clock()
        )
        write_down("add a token", token.name, f"scopes {' '.join(sorted(token.scopes))}")
    return MadeToken(token=_token_out(token), secret=secret)


@router.delete("/tokens/{token_id}", status_code=204)
def delete_token(token_id: Number, user: CurrentUser, console: ConsoleOf) -> Response:
    """Delete one's own token; anybody's for who may change users. A token deletes none that may do more than itself."""
    with recorded(console, user) as (database, write_down):
        token = tokens.delete(database, token_id, None if Scope.USERS in user.scopes else user.user.id)
        write_down("delete a token", token.name, f"of {token.user_name}")
        # the token itself, and what it could have made
        if Scope.USERS not in user.scopes and (beyond := token.scopes - user.scopes):
            raise Refused(403, f"this needs the scope {', '.join(sorted(beyond))}")
    return Response(status_code=204)


@router.get("/audit")
def list_audit(
    _user: Admin,
    paging: PagingOf,
    console: ConsoleOf,
    who: Annotated[str, Query(max_length=128, pattern=NO_NUL, description="a part of who did it")] = "",
    action: Annotated[str, Query(max_length=64, pattern=NO_NUL, description="the whole action")] = "",
    text: Annotated[
        str,
        Query(
            max_length=255,
            pattern=NO_NUL,
            description="a part of what it was done to, of the detail, or of the address",
        ),
    ] = "",
) -> Page[EntryOut]:
    """List what was done, the newest first."""
    wanted = Wanted(who=who, action=action, text=text)
    with console.database.read() as connection:
        found = entries(connection, before=paging.number(), limit=paging.limit + 1, wanted=wanted)
    shown = found[: paging.limit]
    items = [EntryOut(**_with_times(entry, "at")) for entry in shown]
    return Page(items=items, next=str(shown[-1].id) if len(found) > paging.limit else None)


def _user_out(user: users.User) -> UserOut:
    return UserOut(**{**_with_times(user, "created_at", "signed_in_at"), "roles": sorted(user.roles)})


def _token_out(token: tokens.Token) -> TokenOut:
    values = _with_times(token, "created_at", "expires_at", "used_at")
    del values["user_id"]
    return TokenOut(**{**values, "scopes": sorted(token.scopes)})


def _with_times(value: object, *names: str) -> dict[str, Any]:
    """Return the fields of a value with these times as texts."""
    fields = dict(vars(value))
    return {**fields, **{name: iso(fields[name]) for name in names}}
