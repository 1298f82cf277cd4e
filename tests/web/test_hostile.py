"""What people and senders write is text, wherever it is shown; secrets are shown nowhere; paths lead nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from configured import STOW, with_node
from filled import HOSTILE, LONG_AE, LONG_NAME, LONG_UID, SCRIPTS, SECRETS, crawl, fill
from web_support import Client, ConsoleApp

from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.pages import AREAS

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

FIRST = (*(area.path for area in AREAS), "/account", "/password")
#: with what data sets and names say, in the clear
IDENTITIES = ("/monitoring?identities=1&period=all", "/monitoring/deliveries?identities=1&period=all")


class _Elements(HTMLParser):
    """The elements of a page that could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.wrong.append(f"script {given}")
        if tag == "img" and not given.get("src", "").startswith("/static/"):
            self.wrong.append(f"img {given}")
        for name, value in given.items():
            if name.startswith("on") or name == "style" or name.startswith("hx-on"):
                self.wrong.append(f"{tag} {name}={value}")
            if name in ("href", "src", "action", "hx-get", "hx-post") and not value.startswith(("/", "#", "https://")):
                self.wrong.append(f"{tag} {name}={value}")


def could_run(page: str) -> list[str]:
    """Return what of a page could do something that we did not write."""
    parser = _Elements()
    parser.feed(page)
    return parser.wrong


def test_this_finds_what_could_run() -> None:
    assert len(could_run(HOSTILE)) >= 2
    assert could_run('<a href="javascript:x">y</a>')
    assert could_run('<p onclick="x">y</p>')
    assert could_run('<p class="x">&lt;script&gt;</p><a href="/gateway">y</a>') == []


def is_of_the_manual(address: str) -> bool:
    """Say whether this is a page of the manual, which nothing of what is stored is on, but links and pictures are."""
    return address.startswith("/help/")


def test_what_is_stored_is_text_on_every_page(console_app: ConsoleApp) -> None:
    fill(console_app, HOSTILE)
    pages = crawl(console_app.signed_in(), *FIRST, *IDENTITIES)
    whole = "".join(pages.values())
    # it is there, and it is text
    assert "&lt;script&gt;alert(1)" in whole
    assert "{{7*7}}" in whole
    for address, page in pages.items():
        if not address.endswith(".csv") and not is_of_the_manual(address):
            assert could_run(page) == [], address
            assert not re.search(r"49\{%", page), address


def test_nothing_that_is_stored_runs_in_the_browser(open_page: Callable[..., Page], console_app: ConsoleApp) -> None:
    fill(console_app, HOSTILE)
    found = crawl(console_app.signed_in(), *FIRST, *IDENTITIES, each=2)
    page = open_page("/overview")
    ran: list[str] = []

    def said(dialog: Dialog) -> None:
        ran.append(f"{page.url}: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", said)
    for address, text in found.items():
        if "</html>" in text:
            page.goto(address)
            # what is put in by a script is looked at, too
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            forbidden = "main script:not([src^='/static/'])" + ("" if is_of_the_manual(address) else ", main img")
            assert page.locator(forbidden).count() == 0, address
    assert ran == []


@pytest.mark.parametrize("text", SCRIPTS)
def test_what_is_asked_for_is_text_in_the_answer(console_app: ConsoleApp, text: str) -> None:
    with_node(console_app, STOW)
    client = console_app.signed_in()
    asked = quote(text, safe="")
    for address in (
        f"/gateway?q={asked}",
        f"/gateway/live?q={asked}",
        f"/gateway/node?node={asked}",
        f"/gateway/destination?node=FORWARD&name={asked}",
        f"/gateway/destination/add?node=FORWARD&type={asked}",
        f"/monitoring?text={asked}&destination={asked}&study={asked}&state={asked}&period={asked}",
        f"/monitoring/deliveries?text={asked}&patient_id={asked}",
        f"/monitoring/story?uid={asked}",
        f"/pseudonyms?project={asked}&search={asked}",
        f"/projects/project?name={asked}",
        f"/profiles/profile?name={asked}",
        f"/tools/echo?ae_title={asked}&hostname={asked}&known={asked}",
        f"/tools/{asked}",
        f"/settings/section?name={asked}",
        f"/help/{asked}",
        f"/{asked}",
        f"/sign-in?next={asked}",
    ):
        answer = client.get(address)
        assert answer.status_code < 500, address
        assert could_run(answer.text) == [], address
        assert "49{%" not in answer.text, address


