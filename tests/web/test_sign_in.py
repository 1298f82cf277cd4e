"""Signing in and out: passwords, sessions, attempts."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import PASSWORD, Client, ConsoleApp

from karnak_core.database.access import audit, console_session, console_user
from karnak_plugins.web_console.access import passwords, sessions, users
from karnak_plugins.web_console.access.attempts import (
    FORGET,
    FREE_FOR_ADDRESS,
    FREE_FOR_NAME,
    FREE_FOR_NAME_ANYWHERE,
    LONGEST_FOR_ADDRESS,
    LONGEST_FOR_NAME,
    MOST,
    Attempts,
)
from karnak_plugins.web_console.access.cookies import limits
from karnak_plugins.web_console.app import create_app
from karnak_plugins.web_console.config import WebConsole


def attempt(client: Client, name: str = "admin", password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/sign-in", data={"name": name, "password": password, **more})


def said(console_app: ConsoleApp) -> list[tuple[str, str]]:
    """Return who did what, the oldest first."""
    with console_app.console.database.read() as connection:
        return [(row.who, row.action) for row in connection.execute(sa.select(audit).order_by(audit.c.id))]


def test_the_first_start_makes_an_admin_with_a_one_time_password_once(console_app: ConsoleApp) -> None:
    database = console_app.console.database
    password = users.create_first(database)
    assert len(password) == 19
    assert users.create_first(database) == ""
    client = console_app.client()
    assert attempt(client, "admin", password).headers["Location"] == "/overview"
    assert client.get("/overview").headers["Location"] == "/password"
    changed = client.submit("/password", {"old": password, "new": PASSWORD, "again": PASSWORD})
    assert (changed.status_code, changed.headers["Location"]) == (303, "/overview")
    assert client.get("/overview").status_code == 200
    assert attempt(console_app.client(), "admin", password).status_code == 401


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"old": "wrong"}, "old", "is not your password"),
        ({"new": "short", "again": "short"}, "new", "has 5 characters; at least 12 are needed"),
        ({"new": "ababababababab", "again": "ababababababab"}, "new", "consists of fewer than 5 different characters"),
        ({"new": "the admin of it all", "again": "the admin of it all"}, "new", "contains the user&#39;s name"),
        ({"new": PASSWORD, "again": PASSWORD}, "new", "is the one that you have"),
        ({"again": "another one of mine"}, "again", "is not the same"),
    ],
)
def test_a_new_password_has_rules(console_app: ConsoleApp, fields: dict[str, str], place: str, words: str) -> None:
    client = console_app.signed_in()
    new = "a new one, quite long"
    answer = client.submit("/password", {"old": PASSWORD, "new": new, "again": new, **fields})
    assert answer.status_code == 422
    assert f'<small id="{place}-error" class="error">{words}' in answer.text
    assert attempt(console_app.client()).status_code == 303


def test_a_changed_password_ends_every_session_but_goes_on_in_a_new_one(console_app: ConsoleApp) -> None:
    here, elsewhere = console_app.signed_in(), console_app.signed_in()
    before = here.cookies["karnak"]
    new = "a new one, quite long"
    assert here.submit("/password", {"old": PASSWORD, "new": new, "again": new}).status_code == 303
    assert here.cookies["karnak"] != before
    assert here.get("/overview").status_code == 200
    assert elsewhere.get("/overview").status_code == 303


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    console_app.add_user("gone")
    with console_app.console.database.write() as connection:
        connection.execute(sa.update(console_user).where(console_user.c.name == "gone").values(disabled=True))
    wrong = attempt(console_app.client(), "admin", "wrong")
    unknown = attempt(console_app.client(), "nobody", "wrong")
    disabled = attempt(console_app.client(), "gone")
    assert [one.status_code for one in (wrong, unknown, disabled)] == [401, 401, 401]
    assert unknown.text.replace("nobody", "admin") == wrong.text
    assert disabled.text.replace("gone", "admin") == wrong.text
    assert "set-cookie" not in wrong.headers


def test_an_unknown_name_costs_a_hash_too() -> None:
    stored = passwords.hashed(PASSWORD)
    assert passwords.matches(PASSWORD, stored)
    assert not passwords.matches(PASSWORD, None)
    # the same parameters, hence the same work
    assert passwords._nobody.split("$")[:4] == stored.split("$")[:4]


def test_what_was_typed_as_an_unknown_name_is_not_written_down(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    attempt(console_app.client(), "my secret password", "admin")
    attempt(console_app.client(), "admin", "wrong")
    attempt(console_app.client())
    assert said(console_app) == [
        ("an unknown user", "fail to sign in"),
        ("admin", "fail to sign in"),
        ("admin", "sign in"),
    ]


def test_names_are_found_in_any_case(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    assert attempt(console_app.client(), " Admin ").status_code == 303


@pytest.mark.parametrize(
    ("wanted", "goes_to"),
    [
        ("/users", "/users"),
        ("/users/1?a=b", "/users/1?a=b"),
        ("https://evil.example/", "/overview"),
        ("//evil.example/", "/overview"),
        ("/\\evil.example/", "/overview"),
        ("javascript:alert(1)", "/overview"),
        ("/a\nb", "/overview"),
    ],
)
def test_after_signing_in_one_goes_on_to_where_one_was_going(
    console_app: ConsoleApp, wanted: str, goes_to: str
) -> None:
    console_app.add_user("admin")
    client = console_app.client()
    assert attempt(client, next=wanted).headers["Location"] == goes_to
    assert client.get("/sign-in", params={"next": wanted}).headers["Location"] == goes_to


def test_who_is_no_admin_comes_to_pages_of_their_own(console_app: ConsoleApp) -> None:
    client = console_app.signed_in("sara", "user")
    first = client.get("/").headers["Location"]
    assert client.get(first).status_code == 200


# ---- cookies and sessions ----------------------------------------------------------------------------------------


def test_the_cookie_is_kept_from_scripts_and_other_sites(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    cookie, known = attempt(console_app.client()).headers.get_list("Set-Cookie")
    assert known.endswith("; HttpOnly; Max-Age=15552000; Path=/sign-in; SameSite=lax")
    assert cookie.startswith("karnak=")
    assert cookie.endswith("; HttpOnly; Path=/; SameSite=lax")


def test_the_cookie_goes_by_https_only_where_that_is_how_people_come(
    make_console_app: Callable[..., ConsoleApp],
) -> None:
    console_app = make_console_app(config=WebConsole(public_url="https://karnak.example.org"))
    console_app.add_user("admin")
    client = console_app.client()
    client.base_url = "https://karnak.example.org"
    answer = attempt(client)
    assert answer.headers["Set-Cookie"].startswith("__Host-karnak=")
    assert "; Secure" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert client.get("/overview").status_code == 200


def test_a_cookie_from_before_the_sign_in_is_worth_nothing_after_it(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    client = console_app.client()
    client.cookies.set("karnak", "fixed-by-somebody", domain="127.0.0.1", path="/")
    assert attempt(client).status_code == 303
    other = console_app.client()
    other.cookies.set("karnak", "fixed-by-somebody", domain="127.0.0.1", path="/")
    assert other.get("/overview").status_code == 303


def test_signing_in_again_ends_the_session_before(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    before = client.cookies["karnak"]
    assert attempt(client, csrf_token=client.csrf()).status_code == 303
    other = console_app.client()
    other.cookies.set("karnak", before, domain="127.0.0.1", path="/")
    assert other.get("/overview").status_code == 303


def test_signing_out_ends_the_session_for_whoever_has_its_cookie(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    stolen = client.cookies["karnak"]
    answer = client.submit("/sign-out")
    assert answer.headers["Location"] == "/sign-in"
    assert "karnak" not in client.cookies
    thief = console_app.client()
    thief.cookies.set("karnak", stolen, domain="127.0.0.1", path="/")
    assert thief.get("/overview").status_code == 303


def test_the_database_does_not_have_what_is_in_the_cookie(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    with console_app.console.database.read() as connection:
        row = connection.execute(sa.select(console_session)).one()
        stored = connection.execute(sa.select(console_user.c.password)).scalar_one()
    assert client.cookies["karnak"] not in row
    assert stored.startswith("$argon2id$")


def test_sessions_end_when_idle_and_after_their_whole_time(console_app: ConsoleApp) -> None:
    database, user = console_app.console.database, console_app.add_user("admin")
    ends = limits(WebConsole(idle=600, signed_in=3600))
    cookie = sessions.begin(database, user, 0, ends)
    assert sessions.find(database, cookie, 600_000, ends)
    assert sessions.find(database, cookie, 1_200_000, ends)
    assert sessions.find(database, cookie, 1_800_001, ends) is None
    idle_no_more = sessions.begin(database, user, 0, ends)
    for minute in range(0, 61, 5):
        assert sessions.find(database, idle_no_more, minute * 60_000, ends), minute
    assert sessions.find(database, idle_no_more, 3_600_001, ends) is None
    sessions.begin(database, user, 10_000_000, ends)
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(console_session)).scalar() == 1


@pytest.mark.parametrize(
    "path", ["/monitoring/live?period=all", "/overview/live", "/overview/traffic", "/gateway/live"]
)
def test_a_page_that_follows_by_itself_keeps_nobody_signed_in(console_app: ConsoleApp, path: str) -> None:
    now = [console_app.console.clock()]
    console = replace(console_app.console, clock=lambda: now[0])
    client = ConsoleApp(console=console, app=create_app(console)).signed_in()
    minute = 60_000
    for _ in range(5):
        now[0] += 20 * minute
        # somebody is there
        assert client.get(path.rpartition("/")[0]).status_code == 200
        now[0] += 5 * minute
        assert client.get(path, headers={"HX-Request": "true"}).status_code == 200
    statuses = []
    for _ in range(5):
        now[0] += 6 * minute
        statuses.append(client.get(path, headers={"HX-Request": "true"}).status_code)
    assert statuses == [200, 200, 200, 200, 401], "somebody was there 29 minutes ago, at most"


def test_a_disabled_user_is_out_at_once(console_app: ConsoleApp) -> None:
    admin, other = console_app.signed_in(), console_app.signed_in("other")
    user = next(row for row in admin.get("/users").text.splitlines() if ">other</a>" in row).split("/users/")[1]
    number = user.split('"')[0]
    seen = re.search(r'name="seen" value="([^"]+)"', admin.get(f"/users/{number}").text)
    assert seen
    assert admin.submit(f"/users/{number}", {"roles": "admin", "disabled": "on", "seen": seen[1]}).status_code == 303
    assert other.get("/overview").status_code == 303
    assert attempt(console_app.client(), "other").status_code == 401


def test_a_live_part_whose_session_is_over_reloads_the_page(console_app: ConsoleApp) -> None:
    answer = console_app.client().get("/overview/live", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.text) == (401, "")


# ---- attempts ----------------------------------------------------------------------------------------------------


def test_after_some_wrong_passwords_the_right_one_has_to_wait_too(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    # the pause does not pass while the test runs
    console_app.app.state.attempts = Attempts(lambda: 0.0)
    client = console_app.client()
    for _ in range(FREE_FOR_NAME):
        assert attempt(client, password="wrong").status_code == 401
    answer = attempt(client)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    unknown = [attempt(client, "nobody", "wrong").status_code for _ in range(FREE_FOR_NAME + 1)]
    assert unknown == [401] * FREE_FOR_NAME + [429]


def test_pauses_grow_to_a_limit_and_are_forgotten() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(FREE_FOR_NAME):
        assert attempts.begin("admin", "10.0.0.1") == 0
    found = []
    for _ in range(9):
        # one that has to wait does not count
        found.append(attempts.begin("ADMIN ", "10.0.0.1"))
        assert attempts.begin("admin", "10.0.0.1") == found[-1]
        now[0] += found[-1]
        assert attempts.begin("admin", "10.0.0.1") == 0
    assert found == [1, 2, 4, 8, 16, 32, LONGEST_FOR_NAME, LONGEST_FOR_NAME, LONGEST_FOR_NAME]
    assert attempts.begin("other", "10.0.0.1") == 0
    assert attempts.begin("admin", "10.0.0.2") == 0
    now[0] += FORGET + LONGEST_FOR_NAME
    for _ in range(FREE_FOR_NAME):
        assert attempts.begin("admin", "10.0.0.1") == 0


def test_an_address_that_tries_many_names_waits_longer() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for number in range(FREE_FOR_ADDRESS + 30):
        now[0] += attempts.begin(f"user{number}", "10.0.0.1")
        attempts.begin(f"user{number}", "10.0.0.1")
    assert attempts.begin("never-tried", "10.0.0.1") == LONGEST_FOR_ADDRESS
    assert attempts.begin("never-tried", "10.0.0.2") == 0


def test_many_attempts_at_once_are_no_more_than_one_after_the_other() -> None:
    attempts = Attempts(lambda: 0.0)
    together = threading.Barrier(20)
    waits: list[float] = []

    def attempt_once() -> None:
        together.wait()
        waits.append(attempts.begin("admin", "10.0.0.1"))

    threads = [threading.Thread(target=attempt_once) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waits.count(0.0) == FREE_FOR_NAME


def test_right_passwords_never_make_anybody_wait() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(100):
        assert attempts.begin(f"user{number % 7}", "10.0.0.1") == 0
        attempts.succeeded(f"user{number % 7}", "10.0.0.1")


def test_a_right_password_lets_the_others_at_the_address_wait_no_longer() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for number in range(FREE_FOR_ADDRESS + 5):
        now[0] += attempts.begin(f"user{number}", "10.0.0.1")
        attempts.begin(f"user{number}", "10.0.0.1")
    now[0] += attempts.begin("alice", "10.0.0.1")
    assert attempts.begin("alice", "10.0.0.1") == 0
    attempts.succeeded("alice", "10.0.0.1")
    assert attempts.begin("bob", "10.0.0.1") == 0
    # what was wrong still counts
    assert attempts.begin("carol", "10.0.0.1") > 1


def test_many_addresses_together_do_not_guess_at_will_but_do_not_lock_a_known_browser_out() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    looked_at = 0
    for second in range(4 * 3600):
        now[0] = float(second)
        looked_at += attempts.begin("admin", f"10.0.{second % 7}.{second % 251}") == 0
        if second % 30 == 0:
            assert attempts.begin("admin", "192.168.1.5", "a browser that is known") == 0
            attempts.succeeded("admin", "192.168.1.5", "a browser that is known")
    assert FREE_FOR_NAME_ANYWHERE < looked_at < 2 * 4 * 60 + FREE_FOR_NAME_ANYWHERE
    # by another name it is one as any other
    for _ in range(FREE_FOR_NAME):
        assert attempts.begin("admin", "192.168.1.5", "thief") == 0
    assert attempts.begin("admin", "192.168.1.5", "thief") > 0


def test_a_browser_that_somebody_has_signed_in_with_is_not_locked_out(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    console_app.add_user("other")
    attempts = console_app.app.state.attempts = Attempts(lambda: 0.0)
    own, shared, stranger = console_app.client(), console_app.client(), console_app.client()
    for client in (own, shared):
        assert attempt(client).status_code == 303
    assert attempt(shared, "other", csrf_token=shared.csrf()).status_code == 303
    for client in (own, shared):
        assert client.submit("/sign-out").status_code == 303
    while not attempts.begin("admin", "testclient"):
        pass
    assert attempt(stranger).status_code == 429
    for client in (own, shared):
        assert attempt(client).status_code == 303
        assert attempt(stranger).status_code == 429
    # it is known for nobody else, and has an end to its own count
    while not attempts.begin("other", "testclient"):
        pass
    assert attempt(own, "other", csrf_token=own.csrf()).status_code == 429
    assert own.submit("/sign-out").status_code == 303
    for _ in range(FREE_FOR_NAME):
        assert attempt(own, password="wrong").status_code == 401
    assert attempt(own).status_code == 429


@pytest.mark.parametrize("cookie", ["x", "", "é", "x" * 5000])
def test_a_cookie_of_a_known_browser_that_is_made_up_counts_for_nothing(console_app: ConsoleApp, cookie: str) -> None:
    console_app.add_user("admin")
    client = console_app.client()
    other_secret = console_app.console.vault.encrypt('["browser", 1]')
    for value in (cookie.encode("latin-1", "replace").decode("latin-1"), other_secret):
        assert (
            client.post(
                "/sign-in",
                data={"name": "admin", "password": "x"},
                headers={"Cookie": f"karnak_known={value}".encode()},
            ).status_code
            == 401
        )


def test_attempts_take_bounded_memory() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(MOST + 100):
        attempts.begin(f"user{number}", f"10.0.0.{number}")
    assert len(attempts._counts) == MOST
