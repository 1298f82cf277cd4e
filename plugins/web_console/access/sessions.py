"""Sessions: rows of ``console_session``, each known by the hash of a cookie that only the browser has."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.access import console_session, console_user
from karnak_plugins.web_console.access.users import User, user_of

#: milliseconds between two notes of when a session was used last
NOTE_EVERY = 60_000


@dataclass(frozen=True, kw_only=True)
class Session:
    """Somebody's sign-in, in one browser."""

    #: the hash of the cookie
    id: str
    #: goes with every request that changes something
    csrf: str
    created_at: int
    seen_at: int
    #: encrypted, of an identity provider; None: signed in by password
    id_token: str | None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long sessions last, in milliseconds."""

    idle: int
    whole: int


def begin(database: Database, user: User, now: int, limits: Limits, *, id_token: str | None = None) -> str:
    """Begin a session; return its cookie. Sessions that are over are removed on the way."""
    cookie = secrets.token_urlsafe(32)
    with database.write() as connection:
        connection.execute(
            sa.delete(console_session).where(
                sa.or_(console_session.c.created_at < now - limits.whole, console_session.c.seen_at < now - limits.idle)
            )
        )
        connection.execute(
            sa.insert(console_session).values(
                id=_hash(cookie),
                user_id=user.id,
                csrf=secrets.token_urlsafe(32),
                created_at=now,
                seen_at=now,
                id_token=id_token,
            )
        )
        connection.execute(sa.update(console_user).where(console_user.c.id == user.id).values(signed_in_at=now))
    return cookie


def find(
    database: Database, cookie: str, now: int, limits: Limits, *, somebody: bool = True
) -> tuple[User, Session] | None:
    """Return whose session this is; None: of nobody, or it is over, or the user is disabled.

    Parameters
    ----------
    somebody
        False: a page asks by itself, which does not tell that anybody is there.
    """
    key = _hash(cookie)
    query = (
        sa.select(
            console_user,
            console_session.c.csrf,
            console_session.c.created_at.label("began_at"),
            console_session.c.seen_at,
            console_session.c.id_token,
        )
        .join_from(console_session, console_user)
        .where(console_session.c.id == key)
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None or row.disabled or row.began_at < now - limits.whole or row.seen_at < now - limits.idle:
        return None
    if somebody and row.seen_at < now - NOTE_EVERY:
        with database.write(durable=False) as connection:
            connection.execute(sa.update(console_session).where(console_session.c.id == key).values(seen_at=now))
    session = Session(id=key, csrf=row.csrf, created_at=row.began_at, seen_at=row.seen_at, id_token=row.id_token)
    return user_of(row), session


def end(database: Database, session: Session) -> None:
    """End a session."""
    with database.write() as connection:
        connection.execute(sa.delete(console_session).where(console_session.c.id == session.id))


def _hash(cookie: str) -> str:
    # it is random and long: nothing can be guessed from the hash
    return hashlib.sha256(cookie.encode()).hexdigest()
