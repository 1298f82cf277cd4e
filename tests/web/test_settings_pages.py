"""Authenticators, settings and history."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
import trustme
from configured import FOLDER, HOSTILE, STOW, apply, document, form_of, said_wrong, with_node, with_project
from web_support import ConsoleApp

from karnak_core.config import yaml_text

A = "/authenticators/authenticator?name=archive"
BASIC = {"type": "basic", "username": "karnak", "password": "the-password"}


# ---- authenticators ----


def test_authenticator_is_added_changed_and_keeps_its_secret(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    assert "There is no authenticator yet." in client.get("/authenticators").text
    at = "/authenticators/add?type=basic"
    fields = form_of(client.get(at).text, at)
    for wrong in ("", "a b", "../x"):
        answer = client.submit(at, {**fields, "authenticator_name": wrong, "username": "u", "password": "p"})
        assert answer.status_code == 422
        assert "letters, digits" in said_wrong(answer.text)
    answer = client.submit(at, {**fields, "authenticator_name": "archive", "username": "u", "password": "the-password"})
    assert answer.headers["location"] == A
    sealed = document(console_app)["authenticators"]["archive"]["password"]
    page = client.get(A).text
    assert "the-password" not in page
    assert sealed["stored"] not in page
    assert client.submit(A, {**form_of(page, A), "username": "other"}).status_code == 303
    assert document(console_app)["authenticators"]["archive"] == {
        "type": "basic",
        "username": "other",
        "password": sealed,
    }


def test_problems_of_an_authenticator_are_shown_at_their_fields(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = "/authenticators/add?type=basic"
    fields = form_of(client.get(at).text, at)
    answer = client.submit(at, {**fields, "authenticator_name": "x", "username": "a:b", "password": "typed-secret"})
    assert answer.status_code == 422
    assert 'id="username-error"' in answer.text
    assert "typed-secret" not in answer.text
    assert client.get("/authenticators/add?type=none").status_code == 404


def test_authenticator_is_tested_without_its_headers_being_shown(console_app: ConsoleApp) -> None:
    closed = {"type": "oauth2", "token_url": "http://127.0.0.1:9/token", "client_id": "i", "client_secret": "s"}
    apply(console_app, authenticators={"archive": BASIC, "closed": closed})
    client = console_app.signed_in()
    answer = client.submit("/authenticators/authenticator/test?name=archive")
    page = client.get(answer.headers["location"]).text
    assert "It works: it gives Authorization." in page
    assert "Basic " not in page
    answer = client.submit("/authenticators/authenticator/test?name=closed")
    assert "It does not work:" in client.get(answer.headers["location"]).text
    assert client.submit("/authenticators/authenticator/test?name=none").status_code == 404


def test_authenticator_in_use_is_not_deleted(console_app: ConsoleApp) -> None:
    with_node(console_app, {**STOW, "authenticator": "archive"}, authenticators={"archive": BASIC})
    client = console_app.signed_in()
    delete = "/authenticators/authenticator/delete?name=archive"
    version = form_of(client.get(A).text, A)["version"]
    answer = client.submit(delete, {"version": version})
    assert "destination FORWARD/web" in client.get(answer.headers["location"]).text
    with_node(console_app)
    version = form_of(client.get(A).text, A)["version"]
    assert client.submit(delete, {"version": version}).headers["location"] == "/authenticators"
    assert "authenticators" not in document(console_app)


# ---- settings ----


def section(name: str) -> str:
    """Return the address of a section."""
    return f"/settings/section?name={name}"


def test_every_section_has_a_form_that_changes_nothing_by_itself(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    before = document(console_app)
    page = client.get("/settings").text
    for name in ("listener", "storage", "plugins.web_console"):
        at = section(name)
        assert html.escape(at) in page
        answer = client.submit(at, form_of(client.get(at).text, at))
        assert answer.status_code == 303, said_wrong(answer.text)
        assert document(console_app) == before
    assert client.get(section("none")).status_code == 404
    assert client.get(section("plugins.none")).status_code == 404


def test_mail_server_is_configured_and_its_password_is_kept(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = section("plugins.email_notify")
    fields = form_of(client.get(at).text, at)
    answer = client.submit(at, {**fields, "host": "mail.example", "username": "u"})
    assert answer.status_code == 422
    assert "username and password go together" in said_wrong(answer.text)
    full = {**fields, "host": "mail.example", "username": "u", "password": "mail-password"}
    assert client.submit(at, full).status_code == 303
    sealed = document(console_app)["plugins"]["email_notify"]["password"]
    page = client.get(at).text
    assert "mail-password" not in page
    assert client.submit(at, {**form_of(page, at), "port": "587"}).status_code == 303
    assert document(console_app)["plugins"]["email_notify"]["password"] == sealed
    off = form_of(client.get(at).text, at)["version"]
    assert client.submit("/settings/section/off?name=plugins.email_notify", {"version": off}).status_code == 303
    assert "email_notify" not in document(console_app)["plugins"]


def test_listener_that_is_wrong_is_told_at_its_field(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = section("listener")
    answer = client.submit(at, {**form_of(client.get(at).text, at), "port": "70000", "max_associations": "many"})
    assert answer.status_code == 422
    assert 'id="port-error"' in answer.text
    assert 'id="max_associations-error"' in answer.text


def test_files_of_tls_are_looked_at_when_they_are_typed(console_app: ConsoleApp, tmp_path: Path) -> None:
    client = console_app.signed_in()
    at = section("listener")
    certificate, key, other = (str(tmp_path / name) for name in ("c.pem", "k.pem", "other.pem"))
    for path in (other, certificate):
        issued = trustme.CA().issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(path)
        issued.private_key_pem.write_to_path(key)
    tls = {"tls": "on", "tls.certificate": other, "tls.key": key}
    answer = client.submit(at, {**form_of(client.get(at).text, at), **tls})
    assert answer.status_code == 422
    assert 'id="tls.key-error"' in answer.text
    assert f"'{key}' is not the private key of the certificate in '{other}'" in html.unescape(answer.text)
    answer = client.submit(at, {**form_of(client.get(at).text, at), **tls, "tls.certificate": f"{tmp_path}/gone.pem"})
    assert "gone.pem' cannot be read: no such file or directory" in html.unescape(answer.text)
    answer = client.submit(at, {**form_of(client.get(at).text, at), **tls, "tls.certificate": "c.pem"})
    assert "'c.pem' does not begin with '/'" in html.unescape(answer.text)
    assert "listener" not in document(console_app)
    answer = client.submit(at, {**form_of(client.get(at).text, at), **tls, "tls.certificate": certificate})
    assert answer.status_code == 303
    assert document(console_app)["listener"]["tls"] == {"certificate": certificate, "key": key}
    # one that is gone later keeps nobody from changing something else
    Path(certificate).unlink()
    assert client.submit(at, {**form_of(client.get(at).text, at), "port": "0"}).status_code == 303
    # nor from going back, as by `karnak rollback`
    with_tls = console_app.console.version
    fields = form_of(client.get(at).text, at)
    plain = {name: value for name, value in fields.items() if not name.startswith("tls")}
    assert client.submit(at, plain).status_code == 303
    assert "tls" not in document(console_app)["listener"]
    console_app.console.roll_back(with_tls, expected_version=None, author="test")
    assert document(console_app)["listener"]["tls"] == {"certificate": certificate, "key": key}


def test_application_entity_is_added_changed_and_deleted(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    at = "/settings/entity/add"
    fields = form_of(client.get(at).text, at)
    entity = {"ae_title": "PACS", "hostname": "pacs.example", "port": "104", "description": HOSTILE}
    assert client.submit(at, {**fields, **entity}).status_code == 303
    assert "<script>alert" not in client.get("/settings").text
    at = "/settings/entity?name=PACS"
    fields = form_of(client.get(at).text, at)
    assert client.submit(at, {**fields, "port": "11112"}).status_code == 303
    assert document(console_app)["application_entities"][0]["port"] == 11112
    version = form_of(client.get(at).text, at)["version"]
    client.submit("/settings/entity/delete?name=PACS", {"version": version})
    assert "application_entities" not in document(console_app)


# ---- history ----


def test_history_says_who_changed_what_and_goes_back(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    assert "Nothing was ever changed." in client.get("/history").text
    first = with_node(console_app)
    apply(console_app, forward_nodes=[{"ae_title": "FORWARD", "description": HOSTILE, "destinations": [FOLDER]}])
    page = client.get("/history").text
    assert "somebody else" in page
    assert html.escape("~ FORWARD: description") in page
    assert "<script>alert" not in page
    page = client.get(f"/history/version?number={first}").text
    assert "What going back to it would change" in page
    fields = form_of(page, "/history/rollback")
    assert client.submit("/history/rollback", fields).status_code == 303
    assert "description" not in document(console_app)["forward_nodes"][0]
    # from a page that is too old nothing is rolled back
    answer = client.submit("/history/rollback", {**fields, "number": str(first + 1)})
    assert "It is not rolled back" in client.get(answer.headers["location"]).text
    assert client.get("/history/version?number=99").status_code == 404


def test_exported_file_can_be_planned_and_applied_again(console_app: ConsoleApp) -> None:
    with_project(console_app, STOW)
    apply(console_app, authenticators={"archive": BASIC})
    client = console_app.signed_in()
    text = client.submit("/history/export").text
    assert "{stored: '***'}" in text or "stored: '***'" in text
    assert "everything is as the file says" in client.submit("/history/plan", {"text": text}).text
    changed = yaml_text.parse(text)
    changed["forward_nodes"][0]["destinations"][0]["paused"] = True
    plan = client.submit("/history/plan", files={"file": ("karnak.yml", yaml_text.write(changed).encode())})
    assert html.escape("~ FORWARD/web: paused false -> true") in plan.text
    assert document(console_app)["forward_nodes"][0]["destinations"][0].get("paused") is None
    before = document(console_app)["authenticators"]
    assert (
        client.submit("/history/apply", {**form_of(plan.text, "/history/apply"), "comment": "why"}).status_code == 303
    )
    assert document(console_app)["forward_nodes"][0]["destinations"][0]["paused"] is True
    assert document(console_app)["authenticators"] == before
    assert "why" in client.get("/history").text


def test_export_with_encrypted_secrets_is_asked_for_and_written_down(console_app: ConsoleApp) -> None:
    apply(console_app, authenticators={"archive": BASIC})
    client = console_app.signed_in()
    text = client.submit("/history/export", {"secrets": "on"}).text
    assert document(console_app)["authenticators"]["archive"]["password"]["stored"] in text
    assert "the-password" not in text
    audit = console_app.with_token("users").get("/api/v1/audit").json()["items"]
    assert [one["action"] for one in audit][:1] == ["export"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listener: {port: 70000}", "listener.port: 70000"),
        ("profiles: [/etc/passwd]", "profiles[0]: is a path"),
        ("a: [", "line 1"),
        ("authenticators: {x: {type: basic, username: u, password: {stored: '***'}}}", "no stored secret here"),
    ],
)
def test_file_that_is_wrong_is_told_and_not_applied(console_app: ConsoleApp, text: str, said: str) -> None:
    version = with_node(console_app)
    client = console_app.signed_in()
    for path in ("/history/plan", "/history/apply"):
        answer: Any = client.submit(path, {"text": text, "version": str(version)})
        assert answer.status_code == 422
        assert said in html.unescape(answer.text)
    assert console_app.console.version == version


def test_settings_and_history_are_for_admins(console_app: ConsoleApp) -> None:
    for role in ("investigator", "user"):
        client = console_app.signed_in(f"an-{role}", role)
        for path in ("/authenticators", "/settings", "/history", section("listener"), "/history/version?number=1"):
            assert client.get(path).status_code == 403
        assert client.submit("/history/export", {"secrets": "on"}).status_code == 403
