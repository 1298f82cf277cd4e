"""The configuration, changed by the console: checked as a file is, and nobody's change is lost."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import ConsoleApp

from karnak_core.config import store
from karnak_core.config.export import to_document
from karnak_core.config.load import load
from karnak_core.database.tables import config_version
from karnak_core.errors import ConfigurationError, Conflict
from karnak_plugins.web_console.console import Console, Document
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import etag, expected_version

UPLOAD = {"type": "basic", "username": "karnak", "password": "a secret of ours"}


def add_node(name: str) -> Any:
    def change(document: Document) -> Document:
        return {**document, "forward_nodes": [*document.get("forward_nodes", []), {"ae_title": name}]}

    return change


def nodes(console: Console) -> list[str]:
    console.refresh()
    return [node.ae_title for node in console.configuration.forward_nodes]


def stored(console: Console) -> str:
    with console.database.read() as connection:
        rows = connection.execute(sa.select(config_version.c.document)).scalars()
        return json.dumps(list(rows))


def test_a_change_begins_with_the_default_and_makes_a_version(console_app: ConsoleApp) -> None:
    console = console_app.console
    assert console.version == 0
    done = console.change(add_node("SECOND"), expected_version=0, author="sara", comment="for a study")
    assert (done.version, done.new) == (1, True)
    assert nodes(console) == ["KARNAK", "SECOND"]
    (version,) = store.history(console.database)
    assert (version.author, version.comment) == ("sara", "for a study")
    assert any("SECOND" in line for line in version.changes)


def test_a_change_that_is_wrong_has_the_words_of_check_and_changes_nothing(console_app: ConsoleApp) -> None:
    console = console_app.console

    def change(document: Document) -> Document:
        document["listener"] = {"port": 70000}
        document["forward_nodes"][0]["destinations"][0]["type"] = "foldr"
        return document

    with pytest.raises(ConfigurationError) as caught:
        console.change(change, expected_version=None, author="sara", comment="")
    assert [str(problem) for problem in caught.value.problems][:2] == [
        "listener.port: 70000 is not 1 to 65535, nor 0 for any free port",
        "forward_nodes[0].destinations[0].type: 'foldr' is not a known type; known: dicom, folder, stow",
    ]
    assert (console.version, nodes(console)) == (0, ["KARNAK"])


def test_a_change_from_an_older_version_is_refused(console_app: ConsoleApp) -> None:
    console = console_app.console
    console.change(add_node("ONE"), expected_version=0, author="sara", comment="")
    with pytest.raises(Conflict, match="version 1 by now, and this was made from version 0"):
        console.change(add_node("TWO"), expected_version=0, author="max", comment="")
    assert nodes(console) == ["KARNAK", "ONE"]


def test_changes_that_expect_no_version_are_all_made_however_many_come_at_once(console_app: ConsoleApp) -> None:
    console = console_app.console
    names = [f"NODE{number}" for number in range(4)]
    together = threading.Barrier(len(names))
    failed: list[BaseException] = []

    def work(name: str) -> None:
        together.wait()
        try:
            console.change(add_node(name), expected_version=None, author=name, comment="")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(nodes(console)) == ["KARNAK", *names]


def test_two_changes_of_the_same_version_at_once_make_one(console_app: ConsoleApp) -> None:
    console = console_app.console
    together = threading.Barrier(2)
    ended: list[str] = []

    def work(name: str) -> None:
        def change(document: Document) -> Document:
            # both have read the version by now
            together.wait(60)
            return add_node(name)(document)

        try:
            console.change(change, expected_version=0, author=name, comment="")
            ended.append("done")
        except Conflict:
            ended.append("refused")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ONE", "TWO")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["done", "refused"]
    assert len(nodes(console)) == 2


def test_a_secret_is_encrypted_and_stays_when_something_else_changes(console_app: ConsoleApp) -> None:
    console = console_app.console

    def with_secret(document: Document) -> Document:
        return {**document, "authenticators": {"upload": UPLOAD}}

    console.change(with_secret, expected_version=None, author="sara", comment="")
    seen: list[Any] = []

    def another(document: Document) -> Document:
        seen.append(document["authenticators"]["upload"]["password"])
        return add_node("SECOND")(document)

    console.change(another, expected_version=None, author="sara", comment="")
    assert set(seen[0]) == {"stored"}
    assert "a secret of ours" not in stored(console)
    secret = console.configuration.authenticators["upload"].options.model_dump()["password"]
    assert secret.reveal(console.vault) == "a secret of ours"
    assert not any("upload" in line for line in store.history(console.database)[0].changes)


def test_a_configuration_applied_elsewhere_is_seen_by_the_next_request(console_app: ConsoleApp) -> None:
    console = console_app.console
    document = add_node("ELSEWHERE")(to_document(console.configuration))
    plugins = console.plugins
    store.apply(console.database, plugins, console.vault, load(document, plugins), author="cli")
    program = console_app.with_token("read")
    answer = program.get("/api/v1/status")
    assert answer.headers["ETag"] == '"v1"'
    assert nodes(console) == ["KARNAK", "ELSEWHERE"]


def test_an_earlier_version_is_made_the_newest(console_app: ConsoleApp) -> None:
    console = console_app.console
    for name in ("ONE", "TWO"):
        console.change(add_node(name), expected_version=None, author="sara", comment="")
    with pytest.raises(Conflict):
        console.roll_back(1, expected_version=1, author="sara")
    done = console.roll_back(1, expected_version=2, author="sara")
    assert (done.version, nodes(console)) == (3, ["KARNAK", "ONE"])


def test_a_gateway_that_waits_is_woken_by_a_change_that_changes_something(console_app: ConsoleApp) -> None:
    console = console_app.console
    heard: list[str] = []
    woken = threading.Event()

    def hear(topic: str) -> None:
        heard.append(topic)
        woken.set()

    console.wake.subscribe(hear)
    console.change(add_node("ONE"), expected_version=None, author="sara", comment="")
    assert woken.wait(60)
    assert heard == ["configuration"]
    assert not console.change(lambda document: document, expected_version=None, author="sara", comment="").new


@pytest.mark.parametrize(("header", "version"), [(None, None), ("*", None), ('"v12"', 12), (' "v0" ', 0)])
def test_the_version_of_a_change_is_an_entity_tag(header: str | None, version: int | None) -> None:
    assert expected_version(header) == version
    assert version is None or expected_version(etag(version)) == version


@pytest.mark.parametrize("header", ["12", "v12", '"12"', 'W/"v12"', '"v1", "v2"', '"v-1"', ""])
def test_any_other_tag_is_one_of_something_else(header: str) -> None:
    with pytest.raises(Refused) as caught:
        expected_version(header)
    assert caught.value.status == 412
