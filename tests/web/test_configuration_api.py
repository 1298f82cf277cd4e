"""The configuration by the REST API: every list, the whole of it, its history, and who may change it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from configured import FOLDER, HOSTILE, PROFILE, STOW, document, with_node, with_project
from web_support import Client, ConsoleApp

from karnak_core.config import yaml_text

V = "/api/v1"
ALBUM = {
    "type": "kheops_album",
    "api_url": "https://k.example/api",
    "destination_token": "the-first-secret",
    "source_token": {"env": "KHEOPS_TOKEN"},
}


@pytest.fixture
def program(console_app: ConsoleApp) -> Client:
    """A program that may read and change the configuration."""
    return console_app.with_token("read", "configuration")


def now(client: Client) -> dict[str, str]:
    """Return the header that says what a change is made from."""
    return {"If-Match": client.get(f"{V}/forward-nodes").headers["ETag"]}


def ok(answer: Any, status: int = 200) -> Any:
    """Return what an answer says."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_node_source_and_destination_are_added_got_changed_and_deleted(
    program: Client, console_app: ConsoleApp
) -> None:
    node = {"ae_title": "A/B", "description": HOSTILE}
    assert ok(program.post(f"{V}/forward-nodes", json=node, headers=now(program)), 201) == node
    at = f"{V}/forward-nodes/A%2FB"
    for path, name, entry, other in (
        ("sources", "CT1", {"ae_title": "CT1"}, {"ae_title": "CT1", "description": "new"}),
        ("destinations", "disk", FOLDER, {**FOLDER, "paused": True}),
    ):
        assert ok(program.post(f"{at}/{path}", json=entry, headers=now(program)), 201) == entry
        assert ok(program.get(f"{at}/{path}")) == [entry]
        assert ok(program.put(f"{at}/{path}/{name}", json=other, headers=now(program))) == other
        assert ok(program.get(f"{at}/{path}/{name}")) == other
        assert ok(program.get(at))[path] == [other]
        ok(program.delete(f"{at}/{path}/{name}", headers=now(program)), 204)
        assert program.get(f"{at}/{path}/{name}").status_code == 404
    ok(program.put(at, json={"ae_title": "C"}, headers=now(program)))
    ok(program.delete(f"{V}/forward-nodes/C", headers=now(program)), 204)
    assert [one["ae_title"] for one in document(console_app)["forward_nodes"]] == ["KARNAK"]


def test_sources_of_one_title_are_told_apart_by_their_host(program: Client, console_app: ConsoleApp) -> None:
    with_node(console_app)
    at = f"{V}/forward-nodes/FORWARD/sources"
    for host in ("", "ct.example"):
        ok(program.post(at, json={"ae_title": "CT1", "hostname": host}, headers=now(program)), 201)
    ok(program.delete(f"{at}/CT1", params={"hostname": "ct.example"}, headers=now(program)), 204)
    assert ok(program.get(at)) == [{"ae_title": "CT1"}]


@pytest.mark.parametrize(
    ("path", "key", "entry", "other"),
    [
        (
            "application-entities",
            "PACS",
            {"ae_title": "PACS", "hostname": "pacs.example", "port": 104},
            {"ae_title": "PACS", "hostname": "pacs.example", "port": 11112},
        ),
        (
            "projects",
            "MINE",
            {"name": "MINE", "profile": "Dicom Basic Profile"},
            {"name": "MINE", "profile": "Dicom Basic Profile", "secret": {"env": "MINE"}},
        ),
    ],
)
def test_entries_of_lists_are_added_got_changed_and_deleted(
    program: Client, path: str, key: str, entry: dict[str, Any], other: dict[str, Any]
) -> None:
    at = f"{V}/{path}"
    assert ok(program.post(at, json=entry, headers=now(program)), 201) == entry
    assert program.post(at, json=entry, headers=now(program)).status_code == 422
    assert entry in ok(program.get(at))
    assert ok(program.put(f"{at}/{key}", json=other, headers=now(program))) == other
    assert ok(program.get(f"{at}/{key}")) == other
    ok(program.delete(f"{at}/{key}", headers=now(program)), 204)
    assert program.get(f"{at}/{key}").status_code == 404
    assert program.put(f"{at}/{key}", json=other, headers=now(program)).status_code == 404


def test_authenticator_is_put_and_refused_to_go_while_it_is_used(program: Client, console_app: ConsoleApp) -> None:
    at = f"{V}/authenticators/archive"
    basic = {"type": "basic", "username": "karnak", "password": "plain-password"}
    made = ok(program.put(at, json=basic, headers=now(program)))
    assert made == {**basic, "password": {"stored": "***"}}
    # what was got can be sent back: the secret is kept
    before = document(console_app)["authenticators"]["archive"]["password"]
    ok(program.put(at, json={**made, "username": "other"}, headers=now(program)))
    after = document(console_app)["authenticators"]["archive"]
    assert (after["password"], after["username"]) == (before, "other")
    with_node(console_app, {**STOW, "authenticator": "archive"})
    refused = program.delete(at, headers=now(program))
    assert refused.status_code == 409
    assert "destination FORWARD/web" in refused.json()["detail"]
    with_node(console_app)
    ok(program.delete(at, headers=now(program)), 204)


