"""What a token is for is all that it can be used for: no road leads from one scope to another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from configured import apply
from test_profiles_pages import make_file, upload
from web_support import Client, ConsoleApp

from karnak_plugins.web_console.access.audit import entries

ANY = {"If-Match": "*"}
OIDC = {"issuer": "https://login.evil.example", "client_id": "karnak"}
CONSOLE = {"web_console": {"oidc": OIDC}}


# ---- the console's own section: who names the identity provider says who is an admin ------------------------------


def settings(client: Client, plugins: dict[str, Any]) -> Any:
    """Change the settings by the API."""
    return client.put("/api/v1/settings", json={"plugins": plugins}, headers=ANY)


def whole(client: Client, plugins: dict[str, Any]) -> Any:
    """Apply a whole configuration by the API."""
    document = client.get("/api/v1/configuration").json()
    return client.put("/api/v1/configuration", json={**document, "plugins": plugins}, headers=ANY)


@pytest.mark.parametrize("road", [settings, whole])
@pytest.mark.parametrize("plugins", [CONSOLE, {"disabled": ["web_console"]}, {"web_console": {"echo_api": False}}])
def test_who_may_change_the_configuration_cannot_say_who_signs_in(
    console_app: ConsoleApp, road: Any, plugins: dict[str, Any]
) -> None:
    client = console_app.with_token("read", "configuration")
    before = console_app.console.version
    answer = road(client, plugins)
    assert answer.status_code == 403
    assert (
        "this needs the scope users: plugins.web_console would be another, which says who may sign in"
        in answer.json()["detail"]
    )
    assert console_app.console.version == before
    assert road(console_app.with_token("read", "configuration", "users"), plugins).status_code == 200


def test_a_rollback_does_not_bring_back_another_identity_provider(console_app: ConsoleApp) -> None:
    admin = console_app.with_token("read", "configuration", "users")
    assert settings(admin, CONSOLE).status_code == 200
    assert settings(admin, {}).status_code == 200
    path = "/api/v1/configuration/rollback/1"
    assert console_app.with_token("configuration").post(path, headers=ANY).status_code == 403
    assert "web_console" not in console_app.console.configuration.services
    assert admin.post(path, headers=ANY).status_code == 200


def test_the_rest_is_changed_beside_the_section_of_the_console(console_app: ConsoleApp) -> None:
    secret = {**OIDC, "client_secret": "planted"}
    admin = console_app.with_token("read", "configuration", "users")
    assert settings(admin, {"web_console": {"oidc": secret}}).status_code == 200
    client = console_app.with_token("read", "configuration")
    document = client.get("/api/v1/settings").json()
    assert document["plugins"]["web_console"]["oidc"]["client_secret"] == {"stored": "***"}
    answer = client.put("/api/v1/settings", json={**document, "listener": {"port": 11113}}, headers=ANY)
    assert answer.status_code == 200
    assert console_app.console.configuration.listener.port == 11113


def test_an_admin_who_is_signed_in_changes_the_section_of_the_console(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    client.headers["X-CSRF-Token"] = client.csrf()
    assert settings(client, CONSOLE).status_code == 200


# ---- authenticators: what they say goes to whoever is asked -------------------------------------------------------


class Listening(ThreadingHTTPServer):
    """A web server that keeps what authorizes the requests that it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.got: set[str | None] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """Answers all with nothing."""

    def do_GET(self) -> None:
        """Answer."""
        assert isinstance(self.server, Listening)
        self.server.got.add(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_OPTIONS = do_POST = do_GET

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listening() -> Iterator[Listening]:
    """A web server of somebody."""
    with Listening() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


BASIC = {"up": {"type": "basic", "username": "karnak", "password": "planted"}}


def noted(console_app: ConsoleApp) -> list[tuple[str, str, str]]:
    """Return action, object and detail of what was written down, the newest first."""
    with console_app.console.database.read() as connection:
        return [(one.action, one.object, one.detail) for one in entries(connection)]


def test_a_password_of_an_authenticator_goes_to_nobody_whom_a_program_names(
    console_app: ConsoleApp, listening: Listening
) -> None:
    stow = {"name": "cloud", "type": "stow", "url": "https://cloud.example.org/dw", "authenticator": "up"}
    other = {"name": "open", "type": "stow", "url": f"{listening.url}/dw"}
    apply(console_app, authenticators=BASIC, forward_nodes=[{"ae_title": "FORWARD", "destinations": [stow, other]}])
    program = console_app.with_token("tools")
    own = program.post("/api/v1/tools/endpoints", json={"url": f"{listening.url}/mine"}).json()["id"]
    for where in ({"url": f"{listening.url}/x"}, {"destination": "FORWARD/open"}, {"endpoint_id": own}):
        answer = program.post("/api/v1/tools/dicomweb", json={**where, "authenticator": "up"})
        assert answer.status_code == 403
        assert "this needs the scope secrets: no destination uses the authenticator 'up'" in answer.json()["detail"]
    tricky = f"https://cloud.example.org@{listening.url.removeprefix('http://')}/"
    assert program.post("/api/v1/tools/dicomweb", json={"url": tricky, "authenticator": "up"}).status_code == 403
    assert listening.got == set()
    allowed = console_app.with_token("tools", "secrets")
    assert allowed.post("/api/v1/tools/dicomweb", json={"url": listening.url, "authenticator": "up"}).status_code == 200
    assert any((one or "").startswith("Basic ") for one in listening.got)
    assert noted(console_app)[0] == ("ask", listening.url, "with the authenticator up")


def test_a_destination_is_asked_with_its_own_authenticator_and_that_is_written_down(
    console_app: ConsoleApp, listening: Listening
) -> None:
    stow = {"name": "cloud", "type": "stow", "url": f"{listening.url}/dw", "authenticator": "up"}
    apply(console_app, authenticators=BASIC, forward_nodes=[{"ae_title": "FORWARD", "destinations": [stow]}])
    program = console_app.with_token("tools")
    for where in ({"destination": "FORWARD/cloud"}, {"url": f"{listening.url}/dw/studies", "authenticator": "up"}):
        listening.got.clear()
        assert program.post("/api/v1/tools/dicomweb", json=where).status_code == 200
        assert any((one or "").startswith("Basic ") for one in listening.got)
        assert noted(console_app)[0] == ("ask", listening.url, "with the authenticator up")


def test_an_admin_asks_any_address_with_an_authenticator_on_the_page(
    console_app: ConsoleApp, listening: Listening
) -> None:
    apply(console_app, authenticators=BASIC)
    answer = console_app.signed_in().submit("/tools/dicomweb", {"url": listening.url, "authenticator": "up"})
    assert answer.status_code == 200
    assert noted(console_app)[0] == ("ask", listening.url, "with the authenticator up")


# ---- secrets of projects: what they make of an ID tells whose it is -----------------------------------------------


def test_the_secret_of_a_project_is_used_by_who_may_ask_who_somebody_is(
    console_app: ConsoleApp, tmp_path: Path
) -> None:
    apply(console_app, projects=[{"name": "STUDY", "profile": "Dicom Basic Profile"}])
    content = make_file(tmp_path, PatientName="Curie^Marie").read_bytes()
    at = "/api/v1/tryouts?project=STUDY"
    answer = console_app.with_token("tools").post(at, content=content)
    assert answer.status_code == 403
    assert "needs the scope identities or secrets" in answer.json()["detail"]
    assert noted(console_app)[0][0] != "use"
    entry = ("use", "secret of project STUDY", "try-out of profile Dicom Basic Profile")
    for scope in ("identities", "secrets"):
        answer = console_app.with_token("tools", scope).post(at, content=content)
        assert answer.json()["ending"] == "tried"
        assert noted(console_app)[0] == entry
    client = console_app.signed_in()
    assert client.submit("/sign-out").status_code == 303
    page = "/profiles/profile/try?name=Dicom+Basic+Profile"
    assert upload(console_app.signed_in(), page, content, {"project": "STUDY"}).status_code == 200
    assert noted(console_app)[0] == entry


def test_what_web_services_know_of_somebody_is_not_shown_to_who_may_only_use_tools(
    console_app: ConsoleApp, tmp_path: Path
) -> None:
    (tmp_path / "asks.yml").write_text(
        "name: Asks\nversion: '1'\nprofileElements:\n- {name: a, codename: action.replace.api, arguments: "
        "{url: 'http://127.0.0.1:9/{{getString(#Tag.PatientID)}}', responsePath: /a}, tags: ['(0010,0010)']}\n"
    )
    apply(console_app, profiles=[str(tmp_path / "asks.yml")])
    content, at = make_file(tmp_path).read_bytes(), "/api/v1/tryouts?profile=Asks"
    answer = console_app.with_token("tools").post(at, content=content)
    assert answer.status_code == 403
    assert "asks web services, which needs the scope identities or secrets" in answer.json()["detail"]
    assert noted(console_app)[0][0] != "ask"
    assert console_app.with_token("tools", "identities").post(at, content=content).status_code == 200
    assert noted(console_app)[0] == ("ask", "web services of profile Asks", "try-out")


# ---- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_deletes_itself_and_none_that_may_do_more(console_app: ConsoleApp) -> None:
    strong, weak = console_app.with_token("read", "configuration"), console_app.with_token("read")
    numbers = {len(one["scopes"]): one["id"] for one in weak.get("/api/v1/tokens").json()["items"]}
    answer = weak.delete(f"/api/v1/tokens/{numbers[2]}")
    assert (answer.status_code, answer.json()["detail"]) == (403, "this needs the scope configuration")
    assert strong.get("/api/v1/status").status_code == 200
    assert noted(console_app) == []
    assert weak.delete(f"/api/v1/tokens/{numbers[1]}").status_code == 204
    assert weak.get("/api/v1/status").status_code == 401
