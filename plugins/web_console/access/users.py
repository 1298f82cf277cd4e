"""The users: rows of ``console_user``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from karnak_core.database import Database
from karnak_core.database.access import console_session, console_user
from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict, NotFound
from karnak_core.model import now_ms
from karnak_plugins.web_console.access import passwords
from karnak_plugins.web_console.access.roles import Role, roles_in, written

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
FIRST = "admin"


class ChangedMeanwhile(Conflict):
    """A user is not as somebody looked at any more; nothing is changed."""


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody who may sign in."""

    id: int
    name: str
    display_name: str
    roles: frozenset[Role]
    #: the password has to be changed first
    must_change: bool
    disabled: bool
    #: False: signs in by an identity provider
    has_password: bool
    created_at: int
    created_by: str
    #: last; None: never
    signed_in_at: int | None
    #: at the identity provider: its issuer and the subject; None: is not from one
    subject: str | None = field(default=None, repr=False)

    @property
    def state(self) -> str:
        """A text that is another one when the user was changed, or is somebody else."""
        facts = (self.id, self.created_at, self.name, self.display_name, written(self.roles), self.disabled)
        text = "\0".join(map(str, facts))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def comes_from(user: User, issuer: str) -> bool:
    """Say whether a user is one of an identity provider."""
    return (user.subject or "").startswith(f"{issuer} ")


def user_of(row: Any) -> User:
    """Return the user of a row of the table, of which the columns have their names."""
    return User(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        roles=roles_in(row.roles),
        must_change=row.must_change,
        disabled=row.disabled,
        has_password=row.password is not None,
        created_at=row.created_at,
        created_by=row.created_by,
        signed_in_at=row.signed_in_at,
        subject=row.subject,
    )


def all_users(connection: sa.Connection) -> list[User]:
    """Return every user, by name."""
    return [user_of(row) for row in connection.execute(sa.select(console_user).order_by(console_user.c.name))]


