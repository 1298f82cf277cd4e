"""What is wrong in a configuration is told in our words, at its place, all at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from karnak_core import hookimpl
from karnak_core.config.load import load, read_file
from karnak_core.config.models import Configuration, Destination, ForwardNode, Source
from karnak_core.config.uses import authenticators_in
from karnak_core.errors import ConfigProblem, ConfigurationError, PluginError
from karnak_core.kinds import Kind
from karnak_core.plugins import Plugins

Load = Callable[[str], Configuration]
Problems = Callable[[str], list[str]]

#: those of every destination and those of the type, in one order
KEYS_OF_A_PEER = ", ".join(
    sorted(
        {*Destination.model_fields, "ae_title", "headers", "hostname", "password", "port", "timeout", "tls"}
        - {"options"}
    )
)


def test_every_key_is_read(read: Load) -> None:
    configuration = read("""
        listener: {host: 127.0.0.1, port: 104, max_associations: 10, max_associations_per_peer: 5}
        storage: {reserve: 500 MB, retention_days: 7, retention_deliveries: 1000}
        application_entities: [{ae_title: PACS, hostname: pacs.example.org, port: 104, description: the PACS}]
        forward_nodes:
          - ae_title: FORWARD
            description: research
            sources: [{ae_title: CT1, hostname: 10.0.0.5, check_hostname: true, description: a CT}]
            destinations:
              - name: pacs
                type: peer
                ae_title: PACS
                timeout: 2 min
                description: archive
                enabled: false
                paused: true
                condition: "tagValueContains(#Tag.StudyDescription,'R2D2')"
                authorized_sop_classes: [CT Image Storage, MRImageStorage, 1.2.3.4]
                retry_for: 2 days
                retry_first: 1
                retry_longest: 90 s
        plugins: {mail: {port: 587}}
    """)
    node = configuration.forward_nodes[0]
    destination = node.destinations[0]
    assert configuration.storage.reserve == 500_000_000
    assert configuration.application_entities[0].hostname == "pacs.example.org"
    assert node.sources == (Source(ae_title="CT1", hostname="10.0.0.5", check_hostname=True, description="a CT"),)
    assert (destination.name, destination.type, destination.enabled, destination.paused) == (
        "pacs",
        "peer",
        False,
        True,
    )
    assert destination.authorized_sop_classes == ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4")
    assert (destination.retry_for, destination.retry_first, destination.retry_longest) == (172800.0, 1.0, 90.0)
    assert destination.options.model_dump(include={"ae_title", "timeout", "port"}) == {
        "ae_title": "PACS",
        "timeout": "2 min",
        "port": 104,
    }
    assert configuration.services["mail"].model_dump(include={"host", "port"}) == {"host": "localhost", "port": 587}


def test_what_is_not_written_has_its_default(read: Load) -> None:
    configuration = read("forward_nodes: [{ae_title: A, destinations: [{name: d, type: folder, directory: x}]}]")
    assert configuration.model_dump()["listener"] == {
        "host": "0.0.0.0",
        "port": 11112,
        "tls": None,
        "max_associations": 200,
        "max_associations_per_peer": 50,
    }
    assert configuration.model_dump()["storage"] == {
        "reserve": "2 GiB",
        "retention_days": 30,
        "retention_deliveries": 150_000,
    }
    destination = configuration.model_dump()["forward_nodes"][0]["destinations"][0]
    expected = {
        "name": "d",
        "type": "folder",
        "directory": "x",
        "pattern": "{SOPInstanceUID}.dcm",
        "description": "",
        "enabled": True,
        "paused": False,
        "condition": "",
        "authorized_sop_classes": (),
        "de_identification": None,
        "tag_morphing": None,
        "retry_for": "7 days",
        "retry_first": "5 s",
        "retry_longest": "15 min",
    }
    assert {key: destination[key] for key in expected} == expected
    assert destination.keys() == Destination.model_fields.keys() - {"options"} | {"directory", "pattern"}


def test_all_problems_are_told_at_once(problems_of: Problems) -> None:
    assert problems_of("""
        listener: {port: 70000, max_associations: 0}
        storage: {retention_days: soon}
        forward_nodes:
          - ae_title: THIS-TITLE-IS-TOO-LONG
            sources: [{ae_title: CT1, check_hostname: true}, {}]
            destinations:
              - {name: a, type: peer, ae_title: A, port: 104}
              - {name: a, type: peer, ae_title: A, port: 70000, prot: 3}
              - {name: b, type: dicm}
              - {type: peer}
          - {ae_title: B}
          - {ae_title: B}
        plugins: {mail: {port: 0}, male: {}}
        listen: {}
    """) == [
        "listener.port: 70000 is not 1 to 65535, nor 0 for any free port",
        "listener.max_associations: 0 is not 1 to 10000",
        "storage.retention_days: 'soon' is not a whole number",
        "forward_nodes[0].ae_title: 'THIS-TITLE-IS-TOO-LONG' is not 1 to 16 characters (DICOM PS3.5 section 6.2)",
        "forward_nodes[0].sources[0].check_hostname: true needs a hostname to check",
        "forward_nodes[0].sources[1].ae_title: is missing",
        "forward_nodes[0].destinations[1].port: 70000 is not 1 to 65535",
        f"forward_nodes[0].destinations[1].prot: unknown key; known: {KEYS_OF_A_PEER}",
        "forward_nodes[0].destinations[2].type: 'dicm' is not a known type; known: folder, guarded, peer",
        "forward_nodes[0].destinations[3].ae_title: is missing",
        "forward_nodes[0].destinations[3].name: is missing",
        "forward_nodes[0].destinations[1].name: 'a' stands twice; entry [0] has it, too",
        "forward_nodes[2].ae_title: 'B' stands twice; entry [1] has it, too",
        "plugins.mail.port: 0 is not 1 to 65535",
        "plugins.male: unknown key; known: disabled, mail",
        "listen: unknown key; known: application_entities, authenticators, clinical_log, forward_nodes, listener, "
        "monitoring, plugins, profiles, projects, storage",
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("''", "'' is not 1 to 16 characters (DICOM PS3.5 section 6.2)"),
        ("' A'", "' A' begins or ends with a blank (DICOM PS3.5 section 6.2)"),
        ("'A '", "'A ' begins or ends with a blank (DICOM PS3.5 section 6.2)"),
        (r"'A\B'", r"'A\\B' has '\\', which an AE title cannot have (DICOM PS3.5 section 6.2)"),
        ("Ä", "'Ä' has 'Ä', which an AE title cannot have (DICOM PS3.5 section 6.2)"),
        (r'"A\tB"', r"'A\tB' has '\t', which an AE title cannot have (DICOM PS3.5 section 6.2)"),
        ("12", "12 is not text; put it in quotes"),
        ("true", "true is not text; put it in quotes"),
        ("", "has no value"),
        ("[A]", "a list is not text"),
        ("{a: b}", "a mapping is not text"),
    ],
)
def test_an_ae_title_is_as_the_standard_wants_it(problems_of: Problems, written: str, message: str) -> None:
    assert problems_of(f"forward_nodes: [{{ae_title: {written}}}]") == [f"forward_nodes[0].ae_title: {message}"]


@pytest.mark.parametrize("title", ["NO", "ON", "0123", "1_000", "12:30", "2026-01-01", "A B", "~A", "1e3", "0x1F"])
def test_an_ae_title_that_looks_like_something_else_needs_no_quotes(read: Load, title: str) -> None:
    assert read(f"forward_nodes: [{{ae_title: {title}}}]").forward_nodes[0].ae_title == title


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("name: a b", "name: 'a b' is not 1 to 64 letters, digits, underscores, dots or hyphens"),
        (f"name: {'x' * 65}", f"name: '{'x' * 65}' is not 1 to 64 letters, digits, underscores, dots or hyphens"),
        ("port: 1.5", "port: 1.5 is not a whole number"),
        ("port: many", "port: 'many' is not a whole number"),
        ("enabled: perhaps", "enabled: 'perhaps' is not true or false"),
        ("timeout: 0", "timeout: 0 s is not more than 0 s"),
        ("timeout: 3 fortnights", "timeout: '3 fortnights' is not a duration; write seconds, or a number and ms, s, "
         "min, h or days"),
        ("retry_for: 500 days", "retry_for: 500 days is not 0 s to 365 days"),
        ("retry_longest: 2 s", "retry_longest: 2 s is less than retry_first, 5 s"),
        ("condition: '1 + 1'", "condition: column 1: '1 + 1': a condition must be true or false, not a number"),
        ("authorized_sop_classes: all", "authorized_sop_classes: is not a list"),
        ("authorized_sop_classes: [CT Image]", "authorized_sop_classes[0]: 'CT Image' is not a SOP class; write its "
         "UID, or its name or keyword of DICOM PS3.6"),
        ("authorized_sop_classes: [CT Image Storag]", "authorized_sop_classes[0]: 'CT Image Storag' is not a SOP "
         "class; write its UID, or its name or keyword of DICOM PS3.6; is 'CT Image Storage' meant?"),
        ("authorized_sop_classes: [1.2.840.10008.1.2]", "authorized_sop_classes[0]: '1.2.840.10008.1.2' is Implicit "
         "VR Little Endian, a Transfer Syntax, not a SOP class"),
        ("tls: {cb: x}", "tls.ca: is missing"),
        ("tls: 5", "tls: is not a mapping of keys to values and 5 is not true or false"),
        ("headers: 5", "headers: 5 is not text and is not a mapping of keys to values"),
        ("headers: {a: [1]}", "headers.a: a list is not text"),
        ("options: {port: 1}", f"options: unknown key; known: {KEYS_OF_A_PEER}"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_destination_is_told(problems_of: Problems, written: str, message: str) -> None:
    name = "" if written.startswith("name:") else "name: d, "
    found = problems_of(f"""
        forward_nodes: [{{ae_title: A, destinations: [{{{name}type: peer, ae_title: B, {written}}}]}}]
    """)
    assert found[0] == f"forward_nodes[0].destinations[0].{message}"


def test_a_section_that_is_no_mapping_is_told(problems_of: Problems) -> None:
    assert problems_of("{listener: 5, storage: [], forward_nodes: {}, plugins: x}") == [
        "listener: is not a mapping of keys to values",
        "storage: is not a mapping of keys to values",
        "forward_nodes: is not a list",
        "plugins: is not a mapping of keys to values",
    ]


def test_the_same_source_may_stand_twice_with_different_hosts(read: Load, problems_of: Problems) -> None:
    text = (
        "forward_nodes: [{{ae_title: A, sources: [{{ae_title: CT1, hostname: a}}, {{ae_title: CT1, hostname: {}}}]}}]"
    )
    assert len(read(text.format("b")).forward_nodes[0].sources) == 2
    assert problems_of(text.format("a")) == [
        "forward_nodes[0].sources[1].ae_title: 'CT1' stands twice; entry [0] has it, too"
    ]


def test_a_service_named_without_keys_has_its_defaults(read: Load) -> None:
    assert read("plugins: {mail: }").services["mail"].model_dump(include={"port"}) == {"port": 25}


def test_plugins_find_problems_across_the_configuration(problems_of: Problems) -> None:
    assert problems_of("forward_nodes: [{ae_title: FORBIDDEN}]") == [
        "forward_nodes[0].ae_title: FORBIDDEN is forbidden here"
    ]


class FailsToCheck:
    @hookimpl
    def karnak_check_config(self) -> list[ConfigProblem]:
        raise RuntimeError("no idea")


def test_a_plugin_that_cannot_check_is_named(plugins: Plugins) -> None:
    plugins.manager.register(FailsToCheck(), name="broken")
    with pytest.raises(ConfigurationError, match="plugin 'broken' cannot check it: RuntimeError: no idea"):
        load({}, plugins)


class Complains:
    """Finds something at every destination that is called so, and says which one had the AE title before."""

    @hookimpl
    def karnak_check_config(self, config: Configuration) -> list[ConfigProblem]:
        problems = []
        if not config.forward_nodes:
            problems.append(ConfigProblem(place="forward_nodes", message="nobody receives"))
        for i, node in enumerate(config.forward_nodes):
            if len(node.destinations) == 0:
                problems.append(ConfigProblem(place=f"forward_nodes[{i}]", message="sends to nobody"))
            seen: dict[str, int] = {}
            for j, destination in enumerate(node.destinations):
                title = getattr(destination.options, "ae_title", "")
                for name in authenticators_in(destination):
                    assert name in config.authenticators
                if title and title in seen:
                    words = f"is that of destinations[{seen[title]}], forward_nodes[{i}].destinations[{seen[title]}]"
                    problems.append(
                        ConfigProblem(place=f"forward_nodes[{i}].destinations[{j}].ae_title", message=words)
                    )
                seen.setdefault(title, j)
        return problems


@pytest.fixture
def complaining(plugins: Plugins) -> None:
    plugins.manager.register(Complains(), name="complains")


@pytest.mark.usefixtures("complaining")
def test_what_plugins_find_is_told_beside_what_is_wrong_elsewhere_at_its_place_in_the_file(
    problems_of: Problems,
) -> None:
    found = problems_of("""
        forward_nodes:
          - {ae_title: "", destinations: []}
          - ae_title: FORWARD
            destinations:
              - {name: a, type: peer, ae_title: A, port: 70000}
              - {name: b, type: peer, ae_title: B}
              - {name: c, type: peer, ae_title: C, nonsense: 1}
              - {name: d, type: peer, ae_title: B}
          - {ae_title: FORBIDDEN}
        listener: {port: x}
    """)
    assert found[-3:] == [
        "forward_nodes[1].destinations[3].ae_title: is that of destinations[1], forward_nodes[1].destinations[1]",
        "forward_nodes[2]: sends to nobody",
        "forward_nodes[2].ae_title: FORBIDDEN is forbidden here",
    ]
    assert sorted(one.partition(":")[0] for one in found[:-3]) == [
        "forward_nodes[0].ae_title",
        "forward_nodes[1].destinations[0].port",
        "forward_nodes[1].destinations[2].nonsense",
        "listener.port",
    ]


@pytest.mark.usefixtures("complaining")
@pytest.mark.parametrize(
    ("text", "places"),
    [
        # a node whose destinations are all taken out sends to nobody for that only, and so do none
        (
            "forward_nodes: [{ae_title: A, destinations: [{name: a, type: peer, ae_title: A, port: 0}]}]",
            ["forward_nodes[0].destinations[0].port"],
        ),
        ("forward_nodes: [{ae_title: '', destinations: []}]", ["forward_nodes[0].ae_title"]),
        ("forward_nodes: 5", ["forward_nodes"]),
        # with an authenticator goes who uses it
        (
            "{authenticators: {key: {type: token}}, forward_nodes: [{ae_title: A, destinations:"
            " [{name: a, type: guarded, authenticator: key}]}]}",
            ["authenticators.key.token"],
        ),
        # and with a project
        (
            "{projects: [{name: S, profile: Dicom Basic Profile, secret: x}], forward_nodes: [{ae_title: A,"
            " destinations: [{name: a, type: peer, ae_title: A, tag_morphing: {project: S}}]}]}",
            ["projects[0].secret"],
        ),
        (
            "{nonsense: 1, forward_nodes: [{ae_title: FORBIDDEN}]}",
            ["nonsense", "forward_nodes[0]", "forward_nodes[0].ae_title"],
        ),
    ],
)
def test_nothing_is_told_that_is_so_only_without_what_is_wrong(
    text: str, places: list[str], problems_of: Problems
) -> None:
    assert [one.partition(":")[0] for one in problems_of(text)] == places


def test_a_plugin_that_cannot_check_the_rest_of_a_file_is_not_blamed(plugins: Plugins, problems_of: Problems) -> None:
    plugins.manager.register(FailsToCheck(), name="broken")
    assert [one.partition(":")[0] for one in problems_of("nonsense: 1")] == ["nonsense"]


class NamesACommonKey(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: str = Field(default="", description="x")


class TakesAnyKey(BaseModel):
    model_config = ConfigDict(frozen=True)


class CannotBeWrittenOut(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    password: SecretStr | None = Field(default=None, description="x")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NamesACommonKey, "destination type 'bad': key enabled is common to every type; rename it"),
        (TakesAnyKey, "destination type 'bad': its model has to have extra='forbid' and frozen=True"),
        (
            CannotBeWrittenOut,
            "destination type 'bad': key password is a SecretStr, which is never written out; make it a Secret",
        ),
    ],
)
def test_a_kind_that_cannot_be_used_is_refused(plugins: Plugins, model: type[BaseModel], message: str) -> None:
    kind: Kind[Any, Any] = Kind(name="bad", config=model, open=lambda _config, _context: None)
    with pytest.raises(PluginError, match=message):
        load({}, dataclasses.replace(plugins, destinations={"bad": kind}))


def test_a_configuration_can_be_made_in_code(plugins: Plugins, read: Load) -> None:
    options = plugins.destinations["folder"].config(directory="x")
    node = ForwardNode(ae_title="A", destinations=(Destination(name="d", type="folder", options=options),))
    assert Configuration(forward_nodes=(node,)) == read(
        "forward_nodes: [{ae_title: A, destinations: [{name: d, type: folder, directory: x}]}]"
    )


def test_a_file_disables_plugins_before_they_are_loaded(tmp_path: Path, installed: Any) -> None:
    path = tmp_path / "karnak.yml"
    path.write_text("plugins: {disabled: [third_party]}\n")
    configuration, plugins = read_file(path, installed.plugins)
    assert configuration.plugins.disabled == ("third_party",)
    assert plugins.destinations == {}


def test_a_misspelt_plugin_is_refused(tmp_path: Path, installed: Any) -> None:
    path = tmp_path / "karnak.yml"
    path.write_text("plugins: {disabled: [thrid_party]}\n")
    with pytest.raises(
        PluginError, match=r"plugins\.disabled: thrid_party: not installed; installed: core, third_party"
    ):
        read_file(path, installed.plugins)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path, installed: Any) -> None:
    path = tmp_path / "karnak.yml"
    path.write_bytes(b"listener: {host: \xff}\n")
    with pytest.raises(ConfigurationError, match=r"karnak\.yml: is not UTF-8 text: byte 17 is 0xff"):
        read_file(path, installed.plugins)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="the file is larger than 1024 KiB"):
        read_file(path, installed.plugins)
