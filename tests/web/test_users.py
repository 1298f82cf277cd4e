"""Users, by the pages and by the API."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import PASSWORD, Client, ConsoleApp

from karnak_core.database.access import audit
from karnak_core.errors import Conflict
from karnak_plugins.web_console.access import users
from karnak_plugins.web_console.access.audit import KEPT, remove_old
from karnak_plugins.web_console.access.roles import Role, Scope


def number_of(console_app: ConsoleApp, name: str) -> int:
    with console_app.console.database.read() as connection:
        return next(user.id for user in users.all_users(connection) if user.name == name)


def seen_of(client: Client, number: int) -> dict[str, str]:
    """Return the hidden field of a user's page."""
    found = re.search(r'name="seen" value="([^"]+)"', client.get(f"/users/{number}").text)
    assert found
    return {"seen": found[1]}


def test_a_user_is_added_with_a_password_that_is_shown_once(console_app: ConsoleApp) -> None:
    admin = console_app.signed_in()
    answer = admin.submit("/users", {"name": "Sara", "display_name": "Sara R.", "roles": ["user", "investigator"]})
    password = re.search(r'<code id="once-value">([^<]+)</code>', answer.text)
    assert password
    assert password[1] not in admin.get("/users").text
    client = console_app.client()
    signed_in = client.post("/sign-in", data={"name": "sara", "password": password[1]})
    assert signed_in.status_code == 303
    assert client.get("/account").headers["Location"] == "/password"
    client.submit("/password", {"old": password[1], "new": PASSWORD, "again": PASSWORD})
    assert "investigator, user" in client.get("/account").text
    assert "Sara R." in client.get("/account").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "&#39;&#39; is not 1 to 64 of a-z"),
        ({"name": "ADMIN"}, "&#39;admin&#39; is another user&#39;s"),
        ({"name": "<script>"}, "&#39;&lt;script&gt;&#39; is not 1 to 64 of a-z"),
        ({"name": "a" * 65}, "is not 1 to 64 of a-z"),
        ({"roles": []}, "none is chosen; there are admin, investigator, user"),
        ({"roles": ["boss"]}, "none is chosen; there are admin, investigator, user"),
        ({"display_name": "x" * 129}, "has more than 128 characters"),
    ],
)
def test_a_user_that_cannot_be_added_says_why_and_keeps_what_was_typed(
    console_app: ConsoleApp, fields: dict[str, Any], words: str
) -> None:
    admin = console_app.signed_in()
    answer = admin.submit("/users", {"name": "sara", "display_name": "Typed", "roles": ["user"], **fields})
    assert answer.status_code == 422
    assert words in answer.text
    assert 'role="alert"' in answer.text
    if "display_name" not in fields:
        assert 'value="Typed"' in answer.text
    assert "<script>" not in answer.text


def test_names_that_people_are_shown_as_are_text(console_app: ConsoleApp) -> None:
    admin = console_app.signed_in()
    admin.submit("/users", {"name": "sara", "display_name": "<img src=x onerror=alert(1)>", "roles": ["user"]})
    for path in ("/users", f"/users/{number_of(console_app, 'sara')}"):
        assert "<img src=x" not in admin.get(path).text


def test_a_reset_password_ends_the_sessions(console_app: ConsoleApp) -> None:
    admin, sara = console_app.signed_in(), console_app.signed_in("sara", "user")
    answer = admin.submit(f"/users/{number_of(console_app, 'sara')}/password")
    password = re.search(r'<code id="once-value">([^<]+)</code>', answer.text)
    assert password
    assert sara.get("/account").status_code == 303
    assert console_app.client().post("/sign-in", data={"name": "sara", "password": PASSWORD}).status_code == 401
    again = console_app.client().post("/sign-in", data={"name": "sara", "password": password[1]})
    assert again.status_code == 303


def test_a_deleted_user_is_gone_with_sessions_and_tokens(console_app: ConsoleApp) -> None:
    admin, sara = console_app.signed_in(), console_app.signed_in("sara", "admin")
    program = console_app.with_token("read", name="sara")
    assert program.get("/api/v1/status").status_code == 200
    number = number_of(console_app, "sara")
    assert admin.submit(f"/users/{number}/delete", seen_of(admin, number)).headers["Location"] == "/users"
    assert "sara is deleted." in admin.get("/users").text
    assert sara.get("/overview").status_code == 303
    assert program.get("/api/v1/status").status_code == 401


def test_nobody_locks_themselves_out(console_app: ConsoleApp) -> None:
    admin = console_app.signed_in()
    number = number_of(console_app, "admin")
    assert admin.submit(f"/users/{number}/delete").status_code == 409
    assert admin.submit(f"/users/{number}", {"roles": "admin", "disabled": "on"}).status_code == 409
    answer = admin.submit(f"/users/{number}", {"roles": "user", **seen_of(admin, number)})
    assert answer.status_code == 409
    assert "obody would be left who is an admin" in answer.text
    assert admin.submit(f"/users/{number}/password").status_code == 409
    assert admin.get("/users").status_code == 200


