"""Projects and their secrets, on pages and by the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from configured import HOSTILE, STOW, apply, document, form_of, with_project
from web_support import Client, ConsoleApp

from karnak_core.projects import rows
from karnak_plugins.web_console.access.audit import entries

AT = "/projects/project?name=STUDY"
OTHER = "00112233445566778899aabbccddeeff"
#: as secrets are written
SHOWN = "00112233-4455-6677-8899-aabbccddeeff"


def secrets_of(app: ConsoleApp, project: str = "STUDY") -> list[rows.StoredSecret]:
    """Return the secrets of a project, the oldest first."""
    with app.console.database.read() as connection:
        return rows.listed(connection, project)


def audited(app: ConsoleApp) -> list[tuple[str, str, str]]:
    """Return who did what to what, the newest first."""
    with app.console.database.read() as connection:
        return [(one.who, one.action, one.object) for one in entries(connection)]


def test_first_project_is_added_from_the_empty_list_and_has_a_secret(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    assert "There is no project yet." in client.get("/projects").text
    fields = form_of(client.get("/projects/add").text, "/projects/add")
    assert client.submit("/projects/add", {**fields, "name": "STUDY"}).status_code == 422
    answer = client.submit("/projects/add", {**fields, "name": "STUDY", "profile": "Dicom Basic Profile"})
    assert answer.headers["location"] == AT
    assert [one.number for one in secrets_of(console_app)] == [1]
    assert "STUDY" in client.get("/projects").text


def test_hostile_name_is_text(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    name = HOSTILE.replace("\\", "")[:60]
    fields = form_of(client.get("/projects/add").text, "/projects/add")
    answer = client.submit("/projects/add", {**fields, "name": name, "profile": "Dicom Basic Profile"})
    assert answer.status_code == 303, answer.text
    assert "<script>alert" not in client.get(answer.headers["location"]).text + client.get("/projects").text


def test_project_gets_another_profile_and_keeps_its_secret(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    fields = form_of(client.get(AT).text, AT)
    assert client.submit(AT, {**fields, "profile": "Dicom Basic Profile"}).status_code == 303
    assert document(console_app)["projects"] == [{"name": "STUDY", "profile": "Dicom Basic Profile"}]
    assert len(secrets_of(console_app)) == 1


def change(client: Client, what: str, **fields: str) -> Any:
    """Change the secrets of the project, as its page is by now."""
    seen = re.search(r'name="seen" value="([^"]+)"', client.get(AT).text)
    return client.submit(f"/projects/secret/{what}?name=STUDY", {"seen": seen[1] if seen else "", **fields})


def test_page_that_is_behind_changes_no_secret(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    seen = re.search(r'name="seen" value="([^"]+)"', client.get(AT).text)
    assert seen
    change(client, "generate")
    for what, fields in (("generate", {}), ("set", {"secret": OTHER}), ("activate", {"number": "1"})):
        stale = {"seen": seen[1], **fields}
        answer = client.submit(f"/projects/secret/{what}?name=STUDY", stale)
        assert "The secret is not changed: somebody has changed" in client.get(answer.headers["location"]).text
    assert [one.active_since is not None for one in secrets_of(console_app)] == [False, True]


def test_secrets_are_generated_set_and_activated_with_their_history(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    assert "get other UIDs, Patient IDs and dates" in client.get(AT).text
    change(client, "generate")
    assert change(client, "set", secret=OTHER).status_code == 303
    found = secrets_of(console_app)
    assert [one.active_since is not None for one in found] == [False, False, True]
    assert found[2].reveal(console_app.console.vault).hex() == OTHER
    change(client, "activate", number="1")
    assert [one.active_since is not None for one in secrets_of(console_app)] == [True, False, False]
    assert not any(one in client.get(AT).text for one in (OTHER, SHOWN))
    done = [(action, what) for _, action, what in audited(console_app)]
    assert done[:3] == [
        ("activate", "secret 1 of project STUDY"),
        ("set", "secret 3 of project STUDY"),
        ("generate", "secret 2 of project STUDY"),
    ]


def test_secret_that_is_wrong_or_there_already_changes_nothing(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    change(client, "set", secret=OTHER)
    for text in ("12", OTHER, ""):
        answer = change(client, "set", secret=text)
        assert answer.status_code == 422
        assert 'id="secret-error"' in answer.text
        assert OTHER not in answer.text
    assert len(secrets_of(console_app)) == 2
    assert change(client, "activate", number="9").status_code == 404


def test_secret_is_shown_once_and_that_is_written_down_first(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    change(client, "set", secret=OTHER)
    shown = client.submit("/projects/secret/show?name=STUDY", {"number": "2"})
    assert SHOWN in shown.text
    assert audited(console_app)[0] == ("admin", "look at", "secret 2 of project STUDY")
    assert not any(one in client.get(AT).text for one in (OTHER, SHOWN))


def test_secret_of_the_configuration_is_not_changed_here(console_app: ConsoleApp) -> None:
    secret = {"env": "STUDY_SECRET"}
    apply(console_app, projects=[{"name": "STUDY", "profile": "Dicom Basic Profile", "secret": secret}])
    client = console_app.signed_in()
    assert "environment variable STUDY_SECRET" in client.get(AT).text
    assert change(client, "generate").status_code == 409
    # saved as it is, it stays a reference
    assert client.submit(AT, form_of(client.get(AT).text, AT)).status_code == 303
    assert document(console_app)["projects"][0]["secret"] == secret


def test_project_in_use_is_not_deleted(console_app: ConsoleApp) -> None:
    with_project(console_app, {**STOW, "tag_morphing": {"project": "STUDY"}})
    client = console_app.signed_in()
    delete = "/projects/project/delete?name=STUDY"
    version = form_of(client.get(AT).text, AT)["version"]
    answer = client.submit(delete, {"version": version})
    assert "destination FORWARD/web" in client.get(answer.headers["location"]).text
    with_project(console_app)
    version = form_of(client.get(AT).text, AT)["version"]
    assert client.submit(delete, {"version": version}).headers["location"] == "/projects"
    assert "projects" not in document(console_app)


def test_projects_are_for_admins(console_app: ConsoleApp) -> None:
    with_project(console_app)
    for role in ("investigator", "user"):
        client = console_app.signed_in(f"an-{role}", role)
        assert client.get("/projects").status_code == 403
        assert client.submit("/projects/secret/show?name=STUDY", {"number": "1"}).status_code == 403


def at(client: Client, method: str, path: str, **more: Any) -> Any:
    """Ask the API about the secrets of the project."""
    return client.request(method, f"/api/v1/projects/STUDY/secrets{path}", **more)


def test_programs_list_add_activate_and_reveal_by_their_scopes(console_app: ConsoleApp) -> None:
    with_project(console_app)
    changes = console_app.with_token("read", "configuration")
    first = {"If-Match": at(changes, "GET", "").headers["ETag"]}
    added = at(changes, "POST", "", json={"secret": OTHER}, headers=first)
    assert added.json()["number"] == 2
    assert datetime.fromisoformat(added.json()["active_since"]).tzinfo == UTC
    for path, body in (("", {}), ("/1/activate", None)):
        assert at(changes, "POST", path, json=body).status_code == 428
        assert at(changes, "POST", path, json=body, headers=first).status_code == 412
    now = {"If-Match": added.headers["ETag"]}
    assert at(changes, "POST", "", json={"secret": OTHER}, headers=now).status_code == 422
    assert [one["active"] for one in at(changes, "GET", "").json()] == [False, True]
    assert at(changes, "POST", "/1/activate", headers=now).json()["active"] is True
    assert not any(one in at(changes, "GET", "").text for one in (OTHER, SHOWN))
    assert at(changes, "POST", "/2/reveal").status_code == 403
    looks = console_app.with_token("secrets", name="auditor")
    assert at(looks, "POST", "/2/reveal").json()["secret"] == SHOWN
    assert audited(console_app)[0] == ("auditor (token for a test)", "look at", "secret 2 of project STUDY")
    assert at(looks, "POST", "/2/activate").status_code == 403