def test_what_was_typed_wrongly_is_text_in_the_form(console_app: ConsoleApp) -> None:
    with_node(console_app, STOW)
    client = console_app.signed_in()
    for address, fields in (
        ("/gateway/add", {"ae_title": HOSTILE, "description": HOSTILE}),
        ("/gateway/destination/add?node=FORWARD&type=dicom", {"name": HOSTILE, "hostname": HOSTILE, "port": HOSTILE}),
        ("/projects/add", {"name": HOSTILE * 3, "profile": HOSTILE}),
        ("/profiles", {"text": f"name: {HOSTILE}\nprofileElements: {HOSTILE}"}),
        ("/history/plan", {"text": HOSTILE}),
        ("/users", {"name": HOSTILE, "display_name": HOSTILE}),
        ("/account/tokens", {"name": HOSTILE * 3}),
        ("/tools/echo", {"ae_title": HOSTILE, "hostname": HOSTILE, "port": HOSTILE}),
        ("/nodes/add", {"ae_title": HOSTILE, "hostname": HOSTILE, "port": "1"}),
        ("/authenticators/add?type=basic", {"authenticator_name": HOSTILE, "username": HOSTILE}),
    ):
        answer = client.submit(address, fields)
        assert 400 <= answer.status_code < 500, f"{address}: {answer.status_code}"
        assert could_run(answer.text) == [], address


def test_sign_in_sends_nobody_elsewhere(console_app: ConsoleApp) -> None:
    console_app.add_user("admin")
    for elsewhere in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
    ):
        client = console_app.client()
        page = client.get(f"/sign-in?next={quote(elsewhere, safe='')}")
        csrf = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        fields = {"name": "admin", "password": "a rather long password", "next": elsewhere}
        answer = client.post("/sign-in", data={**fields, "csrf_token": csrf[1] if csrf else ""})
        assert answer.status_code == 303, elsewhere
        assert re.fullmatch(r"/[a-z-]*", answer.headers["location"]), elsewhere


def test_cells_of_saved_lists_are_no_formulas(console_app: ConsoleApp) -> None:
    fill(console_app, "=HYPERLINK(1)")
    client = console_app.signed_in()
    for address in ("/nodes/export/nodes.csv", "/monitoring/export?period=all&identities=1"):
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert "HYPERLINK" in answer.text, address
        assert not re.search(r'(^|[,;\n])"?[=+@\t]', answer.text), address


def test_secrets_are_in_no_answer(console_app: ConsoleApp) -> None:
    fill(console_app)
    pages = crawl(console_app.signed_in(), *FIRST, *IDENTITIES)
    program = console_app.with_token(*Scope)
    sealed = re.findall(r'"stored": ?"([^"]{20,})"', json.dumps(stored(console_app)))
    assert len(sealed) >= len(SECRETS)
    asked = {path: program.get(path) for path in addresses_of(program)}
    assert sum(answer.status_code == 200 for answer in asked.values()) > 35
    answers = {**pages, **{path: answer.text for path, answer in asked.items()}}
    assert len(answers) > 120
    for address, text in answers.items():
        for secret in (*SECRETS, *sealed):
            assert secret not in text, address


def stored(app: ConsoleApp) -> Any:
    """Return the configuration as it is kept, with what is encrypted."""
    from karnak_core.config.export import to_document

    return to_document(app.console.configuration)


def addresses_of(program: Client) -> list[str]:
    """Return the addresses of all that the API shows, filled in with what there is."""
    known = {"ae_title": "FORWARD", "project": "STUDY", "source": LONG_AE, "uid": f"{LONG_UID[:60]}.4"}
    names = {"projects": "STUDY", "profiles": "research", "authenticators": "archive", "destinations": LONG_NAME}
    names |= {"application-entities": "MOVER"}
    found = []
    for path, operations in program.get("/api/v1/openapi.json").json()["paths"].items():
        if "get" in operations:
            values = {**known, "name": names.get(path.split("/")[-2], "")}
            found.append(re.sub(r"\{(\w+)\}", lambda name, values=values: values.get(name[1], "1"), path))
    return [path + ("?hostname=ct1.example" if "/sources/" in path else "") for path in found]


@pytest.mark.parametrize(
    "path",
    [
        "../config.py",
        "..%2fconfig.py",
        "%2e%2e%2fconfig.py",
        "..%5cconfig.py",
        "....//config.py",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "..%252fconfig.py",
        "x%00.css",
    ],
)
def test_path_leads_to_no_file_of_ours(console_app: ConsoleApp, path: str) -> None:
    client = console_app.signed_in()
    for prefix in ("/static/", "/static/vendor/", "/help/", "/api/v1/profiles/", "/tools/"):
        answer = client.get(prefix + path)
        assert 300 <= answer.status_code < 500, prefix
        assert "class WebConsole" not in answer.text, prefix
        assert "root:" not in answer.text, prefix
