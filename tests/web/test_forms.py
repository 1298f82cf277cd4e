"""Forms made from models, and read again: of the kinds there are, and of third parties' kinds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData

from karnak_core.config.models import Destination
from karnak_core.config.names import AuthenticatorName, ConditionText
from karnak_core.config.quantities import Duration, Size
from karnak_core.config.secret import Secret
from karnak_core.config.tls import ClientTLS
from karnak_core.http_headers import Headers
from karnak_core.plugins import Plugins, load
from karnak_plugins.web_console.forms.building import Builder
from karnak_plugins.web_console.forms.nodes import Node, told, walk
from karnak_plugins.web_console.forms.reading import Reader
from karnak_plugins.web_console.forms.words import label, sentence


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a path")
    deep: bool = Field(default=False, description="true: deeper")


class Everything(BaseModel):
    """What a third party's kind may have."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(max_length=20, description="a name")
    note: str = Field(default="given", description="a note; blank: nothing")
    count: int = Field(default=3, ge=1, description="how many")
    ratio: float = Field(default=1.5, description="a ratio")
    port: int | None = Field(default=None, description="a port")
    wait: Duration = Field(default=60.0, description="how long")
    size: Size = Field(default=1024, description="how large")
    on: bool = Field(default=True, description="true: it is on")
    maybe: bool | None = Field(default=None, description="yes, no or neither")
    colour: Colour = Field(default=Colour.RED, description="a colour")
    mode: Literal["a", "b"] = Field(default="a", description="a mode")
    password: Secret | None = Field(default=None, description="a password")
    authenticator: AuthenticatorName | None = Field(default=None, description="an authenticator")
    condition: ConditionText = Field(default="", description="a condition")
    headers: Headers = Field(default=(), description="headers")
    tls: ClientTLS | None = Field(default=None, description="TLS")
    words: tuple[str, ...] = Field(default=(), description="words")
    pairs: Mapping[str, str] = Field(default_factory=dict, description="pairs")
    inners: tuple[Inner, ...] = Field(default=(), description="several")
    either: int | tuple[int, int] = Field(default=0, description="what no field of ours fits")
    aliased: str = Field(default="", alias="from", description="a key that is a word of Python")


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load()


def build(plugins: Plugins, values: dict[str, Any], **more: Any) -> dict[str, Node]:
    return {node.name: node for node in walk(Builder(plugins=plugins, **more).fields(Everything, values))}


def posted(fields: list[tuple[str, str]]) -> FormData:
    given: list[tuple[str, Any]] = [*fields]
    return FormData(given)


def read(plugins: Plugins, fields: list[tuple[str, str]], before: dict[str, Any] | None = None) -> dict[str, Any]:
    return Reader(form=posted(fields), plugins=plugins).read(Everything, before or {})


def sent(nodes: dict[str, Node]) -> list[tuple[str, str]]:
    """Return what a browser sends of a form that nobody touched."""
    fields = []
    for node in nodes.values():
        if node.widget in ("checkbox", "group"):
            fields += [(node.name, "on")] if node.checked and (node.optional or node.widget == "checkbox") else []
        elif node.widget in ("rows", "parts"):
            fields += [(row.name, row.made_from) for row in node.rows]
            fields += [(f"{row.name}.type", row.kind) for row in node.rows if row.kind]
        elif node.widget == "part":
            fields.append((f"{node.name}.type", node.value))
        elif node.widget == "secret":
            fields += [(node.name, node.value), (f"{node.name}.from", node.how)]
        else:
            fields.append((node.name, node.value))
    return fields


WHOLE: dict[str, Any] = {
    "name": "x",
    "note": "",
    "count": 5,
    "ratio": 2.25,
    "port": 104,
    "wait": "2 min",
    "size": "2 MiB",
    "on": False,
    "maybe": False,
    "colour": "blue",
    "mode": "b",
    "password": {"stored": "token"},
    "authenticator": "archive",
    "condition": "tagIsPresent(#Tag.PatientID)",
    "headers": {"X-Tenant": "7", "Authorization": {"stored": "other token"}},
    "tls": {"ca": "/etc/ca.pem", "check_hostname": False},
    "words": ["one", "two"],
    "pairs": {"a": "1", "b": "two: three"},
    "inners": [{"path": "/a"}, {"path": "/b", "deep": True}],
    "either": [1, 2],
    "from": "here",
}


def test_form_that_nobody_touched_gives_what_it_was_made_from(plugins: Plugins) -> None:
    nodes = build(plugins, WHOLE, names={"authenticators": {"archive": "archive"}})
    assert read(plugins, sent(nodes), WHOLE) == {**WHOLE, "port": 104, "ratio": 2.25}


def test_nothing_but_what_was_written_is_in_a_part_made_of_an_empty_form(plugins: Plugins) -> None:
    nodes = build(plugins, {})
    found = read(plugins, sent(nodes))
    assert Everything.model_validate({**found, "name": "x"}) == Everything.model_validate({"name": "x"})