def test_an_admin_who_may_sign_in_is_always_left(console_app: ConsoleApp) -> None:
    database = console_app.console.database
    one, other = console_app.add_user("one"), console_app.add_user("other")
    users.change(database, one.id, disabled=True)
    with pytest.raises(Conflict, match="nobody would be left who is an admin and not disabled"):
        users.change(database, other.id, roles=[Role.USER])
    with pytest.raises(Conflict):
        users.delete(database, other.id)
    with database.read() as connection:
        assert users.get(connection, other.id).roles == {Role.ADMIN}


def test_a_page_from_before_lets_nobody_in_again_who_was_shut_out(console_app: ConsoleApp) -> None:
    first, second = console_app.signed_in(), console_app.signed_in("second", "admin")
    number = console_app.add_user("sara", "admin").id
    before = seen_of(second, number)
    shut_out = {"roles": "user", "disabled": "on", **seen_of(first, number)}
    assert first.submit(f"/users/{number}", shut_out).status_code == 303
    for path, fields in (
        (f"/users/{number}", {"roles": "admin", "display_name": "S."}),
        (f"/users/{number}/delete", {}),
    ):
        for seen in (before, {}):
            answer = second.submit(path, {**fields, **seen})
            assert answer.status_code == 409
            assert "Nothing is changed: somebody else has changed sara meanwhile" in answer.text
            assert re.search(r'name="disabled"[^>]* checked', answer.text), "it is shown as it is now"
    with console_app.console.database.read() as connection:
        user = users.get(connection, number)
    assert (user.disabled, user.roles) == (True, {Role.USER})
    assert second.submit(f"/users/{number}/delete", seen_of(second, number)).status_code == 303


# ---- the API -----------------------------------------------------------------------------------------------------


def test_users_by_the_api(console_app: ConsoleApp) -> None:
    program = console_app.with_token("users")
    added = program.post("/api/v1/users", json={"name": "sara", "roles": ["user"]})
    assert added.status_code == 201
    user = added.json()["user"]
    assert (user["name"], user["roles"], user["must_change"]) == ("sara", ["user"], True)
    path = f"/api/v1/users/{user['id']}"
    seen = {"If-Match": program.get(path).headers["ETag"]}
    change = {"roles": ["investigator"], "display_name": "Sara"}
    changed = program.patch(path, json=change, headers=seen)
    assert (changed.json()["roles"], changed.json()["display_name"]) == (["investigator"], "Sara")
    assert program.get(path).json() == changed.json()
    assert program.get(path).headers["ETag"] == changed.headers["ETag"]
    assert program.patch(path, json=change, headers=seen).status_code == 412
    assert program.delete(path, headers=seen).status_code == 412
    assert program.patch(path, json=change).status_code == 428
    assert program.delete(path).status_code == 428
    reset = program.post(f"{path}/password").json()
    assert reset["one_time_password"] != added.json()["one_time_password"]
    assert [one["name"] for one in program.get("/api/v1/users").json()["items"]] == ["program", "sara"]
    assert program.delete(path, headers={"If-Match": changed.headers["ETag"]}).status_code == 204
    assert program.delete(path, headers={"If-Match": "*"}).status_code == 404
    own = next(one for one in program.get("/api/v1/users").json()["items"] if one["name"] == "program")
    assert program.delete(f"/api/v1/users/{own['id']}", headers={"If-Match": "*"}).status_code == 409


def test_no_answer_has_a_hash(console_app: ConsoleApp) -> None:
    program = console_app.with_token("users")
    for path in ("/api/v1/users", "/api/v1/tokens", "/api/v1/audit"):
        text = program.get(path).text
        assert "argon2" not in text
        assert not re.search(r"[0-9a-f]{64}", text)


def test_what_is_done_is_written_down_page_by_page(console_app: ConsoleApp) -> None:
    program = console_app.with_token("users", name="robot")
    for number in range(5):
        program.post("/api/v1/users", json={"name": f"user{number}", "roles": ["user"]})
    first = program.get("/api/v1/audit", params={"limit": 3}).json()
    second = program.get("/api/v1/audit", params={"limit": 3, "cursor": first["next"]}).json()
    assert second["next"] is None
    found = [*first["items"], *second["items"]]
    assert [one["object"] for one in found] == [f"user{number}" for number in (4, 3, 2, 1, 0)]
    assert found[0]["who"] == "robot (token for a test)"
    assert (found[0]["action"], found[0]["detail"], found[0]["address"]) == ("add a user", "roles user", "testclient")


def test_what_was_done_years_ago_is_forgotten(console_app: ConsoleApp) -> None:
    console = console_app.console
    with console.database.write() as connection:
        for at in (console.clock() - KEPT - 1000, console.clock()):
            values = {"at": at, "who": "x", "address": "", "action": "x", "object": "x"}
            connection.execute(sa.insert(audit).values(values))
    assert remove_old(console) == 1


def test_the_description_of_the_api_has_every_operation(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read")
    described = program.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert all(path.startswith(("/api/v1/", "/api/echo/")) for path in described["paths"])
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (path, method)
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], (path, method)
            assert bool(operation["security"]) != path.startswith("/api/echo/"), (path, method)
    assert program.get("/api/v1/openapi.json").text.count("password_hash") == 0


def test_scopes_have_meanings_and_admins_have_all() -> None:
    from karnak_plugins.web_console.access.roles import ALLOWED, MEANINGS

    assert set(MEANINGS) == set(Scope)
    assert ALLOWED[Role.ADMIN] == frozenset(Scope)