def test_profile_is_kept_only_where_nothing_is_wrong_with_it(program: Client, console_app: ConsoleApp) -> None:
    at = f"{V}/profiles"
    wrong = program.post(
        at, json={"text": "name: x\nprofileElements:\n  - name: y\n    codename: none.such\n"}, headers=now(program)
    )
    assert wrong.status_code == 422
    assert "line 3" in wrong.text
    assert [one["name"] for one in ok(program.get(at))] == ["Dicom Basic Profile"]
    made = ok(program.post(at, json={"text": PROFILE.format(name="mine")}, headers=now(program)), 201)
    assert made["profile"]["elements"] == ["action.on.specific.tags", "basic.dicom.profile"]
    # no file of the gateway's machine is read
    assert program.post(at, json={"text": "x", "path": "/etc/passwd"}, headers=now(program)).status_code == 422


def test_projects_follow_a_profile_to_its_new_name(program: Client, console_app: ConsoleApp) -> None:
    with_project(console_app)
    at = f"{V}/profiles/research"
    refused = program.delete(at, headers=now(program))
    assert refused.status_code == 409
    assert "project STUDY" in refused.json()["detail"]
    ok(program.put(at, json={"text": PROFILE.format(name="renamed")}, headers=now(program)))
    assert document(console_app)["projects"][0]["profile"] == "renamed"
    assert ok(program.get(f"{V}/profiles/renamed"))["profile"]["used_by"] == ["STUDY"]


def test_settings_are_got_and_put(program: Client) -> None:
    settings = ok(program.get(f"{V}/settings"))
    assert settings["plugins"]["web_console"] == {}
    settings["storage"] = {"reserve": "3 GiB"}
    settings["plugins"]["email_notify"] = {"host": "mail.example", "username": "u", "password": "mail-password"}
    done = ok(program.put(f"{V}/settings", json=settings, headers=now(program)))
    assert any("reserve" in line for line in done["changes"])
    got = ok(program.get(f"{V}/settings"))
    assert got["plugins"]["email_notify"]["password"] == {"stored": "***"}
    assert program.put(f"{V}/settings", json={"projects": []}, headers=now(program)).status_code == 422


def test_whole_configuration_is_got_planned_and_applied_as_json_and_as_yaml(
    program: Client, console_app: ConsoleApp
) -> None:
    with_project(console_app, {**STOW, "follow_ups": [ALBUM]})
    whole = ok(program.get(f"{V}/configuration"))
    as_yaml = program.get(f"{V}/configuration", headers={"Accept": "application/yaml"})
    assert yaml_text.parse(as_yaml.text) == whole
    assert "the-first-secret" not in as_yaml.text
    same = ok(program.put(f"{V}/configuration", json=whole, headers=now(program)))
    assert same["new"] is False
    whole["forward_nodes"][0]["destinations"][0]["paused"] = True
    text = yaml_text.write(whole)
    yaml = {"Content-Type": "application/yaml"}
    plan = ok(program.post(f"{V}/configuration/plan", content=text, headers=yaml))
    assert plan["changes"] == ["~ FORWARD/web: paused false -> true"]
    assert document(console_app)["forward_nodes"][0]["destinations"][0].get("paused") is None
    done = ok(program.put(f"{V}/configuration", content=text, headers={**yaml, **now(program)}))
    assert done["changes"] == plan["changes"]
    assert ok(program.get(f"{V}/forward-nodes/FORWARD/destinations/web"))["follow_ups"][0]["destination_token"] == {
        "stored": "***"
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"profiles": ["/etc/passwd"]}, "is a path"),
        ({"listener": {"port": 70000}}, "listener.port"),
        ({"projects": [{"name": "X", "profile": "Dicom Basic Profile", "secret": {"stored": "***"}}]}, "projects[0]"),
        ({"forward_nodes": [{"ae_title": "A", "description": "\0"}]}, "no text can have"),
        ({"no such": 1}, "unknown key"),
    ],
)
def test_configuration_that_is_wrong_changes_nothing(program: Client, body: dict[str, Any], said: str) -> None:
    before = now(program)
    answer = program.put(f"{V}/configuration", json=body, headers=before)
    assert answer.status_code == 422
    assert said in answer.text
    assert "root:" not in answer.text
    assert now(program) == before


def test_files_of_tls_that_are_not_there_are_refused_by_plan_and_apply(program: Client) -> None:
    tls = {"certificate": "/nowhere/c.pem", "key": "/nowhere/k.pem"}
    for answer in (
        program.post(f"{V}/configuration/plan", json={"listener": {"tls": tls}}),
        program.put(f"{V}/configuration", json={"listener": {"tls": tls}}, headers=now(program)),
    ):
        assert answer.status_code == 422
        assert [one["place"] for one in answer.json()["errors"]] == ["listener.tls.certificate", "listener.tls.key"]
        assert answer.json()["errors"][1]["message"] == "'/nowhere/k.pem' cannot be read: no such file or directory"


