"""API tokens: rows of ``api_token``; the token itself is shown once, and only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.access import api_token, console_user
from karnak_core.errors import ConfigProblem, ConfigurationError, NotFound
from karnak_plugins.web_console.access.roles import Scope, scopes_in, scopes_of, written
from karnak_plugins.web_console.access.sessions import NOTE_EVERY
from karnak_plugins.web_console.access.users import User, user_of

DAY = 86_400_000
#: found by programs that look for secrets where they should not be
PREFIX = "karnak_"
#: days
LONGEST = 3650
#: for one user
MOST = 100


@dataclass(frozen=True, kw_only=True)
class Token:
    """An API token, without itself."""

    id: int
    user_id: int
    #: the user's
    user_name: str
    name: str
    #: its first characters
    start: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int
    #: last, to the minute; None: never
    used_at: int | None


def create(
    database: Database, user: User, *, name: str, scopes: Iterable[Scope], days: int, now: int
) -> tuple[Token, str]:
    """Make a token; return it with the text that is sent as ``Authorization: Bearer …``.

    Parameters
    ----------
    scopes
        What it is for; only what the user's roles allow, now and when it is used.
    days
        How long it is valid, 1 to 3650.

    Raises
    ------
    ConfigurationError
        A value is wrong.
    """
    name, scopes = name.strip(), frozenset(scopes)
    problems = []
    if not 1 <= len(name) <= 64 or not name.isprintable():
        problems.append(ConfigProblem(place="name", message="is not 1 to 64 printable characters"))
    if not scopes:
        problems.append(ConfigProblem(place="scopes", message="none is chosen"))
    if beyond := scopes - scopes_of(user.roles):
        words = f"{', '.join(sorted(beyond))}: not allowed by the roles of {user.name}"
        problems.append(ConfigProblem(place="scopes", message=words))
    if not 1 <= days <= LONGEST:
        problems.append(ConfigProblem(place="days", message=f"{days} is not 1 to {LONGEST}"))
    if problems:
        raise ConfigurationError(problems)
    text = PREFIX + secrets.token_urlsafe(32)
    values = {
        "user_id": user.id,
        "name": name,
        "hash": _hash(text),
        "start": text[: len(PREFIX) + 4],
        "scopes": written(scopes),
        "created_at": now,
        "expires_at": now + days * DAY,
    }
    with database.write() as connection:
        query = sa.select(sa.func.count()).select_from(api_token).where(api_token.c.user_id == user.id)
        if connection.execute(query).scalar_one() >= MOST:
            words = f"{user.name} has {MOST} tokens, which is the most; delete one"
            raise ConfigurationError([ConfigProblem(place="name", message=words)])
        key = connection.execute(sa.insert(api_token).values(values)).inserted_primary_key
        assert key is not None
        return _get(connection, key[0]), text


def all_tokens(connection: sa.Connection, user_id: int | None = None) -> list[Token]:
    """Return the tokens of a user, or everyone's, the newest first."""
    query = _QUERY.order_by(api_token.c.id.desc())
    if user_id is not None:
        query = query.where(api_token.c.user_id == user_id)
    return [_token_of(row) for row in connection.execute(query)]


def delete(database: Database, token_id: int, user_id: int | None = None) -> Token:
    """Remove a token, of that user if one is given; raises NotFound."""
    with database.write() as connection:
        token = _get(connection, token_id)
        if user_id is not None and token.user_id != user_id:
            raise NotFound("there is no such token")
        connection.execute(sa.delete(api_token).where(api_token.c.id == token_id))
        return token


def find(database: Database, text: str, now: int) -> tuple[User, Token] | None:
    """Return whose token this is; None: of nobody, or it has expired, or the user is disabled."""
    if not text.startswith(PREFIX):
        return None
    with database.read() as connection:
        row = connection.execute(_QUERY.where(api_token.c.hash == _hash(text))).one_or_none()
        if row is None or row.expires_at <= now:
            return None
        owner = connection.execute(sa.select(console_user).where(console_user.c.id == row.user_id)).one()
    if owner.disabled:
        return None
    if row.used_at is None or row.used_at < now - NOTE_EVERY:
        with database.write(durable=False) as connection:
            connection.execute(sa.update(api_token).where(api_token.c.id == row.id).values(used_at=now))
    return user_of(owner), _token_of(row)


_QUERY = sa.select(
    *(column for column in api_token.c if column.name != "hash"), console_user.c.name.label("owner_name")
).join_from(api_token, console_user)


def _get(connection: sa.Connection, token_id: int) -> Token:
    row = connection.execute(_QUERY.where(api_token.c.id == token_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such token")
    return _token_of(row)


def _token_of(row: Any) -> Token:
    return Token(
        id=row.id,
        user_id=row.user_id,
        user_name=row.owner_name,
        name=row.name,
        start=row.start,
        scopes=scopes_in(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
