"""Authenticators have names, which other parts of the configuration use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from karnak_core.config import yaml_text
from karnak_core.config.export import to_document, to_yaml
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.config.plan import changes
from karnak_core.config.seal import sealed
from karnak_core.config.secret import Origin, Secret
from karnak_core.config.usable import check_kinds
from karnak_core.config.uses import authenticators_in
from karnak_core.database.secrets import Vault
from karnak_core.errors import PluginError
from karnak_core.kinds import Kind
from karnak_core.plugins import Plugins

Load = Callable[[str], Configuration]
Problems = Callable[[str], list[str]]

GUARDED = "forward_nodes: [{ae_title: A, destinations: [{name: d, type: guarded, authenticator: NAME}]}]"
TWO = "authenticators: {one: {type: token, token: {env: ONE}}, two: {type: token, token: hunter2, lifetime: 2 min}}"


def test_authenticators_are_read_by_their_names(read: Load) -> None:
    configuration = read(TWO)
    assert {name: entry.type for name, entry in configuration.authenticators.items()} == {
        "one": "token",
        "two": "token",
    }
    assert configuration.authenticators["two"].options.model_dump() == {
        "token": Secret.plain("hunter2"),
        "lifetime": "2 min",
    }


def test_every_problem_of_an_authenticator_is_told_with_its_place(problems_of: Problems) -> None:
    assert problems_of("""
        authenticators:
          one: {type: token}
          two: {type: tokne, token: x}
          three: {token: x}
          four: {type: token, token: x, tokne: x, lifetime: 0}
          "fi ve": {type: token, token: x}
    """) == [
        "authenticators.one.token: is missing",
        "authenticators.two.type: 'tokne' is not a known type; known: token",
        "authenticators.three.type: is missing",
        "authenticators.four.lifetime: 0 s is not more than 0 s",
        "authenticators.four.tokne: unknown key; known: lifetime, token, type",
        "authenticators.fi ve: 'fi ve' is not 1 to 64 letters, digits, underscores, dots or hyphens",
    ]


def test_name_that_does_not_exist_is_a_problem_at_its_place(problems_of: Problems) -> None:
    assert problems_of(f"{TWO}\n{GUARDED.replace('NAME', 'three, others: [one, four]')}") == [
        "forward_nodes[0].destinations[0].authenticator: 'three' is not one of authenticators; known: one, two",
        "forward_nodes[0].destinations[0].others[1]: 'four' is not one of authenticators; known: one, two",
    ]
    assert problems_of(GUARDED.replace("NAME", "three")) == [
        "forward_nodes[0].destinations[0].authenticator: 'three' is not one of authenticators; known: none"
    ]


def test_authenticator_with_a_problem_of_its_own_is_known_all_the_same(problems_of: Problems) -> None:
    text = GUARDED.replace("NAME", "one")
    assert problems_of(f"authenticators: {{one: {{type: token}}}}\n{text}") == ["authenticators.one.token: is missing"]


def test_section_that_is_no_mapping_is_told(problems_of: Problems) -> None:
    assert problems_of("authenticators: [one]") == ["authenticators: is not a mapping of keys to values"]


def test_users_are_found_wherever_they_name_one(read: Load) -> None:
    configuration = read(f"{TWO}\n{GUARDED.replace('NAME', 'two, others: [one]')}")
    assert list(authenticators_in(configuration.forward_nodes[0])) == ["two", "one"]
    assert list(authenticators_in(read("{}"))) == []


def test_what_is_exported_loads_as_what_it_was(read: Load, vault: Vault, plugins: Plugins) -> None:
    configuration = sealed(read(f"{TWO}\n{GUARDED.replace('NAME', 'two')}"), vault)
    exported = to_yaml(configuration)
    assert "hunter2" not in exported
    again = load(yaml_text.parse(exported), plugins)
    assert again == configuration
    assert list(authenticators_in(again.forward_nodes[0])) == ["two"]


def test_secret_of_an_authenticator_is_encrypted_once(read: Load, vault: Vault) -> None:
    first = sealed(read(TWO), vault)
    token = first.authenticators["two"].options.model_dump()["token"]
    assert token.origin is Origin.STORED
    assert token.reveal(vault) == "hunter2"
    assert sealed(read(TWO), vault, first) == first


def test_secret_file_lies_beside_the_configuration(read: Load, tmp_path: Path) -> None:
    configuration = read("authenticators: {one: {type: token, token: {file: token.txt}}}")
    assert to_document(configuration)["authenticators"]["one"]["token"] == {"file": str(tmp_path / "token.txt")}


def test_changes_are_lines_that_show_no_secret(read: Load) -> None:
    other = TWO.replace("one:", "three:").replace("hunter2", "hunter3").replace("2 min", "3 min")
    assert changes(read(TWO), read(other)) == [
        "- authenticator one: removed",
        "~ authenticator two: token changed",
        "~ authenticator two: lifetime 2 min -> 3 min",
        "+ authenticator three: added",
    ]


def test_kind_whose_model_has_a_common_key_is_refused(plugins: Plugins) -> None:
    class Keys(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        type: str = ""

    class Loose(BaseModel):
        pass

    models: list[tuple[type[BaseModel], str]] = [
        (Keys, "key type is common to every type"),
        (Loose, "extra='forbid' and frozen=True"),
    ]
    for model, words in models:
        kind: Kind[Any, Any] = Kind(name="bad", config=model, open=lambda _config, _context: None)
        unusable = Plugins(
            manager=plugins.manager,
            entries=plugins.entries,
            disabled=plugins.disabled,
            authenticators={"bad": kind},
        )
        with pytest.raises(PluginError, match=words):
            check_kinds(unusable)
