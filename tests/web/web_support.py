"""What tests of the console share: an application on data of its own, people who are signed in, and axe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI
from starlette.testclient import TestClient

from karnak_core.commands.common import Place
from karnak_core.config.store import Following
from karnak_core.database.access import console_user
from karnak_core.spool.wakeups import open_wakeups
from karnak_core.testing.ledger import open_empty
from karnak_plugins.web_console.access import passwords, sessions, tokens, users
from karnak_plugins.web_console.access.cookies import limits, session_cookie
from karnak_plugins.web_console.access.roles import Role, Scope, written
from karnak_plugins.web_console.access.users import User
from karnak_plugins.web_console.app import create_app
from karnak_plugins.web_console.config import WebConsole
from karnak_plugins.web_console.console import Console

#: everybody's in these tests
PASSWORD = "a rather long password"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
HOST = "http://127.0.0.1:8081"


class Client(TestClient):
    """A browser without a window: keeps cookies, follows no redirect."""

    __test__ = False

    def __init__(self, app: FastAPI, headers: Mapping[str, str] | None = None) -> None:
        # what goes wrong in the application is an answer here, too
        super().__init__(
            app, base_url=HOST, follow_redirects=False, headers=dict(headers or {}), raise_server_exceptions=False
        )

    def csrf(self) -> str:
        """Return the token of the session, as the pages have it."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/password").text)
        assert found, "nobody is signed in"
        return found[1]

    def submit(self, path: str, fields: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Send a form of one of our pages."""
        return self.post(path, data={"csrf_token": self.csrf(), **(fields or {})}, **more)


@dataclass(frozen=True, kw_only=True)
class ConsoleApp:
    """The application, and the console that it is of."""

    console: Console
    app: FastAPI

    def client(self, headers: Mapping[str, str] | None = None) -> Client:
        """Return a browser in which nobody is signed in."""
        return Client(self.app, headers)

    def add_user(self, name: str, *roles: Role | str, must_change: bool = False) -> User:
        """Add a user with the password of all."""
        values = {
            "name": name,
            "password": _hashed_once(),
            "roles": written(Role(role) for role in roles or ("admin",)),
            "must_change": must_change,
            "disabled": False,
            "created_at": self.console.clock(),
            "created_by": "test",
        }
        with self.console.database.write() as connection:
            key = connection.execute(sa.insert(console_user).values(values)).inserted_primary_key
            assert key is not None
            return users.get(connection, key[0])

    def signed_in(self, name: str = "admin", *roles: Role | str) -> Client:
        """Return a browser in which a user is signed in, who is added first where there is none of this name.

        Parameters
        ----------
        *roles
            Of a user who is added; without any: admin.
        """
        user = self._user(name, *roles)
        config = self.console.config
        client = self.client()
        cookie = sessions.begin(self.console.database, user, self.console.clock(), limits(config))
        client.cookies.set(session_cookie(config), cookie, domain=client.base_url.host, path="/")
        return client

    def with_token(self, *scopes: Scope | str, name: str = "program", days: int = 1) -> Client:
        """Return a program with an API token of an admin of this name, who is added where there is none."""
        _, text = tokens.create(
            self.console.database,
            self._user(name, "admin"),
            name="for a test",
            scopes=[Scope(scope) for scope in scopes],
            days=days,
            now=self.console.clock(),
        )
        return self.client({"Authorization": f"Bearer {text}"})

    def _user(self, name: str, *roles: Role | str) -> User:
        with self.console.database.read() as connection:
            known = {user.name: user for user in users.all_users(connection)}
        return known.get(name) or self.add_user(name, *roles)


@cache
def _hashed_once() -> str:
    return passwords.hashed(PASSWORD)


def make_console(data: Path, config: WebConsole | None = None, database_url: str | None = None) -> Console:
    """Open a console on a data directory, without a gateway."""
    place = Place(data_directory=data, database_url=database_url)
    place.prepare()
    there = database_url is not None or (data / "karnak.db").exists()
    database = place.open_database() if there else open_empty(data)
    following = Following.start(database, place)
    return Console(
        data_directory=data,
        database=database,
        vault=place.open_vault(),
        plugins=following.plugins,
        following=following,
        wake=open_wakeups(database, data),
        config=config or WebConsole(),
    )


def make_app(data: Path, config: WebConsole | None = None, database_url: str | None = None) -> ConsoleApp:
    """Return the application on a data directory, without a gateway."""
    console = make_console(data, config, database_url)
    try:
        return ConsoleApp(console=console, app=create_app(console))
    except BaseException:
        console.wake.close()
        console.database.close()
        raise


def check_accessibility(page: Any, *rules: str) -> None:
    """Fail with every violation of WCAG 2.2 A and AA that axe finds on a page of the browser; ``rules``: of these."""
    if not page.evaluate("typeof window.axe === 'object'"):
        # not as a script element, which the page's policy refuses
        page.evaluate(AXE.read_text("utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": tags}
    # nothing but what is wrong is looked for in detail, which is most of the work
    asked = "only => axe.run(document, {runOnly: only, resultTypes: ['violations'], elementRef: false})"
    found = page.evaluate(asked, only)
    said = [
        f"{one['id']}: {one['help']}: {node['html'][:200]} ({node['failureSummary']})"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert said == [], "\n".join(said)
    assert found["passes"], "axe looked at nothing"
