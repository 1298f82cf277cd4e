"""`GET /api/echo/destinations`: anybody may ask whether the destinations of a forward node answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from web_support import ConsoleApp

from karnak_core.testing import run_store_scp, run_storescp
from karnak_core.testing.waiting import free_port
from karnak_core.tools.destinations import DestinationEcho
from karnak_plugins.web_console.api.echo import AT_ONCE, KEPT, PER_MINUTE, Answers, as_json, as_xml, negotiated
from karnak_plugins.web_console.config import WebConsole

PATH = "/api/echo/destinations"
TWO = [DestinationEcho(ae_title="aet", status=111), DestinationEcho(url="http://test.com", status=222)]


def configure(app: ConsoleApp, *destinations: dict[str, Any], node: str = "FORWARD") -> None:
    """Let a forward node have these destinations."""
    whole = {"forward_nodes": [{"ae_title": node, "destinations": list(destinations)}]}
    app.console.change(lambda _document: whole, expected_version=None, author="test", comment="")


def dicom(name: str, port: int, ae_title: str = "PACS", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "dicom", "ae_title": ae_title, "hostname": "127.0.0.1", "port": port, **more}


def test_answers_have_the_shape_that_programs_know() -> None:
    assert as_xml(TWO).decode() == (
        "<destinations><destination><aet>aet</aet><status>111</status></destination>"
        "<destination><url>http://test.com</url><status>222</status></destination></destinations>"
    )
    assert as_json(TWO).decode() == (
        '{"destinationEchos":[{"aet":"aet","status":111},{"url":"http://test.com","status":222}]}'
    )


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/xml"),
        ("*/*", "application/xml"),
        ("application/json", "application/json"),
        ("text/xml", "application/xml"),
        ("application/json, application/xml;q=0.5", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/xml"),
        ("application/json;q=0", None),
        ("application/*;q=0.2, application/xml;q=0", "application/json"),
        ("text/plain", None),
        ("application/json;q=nonsense", None),
    ],
)
def test_media_type_is_what_is_asked_for(accept: str, media_type: str | None) -> None:
    assert negotiated(accept) == media_type


def test_each_destination_says_whether_it_answers(console_app: ConsoleApp, tmp_path: Path) -> None:
    closed = free_port()
    with (
        run_storescp(tmp_path / "stored") as pacs,
        run_store_scp(ae_title="STRICT", require_called_ae_title=True) as scp,
    ):
        configure(
            console_app,
            dicom("pacs", pacs.port),
            dicom("closed", closed, "CLOSED"),
            dicom("rejects", scp.port, "NOTSTRICT"),
            {"name": "cloud", "type": "stow", "url": f"http://127.0.0.1:{closed}/dicom-web"},
            {"name": "disk", "type": "folder", "directory": str(tmp_path / "out")},
            dicom("off", pacs.port, "OFF", enabled=False),
        )
        answer = console_app.client().get(PATH, params={"srcAet": "FORWARD"}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == {
        "destinationEchos": [
            {"aet": "PACS", "status": 0},
            {"aet": "CLOSED", "status": 49152},
            {"aet": "NOTSTRICT", "status": 49152},
            {"url": f"http://127.0.0.1:{closed}/dicom-web/studies", "status": 0},
        ]
    }


def test_answer_is_xml_where_nothing_else_is_asked_for(console_app: ConsoleApp) -> None:
    with run_store_scp() as scp:
        configure(console_app, dicom("pacs", scp.port))
        answer = console_app.client().get(PATH, params={"srcAet": "FORWARD"})
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.text == "<destinations><destination><aet>PACS</aet><status>0</status></destination></destinations>"


@pytest.mark.parametrize("query", ["", "?srcAet=", "?srcAet=NOBODY", "?srcAet=EMPTY", "?srcAet=%3Cscript%3E"])
def test_nothing_is_said_of_a_node_that_is_not_there_or_has_no_destination(console_app: ConsoleApp, query: str) -> None:
    configure(console_app, node="EMPTY")
    answer = console_app.client().get(PATH + query)
    assert (answer.status_code, answer.content) == (204, b"")


def test_other_media_types_are_not_acceptable(console_app: ConsoleApp) -> None:
    answer = console_app.client().get(PATH, params={"srcAet": "FORWARD"}, headers={"Accept": "text/plain"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (406, "application/problem+json")


def test_it_can_be_turned_off(make_console_app: Callable[..., ConsoleApp]) -> None:
    app = make_console_app(config=WebConsole(echo_api=False))
    assert app.client().get(PATH, params={"srcAet": "FORWARD"}).status_code == 404


def test_who_asks_too_often_is_told_to_wait(console_app: ConsoleApp) -> None:
    client = console_app.client()
    statuses = [client.get(PATH).status_code for _ in range(PER_MINUTE)]
    answer = client.get(PATH)
    if answer.status_code == 204:  # another minute has begun meanwhile
        statuses = [client.get(PATH).status_code for _ in range(PER_MINUTE - 1)]
        answer = client.get(PATH)
    assert set(statuses) == {204}
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_anybody_takes_only_so_many_threads(console_app: ConsoleApp) -> None:
    client = console_app.client()
    assert client.get(PATH).status_code == 204
    slots = console_app.app.state.echo_answers.slots
    for _ in range(AT_ONCE):
        slots.acquire()
    answer = client.get(PATH)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    for _ in range(AT_ONCE):
        slots.release()
    assert client.get(PATH).status_code == 204


def test_destinations_are_asked_once_in_some_seconds() -> None:
    now = [100.0]
    answers, asked = Answers(lambda: now[0]), list[float]()

    def ask() -> Sequence[DestinationEcho]:
        asked.append(now[0])
        return TWO

    def get(version: int = 1) -> object:
        return answers.of(("FORWARD", version), ask)  # type: ignore[arg-type]

    assert (get(), get()) == (TWO, TWO)
    now[0] += KEPT / 2
    assert get() == TWO
    assert asked == [100.0]
    now[0] += KEPT / 2
    get()
    get(version=2)
    assert asked == [100.0, 100.0 + KEPT, 100.0 + KEPT]


def test_addresses_are_counted_each_for_itself_and_each_minute_anew() -> None:
    now = [30.0]
    answers = Answers(lambda: now[0])
    waits = [answers.count("10.0.0.1") for _ in range(PER_MINUTE + 1)]
    assert waits == [0] * PER_MINUTE + [30]
    assert answers.count("10.0.0.2") == 0
    now[0] = 61.0
    assert answers.count("10.0.0.1") == 0
