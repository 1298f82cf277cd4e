"""The pages of the gateway: nodes, sources and destinations."""

from __future__ import annotations

import html

import pytest
from configured import FOLDER, HOSTILE, STOW, destination, document, form_of, said_wrong, with_node, with_project
from web_support import ConsoleApp

from karnak_core.config import store
from karnak_core.spool.views import iso

AT = "/gateway/destination?node=FORWARD&name="


def test_default_node_is_listed_with_its_destination(console_app: ConsoleApp) -> None:
    page = console_app.signed_in().get("/gateway").text
    assert "KARNAK" in page
    assert "received" in page
    assert "anyone may send" in page


def test_list_that_is_filtered_has_what_fits(console_app: ConsoleApp) -> None:
    with_node(console_app, FOLDER, STOW)
    client = console_app.signed_in()
    found = client.get("/gateway/live?q=archive.EXAMPLE").text
    assert "name=web" in found
    assert "name=disk" not in found
    assert "Nothing fits" in client.get("/gateway?q=elsewhere").text


def test_node_is_added_changed_and_deleted(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    fields = form_of(client.get("/gateway/add").text, "/gateway/add")
    answer = client.submit("/gateway/add", {**fields, "ae_title": "A/B ?&#", "description": HOSTILE})
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert html.escape("A/B ?&#") in page
    assert "<script>alert" not in page + client.get("/gateway").text
    action = answer.headers["location"]
    fields = form_of(page, action)
    answer = client.submit(action, {**fields, "ae_title": "RENAMED"})
    assert answer.headers["location"] == "/gateway/node?node=RENAMED"
    assert [node["ae_title"] for node in document(console_app)["forward_nodes"]] == ["KARNAK", "RENAMED"]
    version = form_of(client.get("/gateway/node?node=RENAMED").text, "/gateway/node?node=RENAMED")["version"]
    assert client.submit("/gateway/node/delete?node=RENAMED", {"version": version}).headers["location"] == "/gateway"
    assert [node["ae_title"] for node in document(console_app)["forward_nodes"]] == ["KARNAK"]


def test_node_that_is_wrong_is_not_added_and_says_why(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    fields = form_of(client.get("/gateway/add").text, "/gateway/add")
    answer = client.submit("/gateway/add", {**fields, "ae_title": "seventeen letters"})
    assert answer.status_code == 422
    assert "is not 1 to 16 characters" in said_wrong(answer.text)
    assert 'id="ae_title-error"' in answer.text
    assert 'value="seventeen letters"' in answer.text
    assert client.submit("/gateway/add", {**fields, "ae_title": "KARNAK"}).status_code == 422
    assert len(document(console_app)["forward_nodes"]) == 1


def test_source_is_added_changed_and_deleted(console_app: ConsoleApp) -> None:
    with_node(console_app)
    client = console_app.signed_in()
    at = "/gateway/source/add?node=FORWARD"
    fields = form_of(client.get(at).text, at)
    assert client.submit(at, {**fields, "ae_title": "CT1", "check_hostname": "on"}).status_code == 422
    assert client.submit(at, {**fields, "ae_title": "CT1", "hostname": "10.0.0.5"}).status_code == 303
    fields = form_of(client.get(at).text, at)
    assert client.submit(at, {**fields, "ae_title": "CT1", "hostname": "10.0.0.6"}).status_code == 303
    assert "10.0.0.6" in client.get("/gateway/node?node=FORWARD").text
    at = "/gateway/source?node=FORWARD&name=CT1%4010.0.0.6"
    fields = form_of(client.get(at).text, at)
    assert client.submit(at, {**fields, "check_hostname": "on"}).status_code == 303
    sources = document(console_app)["forward_nodes"][0]["sources"]
    assert [one.get("check_hostname", False) for one in sources] == [False, True]
    fields = form_of(client.get(at).text, at)
    client.submit("/gateway/source/delete?node=FORWARD&name=CT1%4010.0.0.6", {"version": fields["version"]})
    assert [one["hostname"] for one in document(console_app)["forward_nodes"][0]["sources"]] == ["10.0.0.5"]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("dicom", {"ae_title": "PACS", "hostname": "pacs.example", "port": "104"}),
        ("stow", {"url": "https://archive.example/dicomweb"}),
        ("folder", {"directory": "somewhere"}),
    ],
)
def test_destination_of_each_type_is_added_with_its_form(
    console_app: ConsoleApp, kind: str, keys: dict[str, str]
) -> None:
    with_node(console_app)
    client = console_app.signed_in()
    assert f"type={kind}" in client.get("/gateway/destination/add?node=FORWARD").text
    at = f"/gateway/destination/add?node=FORWARD&type={kind}"
    fields = form_of(client.get(at).text, at)
    answer = client.submit(at, {**fields, "name": "new", **keys})
    assert answer.status_code == 303, said_wrong(answer.text)
    found = destination(console_app, "new")
    assert found["type"] == kind
    assert set(found) == {"name", "type", *keys}


