"""Profiles: uploaded, read, changed and deleted; and tried out on a file, of which nothing is kept."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
from configured import HOSTILE, PROFILE, apply, document, form_of, with_node, with_project
from web_support import Client, ConsoleApp

from karnak_core.testing import make_file
from karnak_plugins.web_console.access.audit import entries

AT = "/profiles/profile?name=research"
WRONG = "name: x\nprofileElements:\n  - name: y\n    codename: none.such\n"


def upload(client: Client, path: str, content: bytes, fields: dict[str, str] | None = None) -> Any:
    """Send a file as a browser does."""
    return client.submit(path, fields, files={"file": ("name of a file", content)})


def profile_texts(app: ConsoleApp) -> list[str]:
    """Return the texts of the profiles that are kept."""
    return [one["text"] for one in document(app).get("profiles", [])]


def test_profile_is_uploaded_read_and_downloaded(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    text = PROFILE.format(name="research")
    answer = upload(client, "/profiles", b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert answer.headers["location"] == AT
    page = client.get(AT).text
    for shown in ("keep study date", "action.on.specific.tags", "action K", "(0008,0020)", "basic.dicom.profile"):
        assert shown in page
    file = client.get("/profiles/profile/download?name=research")
    assert file.text == text
    assert "research.yml" in file.headers["content-disposition"]
    assert "research" in client.get("/profiles").text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WRONG.encode(), "line 3: "),
        (b"name: [", "line 1: not YAML"),
        (b"\xff\xfe", "is not UTF-8 text: byte 0"),
        (b"x" * ((1 << 20) + 1), "is larger than 1024 KiB"),
        (b"", "line 1: the profile is empty"),
        (f"{WRONG}    tags: [x]\n  - name: z\n    codename: none\n".encode(), "things are wrong"),
    ],
)
def test_profile_that_is_wrong_is_not_kept_and_its_lines_are_told(
    console_app: ConsoleApp, content: bytes, said: str
) -> None:
    client = console_app.signed_in()
    answer = upload(client, "/profiles", content)
    assert answer.status_code == 422
    assert said in answer.text
    assert profile_texts(console_app) == []


def test_text_that_was_pasted_and_is_wrong_can_be_mended(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    answer = client.submit("/profiles", {"text": WRONG})
    assert answer.status_code == 422
    assert "codename: none.such" in answer.text
    assert client.submit("/profiles", {"text": PROFILE.format(name="pasted")}).status_code == 303
    again = client.submit("/profiles", {"text": PROFILE.format(name="pasted")})
    assert again.status_code == 422
    assert "there is a profile" in again.text


def test_name_and_version_are_changed_in_the_text_and_projects_follow(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    version = form_of(client.get(AT).text, AT)["version"]
    name = 'new: "name" # 1'
    answer = client.submit(AT, {"version": version, "name": name, "profile_version": "2.0"})
    assert answer.status_code == 303, answer.text
    assert document(console_app)["projects"][0]["profile"] == name
    lines = profile_texts(console_app)[0].splitlines()
    assert lines[0] == 'name: "new: \\"name\\" # 1"'
    assert lines[1] == 'version: "2.0"'
    assert lines[2:] == PROFILE.format(name="").splitlines()[2:]


def test_text_is_changed_and_what_is_wrong_in_it_is_told(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    version = form_of(client.get(AT).text, AT)["version"]
    answer = client.submit(AT, {"version": version, "text": WRONG})
    assert answer.status_code == 422
    assert "line 3" in answer.text
    new = PROFILE.format(name="research").replace("(0008,0020)", "(0008,0030)")
    assert client.submit(AT, {"version": version, "text": new}).status_code == 303
    assert "(0008,0030)" in profile_texts(console_app)[0]
    # somebody who looked at the one before does not put it back unseen
    answer = client.submit(AT, {"version": version, "text": PROFILE.format(name="research")})
    assert answer.status_code == 409
    assert "has changed this meanwhile" in answer.text


def test_profile_in_use_is_not_deleted_and_what_uses_it_is_named(console_app: ConsoleApp) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    version = form_of(client.get(AT).text, AT)["version"]
    delete = "/profiles/profile/delete?name=research"
    answer = client.submit(delete, {"version": version})
    assert "project STUDY" in client.get(answer.headers["location"]).text
    assert len(profile_texts(console_app)) == 1
    apply(console_app, projects=[])
    version = form_of(client.get(AT).text, AT)["version"]
    assert client.submit(delete, {"version": version}).headers["location"] == "/profiles"
    assert profile_texts(console_app) == []


def test_hostile_names_in_a_profile_are_text(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    hostile = HOSTILE.replace('"', "")[:60]
    text = PROFILE.format(name="x").replace("name: x", f'name: "{hostile}"').replace("keep study date", hostile)
    answer = client.submit("/profiles", {"text": text})
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["location"]).text + client.get("/profiles").text
    assert "<script>alert" not in page
    assert html.escape("<script>alert(1)") in page


def test_built_in_profile_is_shown_and_cannot_be_changed(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = "/profiles/profile?name=Dicom+Basic+Profile"
    page = client.get(at).text
    assert "built in" in page
    assert "Save the text" not in page
    assert client.submit(at, {"version": "0", "text": "x"}).status_code == 404
    assert client.get("/profiles/profile/download?name=Dicom+Basic+Profile").status_code == 404
    assert client.get("/profiles/profile?name=none").status_code == 404


def test_tried_out_file_shows_what_changes_without_its_values(console_app: ConsoleApp, tmp_path: Path) -> None:
    with_project(console_app)
    client = console_app.signed_in()
    content = make_file(
        tmp_path, PatientName="Curie^Marie", PatientID="A-1867", InstitutionName="Sorbonne"
    ).read_bytes()
    at = "/profiles/profile/try?name=research"
    answer = upload(client, at, content, {"project": "STUDY"})
    assert answer.status_code == 200, answer.text
    assert "This is what would change." in answer.text
    assert "(0010,0010)" in answer.text
    assert "Institution Name" in answer.text
    for value in ("Curie", "A-1867", "Sorbonne"):
        assert value not in answer.text
    # nothing of it is left
    data = console_app.console.data_directory
    assert list(data.glob("tryout-*")) == []
    assert [one for one in data.rglob("*") if one.is_file() and b"Curie^Marie" in one.read_bytes()] == []


def test_values_are_shown_where_they_are_asked_for_and_that_is_written_down(
    console_app: ConsoleApp, tmp_path: Path
) -> None:
    client = console_app.signed_in()
    content = make_file(tmp_path, PatientName="<script>alert(1)</script>").read_bytes()
    answer = upload(client, "/profiles/profile/try?name=Dicom+Basic+Profile", content, {"values": "on"})
    assert html.escape("<script>alert(1)</script>") in answer.text
    assert "<script>alert(1)" not in answer.text
    with console_app.console.database.read() as connection:
        noted = entries(connection)[0]
    assert (noted.who, noted.action) == ("admin", "look at")
    assert "script" not in noted.object + noted.detail


def test_program_tries_a_profile_out_by_its_scopes(console_app: ConsoleApp, tmp_path: Path) -> None:
    with_project(console_app)
    content = make_file(tmp_path, PatientName="Curie^Marie").read_bytes()
    program = console_app.with_token("tools")
    at = "/api/v1/tryouts?profile=Dicom+Basic+Profile"
    answer = program.post(at, content=content)
    assert answer.json()["ending"] == "tried"
    assert "(0010,0010)" in [one["path"] for one in answer.json()["changes"]]
    assert "Curie" not in answer.text
    assert program.post(f"{at}&values=true", content=content).status_code == 403
    looks = console_app.with_token("tools", "identities", name="looks")
    assert "Curie^Marie" in looks.post(f"{at}&values=true", content=content).text
    assert program.post("/api/v1/tryouts?profile=none", content=content).status_code == 404
    assert program.post("/api/v1/tryouts", content=content).status_code == 404
    assert program.post(at, content=b"hello").json()["ending"] == "skipped"
    assert console_app.with_token("read", name="reads").post(at, content=content).status_code == 403


def test_file_that_is_no_dicom_is_refused_in_words(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = "/profiles/profile/try?name=Dicom+Basic+Profile"
    assert "no DICOM file" in upload(client, at, b"hello").text
    assert client.submit(at).status_code == 422
    assert client.submit("/profiles/profile/try?name=none", files={"file": ("x", b"x")}).status_code == 404


def test_profiles_are_for_admins(console_app: ConsoleApp) -> None:
    with_node(console_app)
    for role in ("investigator", "user"):
        client = console_app.signed_in(f"an-{role}", role)
        assert client.get("/profiles").status_code == 403
        assert client.submit("/profiles", {"text": PROFILE.format(name="x")}).status_code == 403
        assert upload(client, "/profiles/profile/try?name=Dicom+Basic+Profile", b"x").status_code == 403
