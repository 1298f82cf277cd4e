"""Access on PostgreSQL, where nodes share users, sessions and tokens."""

from __future__ import annotations

from collections.abc import Callable

from web_support import PASSWORD, ConsoleApp

from karnak_plugins.web_console.access import users


def test_users_sessions_and_tokens_are_those_of_the_database(
    make_console_app: Callable[..., ConsoleApp], postgresql_url: str
) -> None:
    here, there = (make_console_app(database_url=postgresql_url) for _ in range(2))
    password = users.create_first(here.console.database)
    assert password
    assert users.create_first(there.console.database) == ""
    client = here.client()
    client.post("/sign-in", data={"name": "admin", "password": password})
    assert client.submit("/password", {"old": password, "new": PASSWORD, "again": PASSWORD}).status_code == 303
    other = there.client()
    other.cookies.update(client.cookies)
    assert other.get("/overview").status_code == 200
    assert other.submit("/users", {"name": "sara", "roles": ["user"]}).status_code == 200
    program = here.with_token("read", "users", name="admin")
    assert [one["name"] for one in program.get("/api/v1/users").json()["items"]] == ["admin", "sara"]
    assert program.get("/api/v1/audit", params={"limit": 1}).json()["items"][0]["action"] == "add a user"
    assert program.get("/api/v1/status").status_code == 200
    done = there.console.change(
        lambda document: {**document, "listener": {"port": 0}}, expected_version=0, author="admin", comment=""
    )
    assert (done.version, here.client().get("/sign-in").status_code, here.console.version) == (1, 200, 1)
    assert other.submit("/sign-out").status_code == 303
    assert client.get("/overview").status_code == 303