def test_destination_that_nobody_touched_stays_as_it_is(console_app: ConsoleApp) -> None:
    rich = {
        **STOW,
        "condition": "tagIsPresent(#Tag.PatientID)",
        "authorized_sop_classes": ["1.2.840.10008.5.1.4.1.1.2"],
        "transfer_syntax": "JPEG2000Lossless",
        "transcode_only_uncompressed": False,
        "tag_morphing": {"project": "STUDY"},
        "headers": "<key>Authorization</key><value>Basic abc</value><key>X-Tenant</key><value>7</value>",
        "notifications": [{"type": "email", "recipients": "a@example.org", "interval": "2 min"}],
        "follow_ups": [
            {
                "type": "kheops_album",
                "api_url": "https://kheops.example/api",
                "destination_token": "first-token",
                "source_token": "second-token",
            }
        ],
        "retry_for": "3 days",
    }
    version = with_project(console_app, rich)
    client = console_app.signed_in()
    before = destination(console_app, "web")
    page = client.get(f"{AT}web").text
    sealed = before["headers"]["Authorization"]["stored"]
    for secret in ("first-token", "second-token", "Basic abc", sealed):
        assert secret not in page
    answer = client.submit(f"{AT}web", form_of(page, f"{AT}web"))
    assert answer.status_code == 303, said_wrong(answer.text)
    assert destination(console_app, "web") == before
    assert console_app.console.version == version


def test_secrets_that_are_left_empty_are_kept_and_new_ones_are_encrypted(console_app: ConsoleApp) -> None:
    album = {"type": "kheops_album", "api_url": "https://k.example/api", "destination_token": "a", "source_token": "b"}
    with_node(console_app, {**STOW, "follow_ups": [album]})
    client = console_app.signed_in()
    before = destination(console_app, "web")["follow_ups"][0]
    fields = form_of(client.get(f"{AT}web").text, f"{AT}web")
    answer = client.submit(f"{AT}web", {**fields, "follow_ups[0].source_token": "new-token", "description": "changed"})
    assert answer.status_code == 303, said_wrong(answer.text)
    after = destination(console_app, "web")["follow_ups"][0]
    assert after["destination_token"] == before["destination_token"]
    assert after["source_token"] != before["source_token"]
    assert console_app.console.vault.decrypt(after["source_token"]["stored"]) == "new-token"
    assert "new-token" not in client.get(f"{AT}web").text


def test_problems_of_the_check_are_shown_at_their_fields_and_nothing_is_changed(console_app: ConsoleApp) -> None:
    version = with_node(console_app, STOW)
    client = console_app.signed_in()
    fields = form_of(client.get(f"{AT}web").text, f"{AT}web")
    wrong = {**fields, "url": "nowhere", "retry_for": "long", "condition": "tagIs(", "authorized_sop_classes": "CT\nx"}
    answer = client.submit(f"{AT}web", wrong)
    assert answer.status_code == 422
    for field in ("url", "retry_for", "condition", "authorized_sop_classes"):
        assert f'id="{field}-error"' in answer.text
        assert f'aria-describedby="{field}-error' in answer.text
    assert 'value="nowhere"' in answer.text
    assert console_app.console.version == version


def test_form_that_is_empty_says_at_each_field_what_is_needed(console_app: ConsoleApp) -> None:
    with_node(console_app)
    client = console_app.signed_in()
    action = "/gateway/destination/add?node=FORWARD&type=dicom"
    fields = form_of(client.get(action).text, action)
    answer = client.submit(action, {**fields, "name": "a", "ae_title": "", "hostname": "", "port": ""})
    assert answer.status_code == 422
    for field in ("ae_title", "hostname", "port"):
        assert f'id="{field}-error"' in answer.text, field


