"""What open deliveries are filed under is not taken away under them, by whatever road a change comes."""

from __future__ import annotations

from typing import Any

import pytest
from configured import form_of
from ledger_support import configure, deliver
from web_support import Client, ConsoleApp

from karnak_core.config.export import to_document
from karnak_core.model import State

V = "/api/v1"
ANY = {"If-Match": "*"}
DISK = {"name": "disk", "type": "folder", "directory": "disk"}


@pytest.fixture
def waited_for(console_app: ConsoleApp) -> ConsoleApp:
    """A node with two destinations; one delivery waits for `pacs`, one has failed there."""
    configure(console_app.console, "pacs", "disk")
    deliver(console_app.console, state=State.PENDING)
    deliver(console_app.console, state=State.FAILED, study="1.2.4")
    return console_app


@pytest.fixture
def program(waited_for: ConsoleApp) -> Client:
    """A program that may change the configuration."""
    return waited_for.with_token("read", "configuration")


def names(app: ConsoleApp) -> list[str]:
    """Return the node and its destinations."""
    app.console.refresh()
    (node,) = to_document(app.console.configuration)["forward_nodes"]
    return [node["ae_title"], *(one["name"] for one in node["destinations"])]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        (
            "/forward-nodes/FORWARD/destinations/pacs",
            {"name": "new", "type": "folder", "directory": "pacs"},
            "forward_nodes[0].destinations[0].name",
        ),
        (
            "/forward-nodes/FORWARD",
            {
                "ae_title": "OTHER",
                "destinations": [{"name": "pacs", "type": "folder", "directory": "pacs"}, DISK],
            },
            "forward_nodes[0].ae_title",
        ),
        (
            "/forward-nodes/FORWARD",
            {
                "ae_title": "FORWARD",
                "destinations": [{"name": "new", "type": "folder", "directory": "pacs"}, DISK],
            },
            "forward_nodes[0].destinations[0].name",
        ),
        (
            "/forward-nodes/FORWARD",
            {"ae_title": "FORWARD", "destinations": [DISK]},
            "forward_nodes[0].destinations[0].name",
        ),
    ],
)
def test_program_cannot_take_the_name_that_deliveries_are_open_under(
    waited_for: ConsoleApp, program: Client, path: str, body: dict[str, Any], place: str
) -> None:
    answer = program.put(f"{V}{path}", json=body, headers=ANY)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["place"] == place
    assert error["message"].startswith("2 deliveries are open under the name FORWARD/pacs")
    assert names(waited_for) == ["FORWARD", "pacs", "disk"]


def test_what_nothing_is_open_for_gets_another_name(waited_for: ConsoleApp, program: Client) -> None:
    one = {**DISK, "name": "shelf", "paused": True}
    assert program.put(f"{V}/forward-nodes/FORWARD/destinations/disk", json=one, headers=ANY).status_code == 200
    assert names(waited_for) == ["FORWARD", "pacs", "shelf"]
    for destinations in (7, [{"name": []}], [{"name": {}}, 1]):
        body = {"ae_title": "FORWARD", "destinations": destinations}
        assert program.put(f"{V}/forward-nodes/FORWARD", json=body, headers=ANY).status_code == 422


def test_pages_keep_the_names_of_node_and_destination(waited_for: ConsoleApp) -> None:
    client = waited_for.signed_in()
    for action, key in (
        ("/gateway/node?node=FORWARD", "ae_title"),
        ("/gateway/destination?node=FORWARD&name=pacs", "name"),
    ):
        fields = form_of(client.get(action).text, action)
        answer = client.submit(action, {**fields, key: "OTHER"})
        assert answer.status_code == 422
        assert "2 deliveries are open under the name FORWARD/pacs" in answer.text
        assert names(waited_for) == ["FORWARD", "pacs", "disk"]


def test_deleting_says_first_what_becomes_of_open_deliveries(waited_for: ConsoleApp) -> None:
    client = waited_for.signed_in()
    said = "2 deliveries of it are open: they fail, and are kept, but nobody delivers them."
    assert said in client.get("/gateway/destination?node=FORWARD&name=pacs").text
    assert said in client.get("/gateway/node?node=FORWARD").text
    assert "of it are open" not in client.get("/gateway/destination?node=FORWARD&name=disk").text
    deliver(waited_for.console, state=State.PENDING, destination="disk")
    page = client.get("/gateway/destination?node=FORWARD&name=disk").text
    assert "1 delivery of it is open: it fails, and is kept, but nobody delivers it." in page


def test_plan_and_answer_of_a_whole_configuration_say_what_fails(program: Client) -> None:
    whole = program.get(f"{V}/configuration").json()
    whole["forward_nodes"][0]["destinations"][0]["name"] = "new"
    line = "- FORWARD/pacs: removed, 2 deliveries still open: they fail"
    assert line in program.post(f"{V}/configuration/plan", json=whole).json()["changes"]
    assert line in program.put(f"{V}/configuration", json=whole, headers=ANY).json()["changes"]
