"""Filters of the gateway's lists: nodes, and the sources and destinations of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from web_support import Client, ConsoleApp, check_accessibility

from karnak_core.testing import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

DICOM = {"type": "dicom", "ae_title": "PACS", "hostname": "pacs.example.org", "port": 104}
NODE = {
    "ae_title": "FORWARD",
    "sources": [
        {"ae_title": "CT1", "hostname": "10.0.0.5", "description": "basement"},
        {"ae_title": "CT1", "hostname": "10.0.0.6", "description": "ward"},
        {"ae_title": "MR1", "description": "basement"},
    ],
    "destinations": [
        {"name": "pacs", **DICOM, "description": "for the ward"},
        {"name": "old", **DICOM, "paused": True},
        {"name": "disk", "type": "folder", "directory": "received", "enabled": False},
    ],
}


@pytest.fixture
def node(console_app: ConsoleApp) -> ConsoleApp:
    """The console with a node that has some of each."""
    other = {"ae_title": "OTHER", "destinations": [{"name": "second", **DICOM}]}
    console_app.console.change(
        lambda before: {**before, "forward_nodes": [NODE, other]}, expected_version=None, author="test", comment=""
    )
    return console_app


def shown(page: str) -> tuple[list[str], list[str]]:
    """Return which sources and which destinations a page lists, by their links."""
    sources = re.findall(r"/gateway/source\?node=\w+&amp;name=([^\"&]+)\"", page)
    destinations = re.findall(r"/gateway/destination\?node=\w+&amp;name=([^\"&]+)\"", page)
    return sources, destinations


ALL = (["CT1%4010.0.0.5", "CT1%4010.0.0.6", "MR1"], ["pacs", "old", "disk"])


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, ALL),
        ({"q": "  "}, ALL),
        ({"q": "WARD"}, (["CT1%4010.0.0.6"], ["pacs"])),
        ({"q": "ct1 basement"}, (["CT1%4010.0.0.5"], [])),
        ({"q": "folder"}, ([], ["disk"])),
        ({"q": "paused"}, ([], ["old"])),
        ({"q": "pacs.example.org:104"}, ([], ["pacs", "old"])),
        ({"state": "disabled"}, (ALL[0], ["disk"])),
        ({"state": "paused", "q": "folder"}, ([], [])),
        ({"state": "nothing"}, ALL),
        ({"q": "<script>"}, ([], [])),
    ],
)
def test_the_lists_of_a_node_have_what_fits(
    node: ConsoleApp, fields: dict[str, str], found: tuple[list[str], list[str]]
) -> None:
    client = node.signed_in()
    for path in ("/gateway/node", "/gateway/node/lists"):
        page = client.get(path, params={"node": "FORWARD", **fields})
        assert page.status_code == 200
        assert shown(page.text) == found
        assert "<script>" not in page.text.replace('<script src="', "")
    assert client.get("/gateway/node/lists", params={"node": "NONE"}).status_code == 404


def test_the_list_of_nodes_is_filtered_by_state_too(node: ConsoleApp) -> None:
    client = node.signed_in()
    assert shown(client.get("/gateway", params={"state": "paused"}).text)[1] == ["old"]
    assert shown(client.get("/gateway", params={"q": "OTHER", "state": "ok"}).text)[1] == ["second"]
    assert "No destination is held." in client.get("/gateway", params={"state": "held"}).text


def test_programs_filter_by_the_same_words(node: ConsoleApp) -> None:
    program: Client = node.with_token("read")
    at = "/api/v1/forward-nodes/FORWARD"

    def asked(path: str, **fields: Any) -> list[str]:
        answer = program.get(f"{at}/{path}", params=fields)
        assert answer.status_code == 200
        return [one.get("name", one.get("ae_title", "")) for one in answer.json()]

    assert asked("sources", q="ct1 ward") == ["CT1"]
    assert asked("sources", q="nobody") == []
    assert asked("destinations", q="ward") == ["pacs"]
    assert asked("destinations", state="disabled") == ["disk"]
    assert asked("destinations", state="paused", q="disk") == []
    assert program.get(f"{at}/destinations", params={"state": "lost"}).status_code == 422
    assert program.get("/api/v1/forward-nodes/NONE/sources", params={"q": "x"}).status_code == 404


def test_a_filter_works_by_keyboard_is_announced_and_kept_over_a_reload(
    node: ConsoleApp, open_page: Callable[..., Page]
) -> None:
    page = open_page("/gateway/node?node=FORWARD")
    box = page.get_by_role("searchbox", name="Filter sources and destinations")
    box.focus()
    page.keyboard.type("basement")
    # what was typed first may have been asked for before the rest
    page.wait_for_url(re.compile("/gateway/node[?]node=FORWARD&q=basement$"))
    page.get_by_text("No destination fits").first.wait_for()
    page.get_by_role("link", name="MR1").wait_for()
    assert page.get_by_role("link", name="pacs").count() == 0
    assert box.evaluate("one => one === document.activeElement"), "whoever types goes on typing"
    wait_until(lambda: page.locator("#announcements").inner_text() == "2 of 3 sources, 0 of 3 destinations")
    page.reload()
    page.get_by_text("No destination fits").first.wait_for()
    assert box.input_value() == "basement"
    page.get_by_role("link", name="Show everything").click()
    page.get_by_role("link", name="pacs").wait_for()
    page.get_by_role("combobox", name="State of destinations").select_option("disabled")
    page.get_by_role("link", name="pacs").wait_for(state="detached")
    page.get_by_role("link", name="disk").wait_for()
    check_accessibility(page)
    # without a script the button does it
    box.fill("folder")
    with page.expect_navigation(url="**q=folder&state=disabled"):
        page.keyboard.press("Enter")
    page.get_by_role("link", name="disk").wait_for()