def test_deidentification_and_tag_morphing_exclude_each_other(console_app: ConsoleApp) -> None:
    with_project(console_app, STOW)
    client = console_app.signed_in()
    page = client.get(f"{AT}web").text
    assert 'data-excludes="tag_morphing"' in page
    assert 'data-excludes="de_identification"' in page
    fields = form_of(page, f"{AT}web")
    both = {
        **fields,
        "de_identification": "on",
        "de_identification.project": "STUDY",
        "de_identification.pseudonym.type": "stored",
        "de_identification.leak_check": "on",
        "tag_morphing": "on",
        "tag_morphing.project": "STUDY",
    }
    answer = client.submit(f"{AT}web", both)
    assert answer.status_code == 422
    assert "excludes de_identification" in said_wrong(answer.text)
    del both["tag_morphing"]
    assert client.submit(f"{AT}web", both).status_code == 303
    assert destination(console_app, "web")["de_identification"]["project"] == "STUDY"
    assert "STUDY (profile research 1.0)" in client.get(f"{AT}web").text


def test_popup_is_there_where_no_project_exists(console_app: ConsoleApp) -> None:
    with_node(console_app, STOW)
    client = console_app.signed_in()
    page = client.get(f"{AT}web").text
    assert page.count("data-needs-project") == 2
    assert "Create a project" in page
    with_project(console_app, STOW)
    assert "data-needs-project" not in client.get(f"{AT}web").text


@pytest.mark.parametrize(
    ("syntax", "ticked", "written"),
    [
        ("keep", False, None),
        ("ExplicitVRLittleEndian", False, None),
        ("JPEG2000Lossless", True, None),
        ("JPEG2000Lossless", False, False),
    ],
)
def test_only_uncompressed_follows_the_transfer_syntax(
    console_app: ConsoleApp, syntax: str, ticked: bool, written: bool | None
) -> None:
    with_node(console_app)
    client = console_app.signed_in()
    fields = form_of(client.get(f"{AT}disk").text, f"{AT}disk")
    assert "transcode_only_uncompressed" not in fields
    more = {"transcode_only_uncompressed": "on"} if ticked else {}
    assert client.submit(f"{AT}disk", {**fields, "transfer_syntax": syntax, **more}).status_code == 303
    assert destination(console_app, "disk").get("transcode_only_uncompressed") is written
    again = form_of(client.get(f"{AT}disk").text, f"{AT}disk")
    assert ("transcode_only_uncompressed" in again) is ticked


def test_changes_of_two_people_to_different_destinations_go_together(console_app: ConsoleApp) -> None:
    with_node(console_app, FOLDER, STOW)
    first, second = console_app.signed_in("first"), console_app.signed_in("second")
    one = form_of(first.get(f"{AT}disk").text, f"{AT}disk")
    two = form_of(second.get(f"{AT}web").text, f"{AT}web")
    assert first.submit(f"{AT}disk", {**one, "description": "of the first"}).status_code == 303
    assert second.submit(f"{AT}web", {**two, "description": "of the second"}).status_code == 303
    assert destination(console_app, "disk")["description"] == "of the first"
    assert destination(console_app, "web")["description"] == "of the second"


def test_second_of_two_people_sees_what_the_first_changed_and_loses_nothing(console_app: ConsoleApp) -> None:
    with_node(console_app)
    first, second = console_app.signed_in("first"), console_app.signed_in("second")
    mine = form_of(second.get(f"{AT}disk").text, f"{AT}disk")
    theirs = form_of(first.get(f"{AT}disk").text, f"{AT}disk")
    first.submit(f"{AT}disk", {**theirs, "directory": "theirs"})
    answer = second.submit(f"{AT}disk", {**mine, "description": "written for an hour"})
    assert answer.status_code == 409
    assert "first has changed this meanwhile" in answer.text
    assert html.escape("~ FORWARD/disk: directory out -> theirs") in answer.text
    assert 'value="written for an hour"' in answer.text
    assert destination(console_app, "disk")["directory"] == "theirs"
    # saving again is meant
    assert second.submit(f"{AT}disk", form_of(answer.text, f"{AT}disk")).status_code == 303
    assert destination(console_app, "disk")["description"] == "written for an hour"
    versions = {one.author for one in store.history(console_app.console.database)}
    assert {"first", "second"} <= versions