def test_fields_say_what_the_model_says(plugins: Plugins) -> None:
    nodes = build(plugins, {})
    assert nodes["name"].required
    assert nodes["name"].longest == 20
    assert nodes["note"].value == "given"
    assert nodes["wait"].value == "1 min"
    assert nodes["size"].value == "1 KiB"
    assert nodes["on"].checked
    assert nodes["on"].help == "It is on."
    assert list(nodes["colour"].options) == ["red", "blue"]
    assert list(nodes["maybe"].options) == ["", "true", "false"]
    assert nodes["either"].widget == "yaml"
    assert nodes["from"].key == "from"
    assert label("kheops_api_url") == "Kheops API URL"
    assert sentence("") == ""


def test_stored_secrets_stand_in_no_field(plugins: Plugins) -> None:
    nodes = build(plugins, WHOLE)
    assert "token" not in repr(nodes)
    assert nodes["password"].stored
    assert "********" in nodes["headers"].value


def test_secret_is_kept_replaced_and_removed(plugins: Plugins) -> None:
    before = {"password": {"stored": "token"}}
    assert read(plugins, [("password", ""), ("password.from", "")], before)["password"] == {"stored": "token"}
    assert read(plugins, [("password", "new"), ("password.from", "")], before)["password"] == "new"
    assert read(plugins, [("password", "NAME"), ("password.from", "env")], before)["password"] == {"env": "NAME"}
    assert "password" not in read(plugins, [("password.none", "on")], before)


def test_secret_of_a_row_goes_with_its_row(plugins: Plugins) -> None:
    album = {
        "type": "kheops_album",
        "api_url": "https://one.example/api",
        "destination_token": {"stored": "first"},
        "source_token": {"stored": "second"},
    }
    other = {**album, "api_url": "https://two.example/api", "destination_token": {"stored": "third"}}
    builder = Builder(plugins=plugins)
    values = {"name": "x", "type": "stow", "follow_ups": [album, other]}
    nodes = {node.name: node for node in walk(builder.fields(Destination, values, without=("type", "options")))}
    # the first one is removed in the browser
    fields = [(name, value) for name, value in sent(nodes) if not name.startswith("follow_ups[0]")]
    reader = Reader(form=posted(fields), plugins=plugins)
    found = reader.read(Destination, values, without=("type", "options"))
    assert [one["api_url"] for one in found["follow_ups"]] == ["https://two.example/api"]
    assert found["follow_ups"][0]["destination_token"] == {"stored": "third"}
    # nobody gets another row's secret by a row that is made up
    forged = [("follow_ups[7]", "0" * 16), ("follow_ups[7].type", "kheops_album")]
    made = Reader(form=posted(forged), plugins=plugins).read(Destination, values, without=("type", "options"))
    assert made["follow_ups"] == [{"type": "kheops_album"}]


def test_values_that_are_wrong_stay_as_they_were_written(plugins: Plugins) -> None:
    found = read(plugins, [("count", "many"), ("headers", "<key>X"), ("pairs", "no colon"), ("either", "[1,")])
    assert found["count"] == "many"
    assert found["headers"] == "<key>X"
    assert found["pairs"] == "no colon"
    assert found["either"] == "[1,"
    assert build(plugins, found)["count"].value == "many"


def test_problems_are_told_at_their_fields(plugins: Plugins) -> None:
    errors = {"tls.ca": "is no file", "words[1]": "is wrong", "": "name and port go together", "other": "is unknown"}
    nodes = Builder(plugins=plugins, errors=errors).fields(Everything, WHOLE)
    known = {node.name: node for node in walk(nodes)}
    assert known["tls.ca"].error == "is no file"
    assert known["words"].error == "is wrong"
    assert told(nodes, errors) == [
        ("tls.ca", "CA", "is no file"),
        ("words", "Words", "is wrong"),
        ("", "", "name and port go together"),
        ("", "other", "is unknown"),
    ]


def test_pseudonym_source_has_the_fields_of_each_kind(plugins: Plugins) -> None:
    values = {"de_identification": {"project": "A", "pseudonym": {"type": "tag", "tag": "(0010,0020)"}}}
    nodes = {
        node.name: node
        for node in walk(Builder(plugins=plugins).fields(Destination, values, without=("type", "options")))
    }
    part = nodes["de_identification.pseudonym"]
    assert {"stored", "tag", "api"} <= set(part.options)
    assert part.value == "tag"
    fields = [
        ("de_identification", "on"),
        ("de_identification.project", "A"),
        ("de_identification.pseudonym.type", "tag"),
        ("de_identification.pseudonym~tag.tag", "(0010,0030)"),
        ("de_identification.pseudonym~api.url", "not chosen"),
        ("de_identification.leak_check", "on"),
    ]
    found = Reader(form=posted(fields), plugins=plugins).read(Destination, {}, without=("type", "options"))
    assert found["de_identification"]["pseudonym"] == {"type": "tag", "tag": "(0010,0030)"}


@pytest.mark.parametrize("section", ["destinations", "authenticators", "pseudonym_sources", "follow_ups", "notifiers"])
def test_every_kind_has_a_form(plugins: Plugins, section: str) -> None:
    for kind in getattr(plugins, section).values():
        nodes = list(walk(Builder(plugins=plugins).fields(kind.config, {})))
        keys = {field.alias or name for name, field in kind.config.model_fields.items()}
        assert {node.name for node in nodes} >= keys
        assert [node.name for node in nodes if node.widget == "yaml"] == []
        assert all(node.help for node in nodes)
