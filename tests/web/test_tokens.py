"""API tokens: what they are for, whose they are, and when they end."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import Client, ConsoleApp

from karnak_core.database.access import api_token
from karnak_core.errors import ConfigurationError
from karnak_plugins.web_console.access import tokens, users
from karnak_plugins.web_console.access.roles import Role, Scope


def make(client: Client, **fields: Any) -> Any:
    return client.submit("/account/tokens", {"name": "monitor", "days": "30", "scopes": ["read"], **fields})


def shown(answer: Any) -> str:
    found = re.search(r'<code id="once-value">([^<]+)</code>', answer.text)
    assert found, answer.text
    return found[1]


def test_a_token_is_shown_once_and_works(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    text = shown(make(client))
    assert text.startswith("karnak_")
    assert text not in client.get("/account").text
    program = console_app.client({"Authorization": f"Bearer {text}"})
    assert program.get("/api/v1/status").status_code == 200
    assert "never" not in client.get("/account").text.split("<tbody>")[1].split("</tbody>")[0]
    with console_app.console.database.read() as connection:
        row = connection.execute(sa.select(api_token)).one()
    assert text not in row


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "is not 1 to 64 printable characters"),
        ({"name": "a\x07"}, "is not 1 to 64 printable characters"),
        ({"scopes": []}, "none is chosen"),
        ({"scopes": ["everything"]}, "none is chosen"),
        ({"days": "0"}, "0 is not 1 to 3650"),
        ({"days": "many"}, "0 is not 1 to 3650"),
        ({"days": "99999"}, "99999 is not 1 to 3650"),
    ],
)
def test_a_token_that_cannot_be_made_says_why(console_app: ConsoleApp, fields: dict[str, Any], words: str) -> None:
    answer = make(console_app.signed_in(), **fields)
    assert answer.status_code == 422
    assert words in answer.text


def test_a_token_may_not_do_more_than_its_user(console_app: ConsoleApp) -> None:
    answer = make(console_app.signed_in("sara", "user"), scopes=["users"])
    assert answer.status_code == 422
    assert "users: not allowed by the roles of sara" in answer.text


def test_a_token_loses_what_its_user_loses(console_app: ConsoleApp) -> None:
    database = console_app.console.database
    console_app.add_user("admin")
    program = console_app.with_token("read", name="owner")
    assert program.get("/api/v1/status").status_code == 200
    with database.read() as connection:
        owner = next(user for user in users.all_users(connection) if user.name == "owner")
    users.change(database, owner.id, roles=[Role.USER])
    assert program.get("/api/v1/status").status_code == 403
    users.change(database, owner.id, disabled=True)
    assert program.get("/api/v1/status").status_code == 401


def test_a_token_expires(console_app: ConsoleApp) -> None:
    database, user = console_app.console.database, console_app.add_user("admin")
    _, text = tokens.create(database, user, name="short", scopes=[Scope.READ], days=1, now=0)
    assert tokens.find(database, text, tokens.DAY - 1)
    assert tokens.find(database, text, tokens.DAY) is None
    answer = console_app.client({"Authorization": f"Bearer {text}"}).get("/api/v1/status")
    assert (answer.status_code, answer.json()["detail"]) == (401, "the API token is not known, or has expired")


@pytest.mark.parametrize(
    "authorization", ["Bearer karnak_", "Bearer", "Bearer x", "Basic YWRtaW46YWRtaW4=", "karnak_x", "bearer  karnak_x"]
)
def test_whatever_else_is_sent_as_a_token_is_refused(console_app: ConsoleApp, authorization: str) -> None:
    client = console_app.signed_in()
    # a session beside it does not help
    answer = client.get("/api/v1/status", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_token_needs_no_token_of_a_page(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read", "deliveries")
    made = program.post("/api/v1/tokens", json={"name": "smaller", "scopes": ["read"], "days": 1})
    assert made.status_code in (201, 403)
    made = program.post("/api/v1/tokens", json={"name": "larger", "scopes": ["users"]})
    assert made.status_code == 403


def test_a_token_makes_none_that_may_more_or_lasts_longer(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read", days=10)
    ask = {"name": "child", "scopes": ["read"], "days": 5}
    assert program.post("/api/v1/tokens", json=ask).status_code == 201
    longer = program.post("/api/v1/tokens", json={**ask, "days": 20})
    assert (longer.status_code, "valid longer" in longer.json()["detail"]) == (403, True)
    more = program.post("/api/v1/tokens", json={**ask, "scopes": ["read", "secrets"]})
    assert (more.status_code, more.json()["detail"]) == (403, "this needs the scope secrets")


def test_nobody_sees_or_deletes_the_token_of_another(console_app: ConsoleApp) -> None:
    console_app.with_token("read", name="owner")
    with console_app.console.database.read() as connection:
        (token,) = tokens.all_tokens(connection)
    other = console_app.signed_in("sara", "user")
    other.headers["X-CSRF-Token"] = other.csrf()
    assert other.get("/api/v1/tokens").json()["items"] == []
    assert other.delete(f"/api/v1/tokens/{token.id}").status_code == 404
    assert other.submit(f"/account/tokens/{token.id}/delete").status_code == 404
    assert token.start not in other.get("/account").text
    with console_app.console.database.read() as connection:
        assert tokens.all_tokens(connection) == [token]


def test_an_admin_deletes_anybodys_token(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read", name="owner")
    admin = console_app.signed_in()
    found = admin.get("/api/v1/tokens").json()["items"]
    assert [one["user_name"] for one in found] == ["owner"]
    assert set(found[0]) == {
        "id",
        "user_name",
        "name",
        "start",
        "scopes",
        "created_at",
        "expires_at",
        "used_at",
    }
    assert admin.submit(f"/users/tokens/{found[0]['id']}/delete").headers["Location"] == "/users"
    assert program.get("/api/v1/status").status_code == 401


def test_a_user_has_so_many_tokens_at_most(console_app: ConsoleApp) -> None:
    database, user = console_app.console.database, console_app.add_user("admin")
    for _ in range(tokens.MOST):
        tokens.create(database, user, name="one", scopes=[Scope.READ], days=1, now=0)
    with pytest.raises(ConfigurationError, match="admin has 100 tokens, which is the most"):
        tokens.create(database, user, name="one", scopes=[Scope.READ], days=1, now=0)
