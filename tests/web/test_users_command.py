"""``karnak users``, for those who cannot sign in any more."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from web_support import ConsoleApp

from karnak_plugins.web_console.access import users
from karnak_plugins.web_console.command import users as command


@pytest.fixture
def run(console_app: ConsoleApp) -> Callable[..., Result]:
    """Run the command on the data of the application."""
    data = str(console_app.console.data_directory)
    return lambda *arguments: CliRunner().invoke(command, [*arguments, "--data", data])


def test_users_are_listed(console_app: ConsoleApp, run: Callable[..., Result]) -> None:
    console_app.add_user("admin")
    console_app.add_user("sara", "user", "investigator", must_change=True)
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["name", "roles", "state", "signed", "in", "last"]
    assert lines[2].split() == ["sara", "investigator,", "user", "has", "a", "one-time", "password", "never"]
    objects = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [(one["name"], one["roles"], one["must_change"]) for one in objects] == [
        ("admin", ["admin"], False),
        ("sara", ["investigator", "user"], True),
    ]
    assert not any("argon2" in str(one) for one in objects)


def test_password_is_reset_and_the_user_let_in_again(console_app: ConsoleApp, run: Callable[..., Result]) -> None:
    client = console_app.signed_in("sara", "admin")
    other = console_app.add_user("other")
    with console_app.console.database.read() as connection:
        sara = next(user for user in users.all_users(connection) if user.name == "sara")
    users.change(console_app.console.database, sara.id, disabled=True)
    result = run("reset-password", "Sara")
    assert result.exit_code == 0
    assert client.get("/overview").status_code == 303
    fields = {"name": "sara", "password": result.stdout.strip()}
    assert console_app.client().post("/sign-in", data=fields).headers["Location"] == "/overview"
    listed = console_app.signed_in(other.name).get("/api/v1/audit").json()["items"]
    assert ("reset a password", "sara", "on the command line") in [
        (one["action"], one["object"], one["detail"]) for one in listed
    ]


def test_unknown_user_is_said(run: Callable[..., Result]) -> None:
    result = run("reset-password", "nobody")
    assert (result.exit_code, result.stderr) == (2, "there is no user 'nobody'; see `karnak users list`\n")
