"""``karnak users``: who may use the console, for those who cannot sign in any more."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from karnak_core.commands.common import WRONG, Place, data_options, fail, told
from karnak_core.commands.people import console, moment, table
from karnak_plugins.web_console.packages import missing

if TYPE_CHECKING:
    from karnak_plugins.web_console.access.users import User


@click.group()
def users() -> None:
    """Users of the web console."""
    if lacking := missing():
        fail(f"karnak users {lacking}", WRONG)


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@data_options
@told
def list_users(as_json: bool, place: Place) -> None:
    """List who may sign in."""
    # not before: they need packages that may not be installed
    from karnak_core.spool.views import iso
    from karnak_plugins.web_console.access.users import all_users

    with closing(place.open_existing()) as database, database.read() as connection:
        found = all_users(connection)
    if as_json:
        for user in found:
            times = {"created_at": iso(user.created_at), "signed_in_at": iso(user.signed_in_at)}
            told_of = {name: value for name, value in asdict(user).items() if name != "subject"}
            click.echo(json.dumps({**told_of, **times, "roles": sorted(user.roles)}, ensure_ascii=False))
        return
    rows = [(one.name, ", ".join(sorted(one.roles)), _state(one), moment(one.signed_in_at) or "never") for one in found]
    console().print(table(("name", "roles", "state", "signed in last"), rows))


@users.command("reset-password")
@click.argument("name")
@data_options
@told
def reset_password(name: str, place: Place) -> None:
    """Give NAME a one-time password, which is printed, and let NAME sign in again if disabled.

    All sessions of the user end.
    """
    from karnak_core.commands.common import who
    from karnak_core.database.access import audit as trail
    from karnak_core.model import now_ms
    from karnak_plugins.web_console.access import users as known

    with closing(place.open_existing()) as database:
        with database.read() as connection:
            found = known.stored_password(connection, name)
        if found is None:
            fail(f"there is no user {name!r}; see `karnak users list`", WRONG)
        user = found[0]
        if not user.has_password:
            fail(f"{user.name} signs in by an identity provider, and has no password here", WRONG)
        password = known.reset_password(database, user.id)
        known.change(database, user.id, disabled=False)
        with database.write() as connection:
            entry = {"at": now_ms(), "who": who(), "address": "", "action": "reset a password", "object": user.name}
            connection.execute(trail.insert().values(**entry, detail="on the command line"))
    click.echo(password)


def _state(user: User) -> str:
    if user.disabled:
        return "disabled"
    return "has a one-time password" if user.must_change else "active"