def test_history_names_who_changed_what_and_rolls_back(program: Client, console_app: ConsoleApp) -> None:
    with_node(console_app)
    version = console_app.console.version
    at = f"{V}/forward-nodes/FORWARD/destinations/disk"
    ok(program.put(at, json={**FOLDER, "paused": True}, headers=now(program), params={"comment": "maintenance"}))
    page = ok(program.get(f"{V}/configuration/history", params={"limit": 1}))
    assert page["items"][0]["author"] == "program (token for a test)"
    assert page["items"][0]["comment"] == "maintenance"
    assert datetime.fromisoformat(page["items"][0]["created_at"]).tzinfo == UTC
    assert page["items"][0]["changes"] == ["~ FORWARD/disk: paused false -> true"]
    older = ok(program.get(f"{V}/configuration/history", params={"cursor": page["next"]}))
    assert older["items"][0]["number"] == version
    assert ok(program.get(f"{V}/configuration/versions/{version}"))["forward_nodes"][0]["destinations"] == [FOLDER]
    ok(program.post(f"{V}/configuration/rollback/{version}", headers=now(program)))
    assert ok(program.get(at)) == FOLDER
    assert program.get(f"{V}/configuration/versions/999").status_code == 404


def test_change_needs_the_version_that_it_was_made_from(program: Client, console_app: ConsoleApp) -> None:
    with_node(console_app)
    at = f"{V}/forward-nodes/FORWARD/destinations/disk"
    assert program.put(at, json=FOLDER).status_code == 428
    assert program.delete(at).status_code == 428
    old = now(program)
    ok(program.put(at, json={**FOLDER, "paused": True}, headers=old))
    lost = program.put(at, json={**FOLDER, "description": "of somebody who did not see it"}, headers=old)
    assert lost.status_code == 412
    assert ok(program.get(at))["paused"] is True
    assert program.put(at, json=FOLDER, headers={"If-Match": "something"}).status_code == 412
    ok(program.put(at, json=FOLDER, headers={"If-Match": "*"}))


def test_kinds_tell_the_keys_of_every_type(program: Client) -> None:
    kinds = ok(program.get(f"{V}/kinds"))
    names = {one["name"]: one for one in kinds["destinations"]["kinds"]}
    assert {"dicom", "stow", "folder"} <= names.keys()
    assert names["stow"]["keys"]["properties"]["url"]["maxLength"] == 2048
    assert "condition" in kinds["destinations"]["common"]["properties"]
    assert {"email_notify", "web_console"} <= {one["name"] for one in kinds["plugins"]["kinds"]}
    assert kinds["configuration"]["common"]["properties"].keys() >= {"forward_nodes", "projects"}


def test_no_answer_has_a_secret(program: Client, console_app: ConsoleApp) -> None:
    secrets = ("the-first-secret", "basic-password", "header-token")
    with_project(
        console_app,
        {**STOW, "follow_ups": [ALBUM], "headers": {"Authorization": f"Bearer {secrets[2]}", "X-Tenant": "7"}},
    )
    ok(
        program.put(
            f"{V}/authenticators/a",
            json={"type": "basic", "username": "u", "password": secrets[1]},
            headers=now(program),
        )
    )
    sealed = [
        document(console_app)["authenticators"]["a"]["password"]["stored"],
        document(console_app)["forward_nodes"][0]["destinations"][0]["headers"]["Authorization"]["stored"],
    ]
    number = console_app.console.version
    for path in (
        "forward-nodes", "authenticators", "authenticators/a", "projects", "profiles", "settings", "configuration",
        "configuration/history", f"configuration/versions/{number}", "forward-nodes/FORWARD/destinations/web", "kinds",
    ):  # fmt: skip
        text = program.get(f"{V}/{path}").text
        assert [one for one in (*secrets, *sealed) if one in text] == [], path


def test_changes_need_the_scope_configuration(console_app: ConsoleApp) -> None:
    reader = console_app.with_token("read")
    headers = now(reader)
    for method, path in (
        ("POST", "forward-nodes"), ("PUT", "forward-nodes/KARNAK"), ("DELETE", "forward-nodes/KARNAK"),
        ("PUT", "settings"), ("PUT", "configuration"), ("POST", "configuration/plan"),
        ("POST", "configuration/rollback/1"), ("PUT", "authenticators/a"), ("POST", "profiles"), ("POST", "projects"),
    ):  # fmt: skip
        assert reader.request(method, f"{V}/{path}", json={}, headers=headers).status_code == 403, path
    assert console_app.with_token("tools", name="other").get(f"{V}/forward-nodes").status_code == 403
    assert console_app.client().get(f"{V}/configuration").status_code == 401
