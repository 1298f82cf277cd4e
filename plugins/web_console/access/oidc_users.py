"""The users that an identity provider knows: each is a row of ``console_user``, made at the first sign-in."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.access import console_user
from karnak_core.model import now_ms
from karnak_plugins.web_console.access.oidc_person import Person, SignInError
from karnak_plugins.web_console.access.roles import written
from karnak_plugins.web_console.access.users import NAME, User, user_of

AUTHOR = "identity provider"


def signed_in(database: Database, person: Person) -> User:
    """Return the user, with the roles of this sign-in; is added where there is none yet.

    The name may be somebody else's here: then a few letters are added. Nobody gets another one's row by a name.

    Raises
    ------
    SignInError
        The user is disabled here, or unknown and without a role. One who is known and has no role any more is
        returned: what was signed in before must lose it, too.
    """
    with database.write() as connection:
        row = connection.execute(sa.select(console_user).where(console_user.c.subject == person.subject)).one_or_none()
        if row is not None and row.disabled:
            raise SignInError(f"{row.name} is disabled here")
        values: dict[str, Any] = {"roles": written(person.roles), "display_name": person.display_name.strip()[:128]}
        if row is None:
            if not person.roles:
                raise SignInError("the identity provider gives you no role here: admin, investigator or user")
            values |= {
                "name": _free_name(connection, person),
                "subject": person.subject,
                "password": None,
                "must_change": False,
                "disabled": False,
                "created_at": now_ms(),
                "created_by": AUTHOR,
            }
            key = connection.execute(sa.insert(console_user).values(values)).inserted_primary_key
            assert key is not None
            number = key[0]
        else:
            number = row.id
            connection.execute(sa.update(console_user).where(console_user.c.id == number).values(values))
        return user_of(connection.execute(sa.select(console_user).where(console_user.c.id == number)).one())


def _free_name(connection: sa.Connection, person: Person) -> str:
    digest = hashlib.sha256(person.subject.encode()).hexdigest()
    name = re.sub(r"[^a-z0-9._@-]", "-", person.name.strip().lower())[:64].lstrip("._@-")
    if not NAME.fullmatch(name):
        name = f"user-{digest[:8]}"
    taken = connection.execute(sa.select(console_user.c.id).where(console_user.c.name == name)).first()
    return f"{name[:55]}-{digest[:8]}" if taken else name
