"""Kinds of third parties have a form, an entry of the API and a place in lists by being registered: nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from configured import FOLDER, apply, destination, document, form_of, said_wrong, with_node, with_project
from web_support import ConsoleApp

from karnak_core.config.store import Following
from karnak_core.plugins import GROUP, installed, load
from karnak_plugins.web_console.app import create_app

EXAMPLE = Path(__file__).parents[2] / "docs" / "example-plugin"
AT = "/gateway/destination?node=FORWARD&name=sums"


@pytest.fixture
def with_example(console_app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsoleApp]:
    """The console where the example plugin is installed, too."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    others = [entry for entry in installed() if entry.value != "karnak_example"]
    plugins = load(entries=[*others, EntryPoint(name="example", value="karnak_example", group=GROUP)])
    following = Following(console_app.console.database, plugins)
    console = replace(console_app.console, plugins=plugins, following=following)
    yield ConsoleApp(console=console, app=create_app(console))
    for name in [name for name in sys.modules if name.split(".")[0] == "karnak_example"]:
        del sys.modules[name]


def test_destination_of_a_third_party_is_added_and_changed_by_its_generated_form(with_example: ConsoleApp) -> None:
    with_node(with_example)
    client = with_example.signed_in()
    at = "/gateway/destination/add?node=FORWARD&type=checksum_list"
    assert "a text file with the checksum of every instance" in client.get("/gateway/destination/add?node=FORWARD").text
    page = client.get(at).text
    assert "The text file: a path below the data directory, or an absolute one." in page
    fields = {**form_of(page, at), "name": "sums"}
    answer = client.submit(at, {**fields, "file": "sums/"})
    assert answer.status_code == 422
    assert "is a folder; write the path of a file" in said_wrong(answer.text)
    assert 'id="file-error"' in answer.text
    assert client.submit(at, {**fields, "file": "sums.txt"}).status_code == 303
    assert destination(with_example, "sums") == {"name": "sums", "type": "checksum_list", "file": "sums.txt"}
    fields = form_of(client.get(AT).text, AT)
    assert client.submit(AT, {**fields, "file": "other.txt"}).status_code == 303
    assert destination(with_example, "sums")["file"] == "other.txt"
    assert "other.txt" in client.get("/gateway").text


def test_authenticator_notification_and_pseudonym_source_of_a_third_party_have_forms(with_example: ConsoleApp) -> None:
    with_project(with_example, FOLDER)
    client = with_example.signed_in()
    at = "/authenticators/add?type=api_key"
    fields = form_of(client.get(at).text, at)
    secret = next(name for name in fields if f"{name}.from" in fields)
    answer = client.submit(at, {**fields, "authenticator_name": "mine", secret: "the-key"})
    assert answer.status_code == 303, said_wrong(answer.text)
    assert "stored" in document(with_example)["authenticators"]["mine"][secret]
    page = client.get("/gateway/destination?node=FORWARD&name=disk").text
    assert 'value="pseudonym_list"' in page
    assert 'name="notifications[__index__].type" value="webhook"' in page


def test_api_tells_the_keys_of_a_third_party_and_takes_them(with_example: ConsoleApp) -> None:
    with_node(with_example)
    program = with_example.with_token("read", "configuration")
    kinds = {one["name"]: one for one in program.get("/api/v1/kinds").json()["destinations"]["kinds"]}
    assert kinds["checksum_list"]["keys"]["required"] == ["file"]
    entry = {"name": "sums", "type": "checksum_list", "file": "sums.txt"}
    at = "/api/v1/forward-nodes/FORWARD/destinations"
    assert program.post(at, json=entry, headers={"If-Match": "*"}).json() == entry
    wrong = program.put(f"{at}/sums", json={**entry, "file": "sums/"}, headers={"If-Match": "*"})
    assert wrong.json()["errors"][0]["place"] == "forward_nodes[0].destinations[1].file"


def test_destination_whose_plugin_is_gone_does_not_take_the_others_away(
    with_example: ConsoleApp, console_app: ConsoleApp
) -> None:
    with_node(with_example, FOLDER, {"name": "sums", "type": "checksum_list", "file": "sums.txt"})
    # a console that was started without the plugin goes on with what it knew
    assert console_app.signed_in().get("/gateway").status_code == 200
    apply(with_example, forward_nodes=[{"ae_title": "FORWARD", "destinations": [FOLDER]}])
    assert "FORWARD" in console_app.signed_in().get("/gateway").text