def test_only_who_changed_this_part_is_named(console_app: ConsoleApp) -> None:
    with_node(console_app)
    carol = console_app.signed_in("carol")
    mine = form_of(carol.get(f"{AT}disk").text, f"{AT}disk")
    alice, bob = console_app.signed_in("alice"), console_app.signed_in("bob")
    theirs = form_of(alice.get(f"{AT}disk").text, f"{AT}disk")
    alice.submit(f"{AT}disk", {**theirs, "directory": "theirs"})
    (changed,) = store.history(console_app.console.database, limit=1)
    page = "/gateway/node?node=FORWARD"
    for number in range(6):
        bob.submit(page, {**form_of(bob.get(page).text, page), "description": f"number {number}"})
    (newest,) = store.history(console_app.console.database, limit=1)
    assert (newest.number, newest.author) == (changed.number + 6, "bob")
    answer = carol.submit(f"{AT}disk", {**mine, "description": "mine"})
    assert answer.status_code == 409
    assert "alice has changed this meanwhile" in answer.text
    assert "bob" not in answer.text
    assert str(iso(changed.created_at))[:19] in answer.text


def test_destination_that_was_deleted_meanwhile_is_not_made_again(console_app: ConsoleApp) -> None:
    with_node(console_app, FOLDER, STOW)
    client = console_app.signed_in()
    fields = form_of(client.get(f"{AT}disk").text, f"{AT}disk")
    with_node(console_app, STOW)
    answer = client.submit(f"{AT}disk", {**fields, "description": "x"})
    assert answer.status_code == 409
    assert "has deleted this meanwhile" in answer.text
    assert len(document(console_app)["forward_nodes"][0]["destinations"]) == 1


def test_destination_is_paused_by_one_click_and_deleted_after_it_was_looked_at(console_app: ConsoleApp) -> None:
    with_node(console_app)
    client = console_app.signed_in()
    version = form_of(client.get(f"{AT}disk").text, f"{AT}disk")["version"]
    client.submit("/gateway/destination/switch?node=FORWARD&name=disk", {"to": "pause"})
    assert destination(console_app, "disk")["paused"] is True
    assert "paused" in client.get("/gateway").text
    delete = "/gateway/destination/delete?node=FORWARD&name=disk"
    assert "name=disk" in client.submit(delete, {"version": version}).headers["location"]
    assert destination(console_app, "disk")
    version = form_of(client.get(f"{AT}disk").text, f"{AT}disk")["version"]
    client.submit(delete, {"version": version})
    assert "destinations" not in document(console_app)["forward_nodes"][0]


def test_authorization_header_is_put_after_the_headers_that_are_there(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = "/gateway/authorization"
    there = "<key>X-Tenant</key>\n<value>7</value>"
    basic = {"kind": "basic", "username": "user", "password": "password", "headers": there}
    made = html.unescape(client.submit(at, basic).text)
    assert f"{there}\n<key>Authorization</key>\n<value>Basic dXNlcjpwYXNzd29yZA==</value>" in made
    made = html.unescape(client.submit(at, {"kind": "oauth2", "token": "1234567890", "headers": ""}).text)
    assert "<key>Authorization</key>\n<value>Bearer 1234567890</value>" in made
    again = client.submit(at, {**basic, "headers": "<key>Authorization</key><value>x</value>"})
    assert again.status_code == 422
    assert "already have" in again.text
    wrong = client.submit(at, {"kind": "basic", "username": "a:b", "password": "secret-text"})
    assert wrong.status_code == 422
    assert "colon" in wrong.text
    assert "secret-text" not in wrong.text
    assert client.submit(at, {"kind": "nothing"}).status_code == 422


def test_what_is_not_there_is_not_found(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    for path in ("/gateway/node?node=X", "/gateway/source?node=X&name=Y", "/gateway/destination?node=KARNAK&name=Y"):
        assert client.get(path).status_code == 404
    assert client.get("/gateway/destination/add?node=KARNAK&type=carrier_pigeon").status_code == 404


def test_pages_of_the_gateway_are_for_admins(console_app: ConsoleApp) -> None:
    for role in ("investigator", "user"):
        client = console_app.signed_in(f"an-{role}", role)
        assert client.get("/gateway").status_code == 403
        assert client.submit("/gateway/add", {"ae_title": "X", "version": "0"}).status_code == 403
    assert console_app.client().get("/gateway").status_code == 303
