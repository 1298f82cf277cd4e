"""There is no change without its entry in the audit trail, no look without one, and no entry without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from configured import apply
from web_support import ConsoleApp

from karnak_core.database.access import audit

ANY = {"If-Match": "*"}


@contextmanager
def no_room(console_app: ConsoleApp) -> Iterator[None]:
    """Let no entry be written, as where the disk is full."""
    database = console_app.console.database
    with database.write() as connection:
        connection.exec_driver_sql(
            "create trigger full before insert on audit begin select raise(abort, 'disk full'); end"
        )
    try:
        yield
    finally:
        with database.write() as connection:
            connection.exec_driver_sql("drop trigger full")


def everything(console_app: ConsoleApp) -> dict[str, list[Any]]:
    """Return what stands in the tables of what people change."""
    tables = (
        "config_version",
        "console_user",
        "api_token",
        "project_secret",
        "tool_node",
        "tool_endpoint",
        "pseudonym",
    )
    with console_app.console.database.read() as connection:
        # when a token was used last is nothing that anybody changes
        columns = {"api_token": "id, name, scopes"}
        return {
            name: [tuple(row) for row in connection.exec_driver_sql(f"select {columns.get(name, '*')} from {name}")]
            for name in tables
        }


def entries(console_app: ConsoleApp) -> list[tuple[str, str, str]]:
    """Return action, object and detail of every entry."""
    with console_app.console.database.read() as connection:
        query = sa.select(audit.c.action, audit.c.object, audit.c.detail).order_by(audit.c.id)
        return [tuple(row) for row in connection.execute(query)]


PROJECT = {"name": "P1", "profile": "Dicom Basic Profile"}
SCOPES = ("read", "configuration", "pseudonyms", "secrets", "tools", "users")
NODE = {"ae_title": "PACS", "hostname": "pacs", "port": 104}
CHANGES = [
    ("POST", "/users", {"name": "ghost", "roles": ["admin"]}),
    ("PATCH", "/users/1", {"display_name": "x"}),
    ("DELETE", "/users/2", None),
    ("POST", "/users/2/password", None),
    ("POST", "/tokens", {"name": "x", "scopes": ["read"], "days": 1}),
    ("DELETE", "/tokens/1", None),
    ("POST", "/projects/P1/secrets", {}),
    ("POST", "/projects/P1/secrets/1/activate", None),
    ("POST", "/forward-nodes", {"ae_title": "FORWARD"}),
    ("PUT", "/settings", {"listener": {"port": 11113}}),
    ("POST", "/configuration/rollback/1", None),
    ("POST", "/tools/nodes", NODE),
    ("PUT", "/tools/nodes/1", {**NODE, "port": 105}),
    ("DELETE", "/tools/nodes/1", None),
    ("POST", "/tools/nodes/import", {"csv": "description,aetitle,hostname,port\nA,A,a,104\n"}),
    ("DELETE", "/tools/groups/SiteA", None),
    ("POST", "/tools/endpoints", {"url": "https://pacs.example.org/other"}),
    ("PUT", "/tools/endpoints/1", {"url": "https://pacs.example.org/another"}),
    ("DELETE", "/tools/endpoints/1", None),
    ("POST", "/projects/P1/pseudonyms", {"patient_id": "2", "pseudonym": "PSX-2"}),
    ("PUT", "/projects/P1/pseudonyms/1", {"patient_id": "1", "pseudonym": "PSX-3"}),
    ("DELETE", "/projects/P1/pseudonyms/1", None),
]


def test_what_cannot_be_written_down_is_not_changed(console_app: ConsoleApp) -> None:
    apply(console_app, forward_nodes=[], projects=[PROJECT])
    apply(console_app, listener={"port": 11114})
    program = console_app.with_token(*SCOPES, days=2)
    console_app.add_user("sara")
    for path, body in (
        ("/projects/P1/secrets", {}),
        ("/tools/nodes", {**NODE, "ae_title": "FIRST", "group": "SiteA"}),
        ("/tools/endpoints", {"url": "https://pacs.example.org/dicomweb"}),
        ("/projects/P1/pseudonyms", {"patient_id": "1", "pseudonym": "PSX-1"}),
    ):
        assert program.post(f"/api/v1{path}", json=body, headers=ANY).status_code == 201, path
    before = everything(console_app)
    with no_room(console_app):
        for method, path, body in CHANGES:
            answer = program.request(method, f"/api/v1{path}", json=body, headers=ANY)
            assert answer.status_code == 503, (method, path, answer.text)
            assert everything(console_app) == before, (method, path)


def test_a_change_has_one_entry(console_app: ConsoleApp) -> None:
    program = console_app.with_token("configuration", "users")
    assert program.post("/api/v1/forward-nodes", json={"ae_title": "FORWARD"}, headers=ANY).status_code == 201
    assert program.post("/api/v1/forward-nodes", json={"ae_title": "FORWARD"}, headers=ANY).status_code >= 400
    assert program.post("/api/v1/users", json={"name": "sara", "roles": ["user"]}).status_code == 201
    assert program.post("/api/v1/users", json={"name": "sara", "roles": ["user"]}).status_code == 422
    assert entries(console_app) == [
        ("add", "forward node FORWARD", "version 1"),
        ("add a user", "sara", "roles user"),
    ]


def test_pseudonyms_that_were_changed_are_told_by_their_numbers(console_app: ConsoleApp) -> None:
    apply(console_app, projects=[PROJECT])
    program, count = console_app.with_token("pseudonyms"), len(entries(console_app))
    at = "/api/v1/projects/P1/pseudonyms"
    for number in (1, 2):
        assert program.post(at, json={"patient_id": f"{number}", "pseudonym": f"PSX-{number}"}).status_code == 201
    rows = "".join(f"PSX-{number},{number}\n" for number in range(3, 8))
    columns = "pseudonym_column=1&patient_id_column=2&from_line=1"
    assert program.post(f"{at}/import?{columns}", content=rows).status_code == 200
    assert program.put(f"{at}/2", json={"patient_id": "2", "pseudonym": "PSX-0"}, headers=ANY).status_code == 200
    assert program.delete(f"{at}/3", headers=ANY).status_code == 200
    assert program.post(f"{at}/delete", json={"numbers": [7, 3, 4, 5, 99]}).status_code == 200
    assert program.post(f"{at}/delete", json={"all_of_project": "P1"}).status_code == 200
    found = [(action, detail.split("; ")[0], detail.split("; ")[2:]) for action, _, detail in entries(console_app)]
    assert found[count:] == [
        ("add", "1", ["number 1"]),
        ("add", "1", ["number 2"]),
        ("import", "5", ["number 3–7"]),
        ("change", "1", ["number 2"]),
        ("delete", "1", ["number 3"]),
        ("delete", "3", ["number 4–5, 7"]),
        ("delete all", "3", []),
    ]


@pytest.mark.parametrize("path", ["/monitoring?period=all&identities=1", "/pseudonyms?project=P1"])
def test_a_look_that_could_not_be_written_down_is_written_down_the_next_time(
    console_app: ConsoleApp, path: str
) -> None:
    apply(console_app, projects=[PROJECT])
    admin = console_app.signed_in()
    count = len(entries(console_app))
    with no_room(console_app):
        assert admin.get(path).status_code == 503
    for _ in range(2):
        assert admin.get(path).status_code == 200
        assert len(entries(console_app)) == count + 1, "ten minutes are one look"
