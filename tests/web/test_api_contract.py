"""What programs can rely on: how refusals look, whose tokens are whose, that nobody's change is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from configured import FOLDER, PROFILE, STOW, document, with_node
from test_rights import operations
from web_support import Client, ConsoleApp

from karnak_core.config.load import load
from karnak_core.database.access import api_token, audit
from karnak_core.errors import ConfigurationError
from karnak_plugins.web_console.access.roles import Scope

API = "/api/v1"
NODES = f"{API}/forward-nodes"
NODE = f"{NODES}/FORWARD"
PROBLEM = {"type", "title", "status", "detail", "errors"}


def check_problem(answer: Any, status: int) -> Any:
    """Fail where an answer is not a problem with this status; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert set(found) == PROBLEM
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert answer.headers["cache-control"] == "no-store"
    return found


def test_every_refusal_is_a_problem(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    nobody, somebody = console_app.client(), console_app.with_token("pseudonyms", name="looker")
    everything = console_app.with_token(*Scope)
    tried = 0
    for one in operations(console_app):
        if not one.is_api or one.is_open:
            continue
        check_problem(one.ask(nobody), 401)
        if one.requires and Scope("pseudonyms") not in one.requires:
            check_problem(one.ask(somebody), 403)
        answer = one.ask(everything)
        assert answer.status_code < 500, one
        if answer.status_code >= 400:
            check_problem(answer, answer.status_code)
            tried += 1
    assert tried > 30


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", f"{API}/nowhere", {}, 404),
        ("GET", f"{NODES}/NOBODY", {}, 404),
        ("GET", f"{API}/deliveries/123456", {}, 404),
        ("PATCH", f"{API}/configuration", {}, 405),
        ("POST", NODES, {"content": b"{not json", "headers": {"Content-Type": "application/json"}}, 422),
        ("POST", NODES, {"json": [1], "headers": {"If-Match": "*"}}, 422),
        ("POST", NODES, {"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 422),
        ("POST", NODES, {"json": {"ae_title": "A\\B", "unknown": 1}, "headers": {"If-Match": "*"}}, 422),
        ("GET", f"{API}/deliveries?limit=0", {}, 422),
        ("GET", f"{API}/deliveries?limit=100000000", {}, 422),
        ("GET", f"{API}/deliveries?cursor=nothing", {}, 400),
        ("GET", f"{API}/deliveries/99999999999999999999999", {}, 422),
        ("PUT", f"{API}/configuration", {"json": {}}, 428),
        ("POST", f"{API}/configuration/plan", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
    ],
)
def test_what_is_wrong_with_a_request_is_told_as_a_problem(
    console_app: ConsoleApp, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    check_problem(console_app.with_token(*Scope).request(method, path, **sent), status)


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000])
def test_what_is_nested_deeply_is_refused(console_app: ConsoleApp, nested: str) -> None:
    program = console_app.with_token(*Scope)
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    for method, path in (("POST", "forward-nodes"), ("PUT", "configuration"), ("POST", "configuration/plan")):
        answer = program.request(method, f"{API}/{path}", content=nested, headers=headers)
        assert 400 <= check_problem(answer, answer.status_code)["status"] < 500


def test_messages_are_those_of_the_check(console_app: ConsoleApp) -> None:
    wrong = {"forward_nodes": [{"ae_title": "A", "destinations": [{**STOW, "url": "nowhere", "retry_for": "long"}]}]}
    with pytest.raises(ConfigurationError) as checked:
        load(wrong, console_app.console.plugins)
    program = console_app.with_token("configuration")
    answer = program.put(f"{API}/configuration", json=wrong, headers={"If-Match": "*"})
    said = [(one["place"], one["message"]) for one in check_problem(answer, 422)["errors"]]
    assert said == [(one.place, one.message) for one in checked.value.problems]
    assert len(said) == 2


def changes(program: Client) -> dict[str, tuple[str, str, Any]]:
    """Return changes of everything in the configuration that has an address: method, path and body by what it is of."""
    return {
        "node": ("PUT", NODE, {"ae_title": "FORWARD", "description": "changed"}),
        "no node": ("DELETE", NODE, None),
        "source": ("POST", f"{NODE}/sources", {"ae_title": "CT1"}),
        "destination": ("PUT", f"{NODE}/destinations/disk", {**FOLDER, "description": "changed"}),
        "no destination": ("DELETE", f"{NODE}/destinations/disk", None),
        "profile": ("PUT", f"{API}/profiles/research", {"text": PROFILE.format(name="research") + "# changed\n"}),
        "no profile": ("DELETE", f"{API}/profiles/research", None),
        "authenticator": ("PUT", f"{API}/authenticators/x", {"type": "basic", "username": "u", "password": "p"}),
        "all": ("PUT", f"{API}/configuration", {"forward_nodes": []}),
        "back": ("POST", f"{API}/configuration/rollback/1", None),
    }


@pytest.mark.parametrize("of", list(changes(None)))  # type: ignore[arg-type]
def test_change_of_what_somebody_else_changed_is_refused_and_nothing_is_lost(console_app: ConsoleApp, of: str) -> None:
    profiles = [{"text": PROFILE.format(name="research")}]
    with_node(console_app, FOLDER, profiles=profiles)
    program = console_app.with_token("read", "configuration", "users")
    seen = program.get(f"{API}/configuration", headers={"Accept": "application/json"}).headers["etag"]
    with_node(console_app, {**FOLDER, "directory": "theirs"}, profiles=profiles)
    theirs = document(console_app)
    method, path, body = changes(program)[of]
    more = {"json": body} if body is not None else {}
    check_problem(program.request(method, path, headers={"If-Match": seen}, **more), 412)
    assert document(console_app) == theirs
    now = program.get(f"{API}/configuration", headers={"Accept": "application/json"}).headers["etag"]
    done = program.request(method, path, headers={"If-Match": now}, **more)
    assert done.is_success, done.text
    assert document(console_app) != theirs


def test_token_of_somebody_else_can_be_neither_seen_nor_deleted(console_app: ConsoleApp) -> None:
    first, second = console_app.with_token("read", name="first"), console_app.with_token("read", name="second")
    (one,) = first.get(f"{API}/tokens").json()["items"]
    assert one["id"] not in [other["id"] for other in second.get(f"{API}/tokens").json()["items"]]
    check_problem(second.delete(f"{API}/tokens/{one['id']}"), 404)
    assert first.get(f"{API}/status").status_code == 200
    assert first.delete(f"{API}/tokens/{one['id']}").status_code == 204
    check_problem(first.get(f"{API}/status"), 401)


def test_token_makes_none_that_may_do_more_or_longer(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read")
    for scopes, days in ((["users", "read"], 1), (["read"], 2)):
        check_problem(program.post(f"{API}/tokens", json={"name": "more", "scopes": scopes, "days": days}), 403)


def test_token_does_no_more_than_its_user_may_now(console_app: ConsoleApp) -> None:
    program = console_app.with_token("read", "configuration", name="was-admin")
    assert program.get(f"{API}/configuration").status_code == 200
    admin = console_app.with_token("users", name="admin")
    (found,) = [one for one in admin.get(f"{API}/users").json()["items"] if one["name"] == "was-admin"]
    assert admin.patch(f"{API}/users/{found['id']}", json={"roles": ["user"]}, headers={"If-Match": "*"}).is_success
    check_problem(program.get(f"{API}/configuration"), 403)
    assert admin.patch(f"{API}/users/{found['id']}", json={"disabled": True}, headers={"If-Match": "*"}).is_success
    check_problem(program.get(f"{API}/configuration"), 401)


def test_text_of_a_token_is_nowhere_but_in_the_answer_that_made_it(console_app: ConsoleApp) -> None:
    program = console_app.with_token(*Scope, days=5)
    made = program.post(f"{API}/tokens", json={"name": "new", "scopes": ["read"], "days": 1})
    text = made.json()["secret"]
    for path in ("tokens", "users", "audit", "status", "configuration"):
        assert text not in json.dumps(program.get(f"{API}/{path}").text)
    assert text not in console_app.signed_in().get("/account").text
    with console_app.console.database.read() as connection:
        for table in (api_token, audit):
            rows = connection.execute(sa.select(table)).all()
            assert rows
            assert text not in repr(rows)


def test_change_without_a_tag_is_refused_before_anything_is_lost(console_app: ConsoleApp) -> None:
    with_node(console_app, FOLDER)
    before = document(console_app)
    program = console_app.with_token("configuration")
    path, mine = f"{NODE}/destinations/disk", {**FOLDER, "directory": "mine"}
    assert "ETag" in check_problem(program.put(path, json=mine), 428)["detail"]
    assert document(console_app) == before
    # whatever applies, where that is meant
    assert program.put(path, json=mine, headers={"If-Match": "*"}).status_code == 200
    assert document(console_app) != before