def get(connection: sa.Connection, user_id: int) -> User:
    """Return a user; raises NotFound."""
    row = connection.execute(sa.select(console_user).where(console_user.c.id == user_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such user")
    return user_of(row)


def stored_password(connection: sa.Connection, name: str) -> tuple[User, str | None] | None:
    """Return the user with this name and the hash of the password; None: there is none."""
    query = sa.select(console_user).where(console_user.c.name == name.strip().lower())
    row = connection.execute(query).one_or_none()
    return (user_of(row), row.password) if row is not None else None


def create(
    database: Database, *, name: str, roles: Iterable[Role], author: str, display_name: str = "", password: str = ""
) -> tuple[User, str]:
    """Add a user who has to change the password at the first sign-in; return it with that password.

    Parameters
    ----------
    password
        To begin with; empty: one is made.

    Raises
    ------
    ConfigurationError
        With what is wrong with the name, the roles or the password.
    """
    name, display_name, roles = name.strip().lower(), display_name.strip(), frozenset(roles)
    problems = _problems(roles, display_name)
    if not NAME.fullmatch(name):
        words = f"{name!r} is not 1 to 64 of a-z, 0-9, dot, hyphen, underscore and @, the first a letter or digit"
        problems.insert(0, ConfigProblem(place="name", message=words))
    if password and (wrong := passwords.problem(password, name)):
        problems.append(ConfigProblem(place="password", message=wrong))
    if problems:
        raise ConfigurationError(problems)
    password = password or passwords.one_time()
    values = {
        "name": name,
        "display_name": display_name,
        "password": passwords.hashed(password),
        "roles": written(roles),
        "must_change": True,
        "disabled": False,
        "created_at": now_ms(),
        "created_by": author,
    }
    try:
        with database.write() as connection:
            key = connection.execute(sa.insert(console_user).values(values)).inserted_primary_key
            assert key is not None
            return get(connection, key[0]), password
    except IntegrityError:
        taken = ConfigProblem(place="name", message=f"{name!r} is another user's")
        raise ConfigurationError([taken]) from None


def create_first(database: Database) -> str:
    """Add the first user, who may do everything, where there is none yet; return the password, or nothing."""
    with database.read() as connection:
        if connection.execute(sa.select(sa.func.count()).select_from(console_user)).scalar_one():
            return ""
    try:
        return create(database, name=FIRST, roles=Role, author="first start")[1]
    except ConfigurationError:
        # another node of the same database was first
        return ""


def change(
    database: Database,
    user_id: int,
    *,
    roles: Iterable[Role] | None = None,
    display_name: str | None = None,
    disabled: bool | None = None,
    seen: str | None = None,
) -> User:
    """Change what is given; one who is disabled is signed out everywhere.

    Parameters
    ----------
    seen
        The ``state`` that was looked at; None: whatever it is.

    Raises
    ------
    NotFound
        There is no such user.
    ConfigurationError
        A value is wrong.
    Conflict
        No one would be left who may do everything.
    ChangedMeanwhile
        The user is not as was looked at any more.
    """
    values: dict[str, Any] = {}
    if roles is not None or display_name is not None:
        problems = _problems(frozenset(roles) if roles is not None else None, (display_name or "").strip())
        if problems:
            raise ConfigurationError(problems)
    if roles is not None:
        values["roles"] = written(roles)
    if display_name is not None:
        values["display_name"] = display_name.strip()
    if disabled is not None:
        values["disabled"] = disabled
    with database.write() as connection:
        _require_same(get(connection, user_id), seen)
        if values:
            connection.execute(sa.update(console_user).where(console_user.c.id == user_id).values(values))
        _keep_an_admin(connection)
        if disabled:
            connection.execute(sa.delete(console_session).where(console_session.c.user_id == user_id))
        return get(connection, user_id)


def delete(database: Database, user_id: int, *, seen: str | None = None) -> User:
    """Remove a user with all sessions and tokens; ``seen`` and what is raised are as for :func:`change`."""
    with database.write() as connection:
        user = get(connection, user_id)
        _require_same(user, seen)
        connection.execute(sa.delete(console_user).where(console_user.c.id == user_id))
        _keep_an_admin(connection)
        return user


def reset_password(database: Database, user_id: int) -> str:
    """Give a user a new password, to be changed at the next sign-in, and sign the user out; return it.

    Raises
    ------
    NotFound
        There is no such user.
    Conflict
        The user has no password here.
    """
    with database.read() as connection:
        user = get(connection, user_id)
    if not user.has_password:
        raise Conflict(f"{user.name} signs in by an identity provider, and has no password here")
    password = passwords.one_time()
    set_password(database, user_id, password, must_change=True)
    return password


def set_password(database: Database, user_id: int, password: str, *, must_change: bool = False) -> None:
    """Replace the password; all sessions of the user end. Raises NotFound."""
    stored = passwords.hashed(password)
    with database.write() as connection:
        get(connection, user_id)
        connection.execute(
            sa.update(console_user).where(console_user.c.id == user_id).values(password=stored, must_change=must_change)
        )
        connection.execute(sa.delete(console_session).where(console_session.c.user_id == user_id))


def _problems(roles: frozenset[Role] | None, display_name: str) -> list[ConfigProblem]:
    problems = []
    if roles is not None and not roles:
        problems.append(ConfigProblem(place="roles", message=f"none is chosen; there are {', '.join(Role)}"))
    if len(display_name) > 128:
        problems.append(ConfigProblem(place="display_name", message="has more than 128 characters"))
    return problems


def _require_same(user: User, seen: str | None) -> None:
    if seen is not None and seen != user.state:
        raise ChangedMeanwhile(f"somebody else has changed {user.name} meanwhile; look at it again")


def _keep_an_admin(connection: sa.Connection) -> None:
    """Raise, so that the transaction is undone, when nobody could change anything any more."""
    able = [user for user in all_users(connection) if Role.ADMIN in user.roles and not user.disabled]
    if not able:
        raise Conflict("nobody would be left who is an admin and not disabled")
