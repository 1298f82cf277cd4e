"""Profiles and projects in a configuration: what is wrong is told with its line, what is right is kept as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from karnak_core.config import store, yaml_text
from karnak_core.config.deidentification import DeIdentification
from karnak_core.config.export import to_document, to_yaml
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.config.plan import changes
from karnak_core.config.profiles import named
from karnak_core.config.store import PluginLoader
from karnak_core.database import Database
from karnak_core.database.secrets import Vault
from karnak_core.deidentify import Entry, ProfileElement, Rule, basic_profile
from karnak_core.errors import ConfigurationError
from karnak_core.plugins import Plugins
from karnak_core.plugins import load as load_plugins
from karnak_core.projects import rows

Load = Callable[[str], Configuration]
Problems = Callable[[str], list[str]]

HEX = "0123456789abcdef0123456789abcdef"
RESEARCH = """\
name: research
version: "1.0"
profileElements:
  - name: keep the sex
    #\tnothing else\x20\x20
    codename: action.on.specific.tags
    action: K
    tags: ["(0010,0040)"]

  - name: basic  # the rest
    codename: basic.dicom.profile
"""
STUDY_A = """
    profiles: [research.yml]
    projects: [{name: STUDY-A, profile: research}]
    forward_nodes:
      - ae_title: FORWARD
        destinations:
          - {name: pacs, type: peer, ae_title: PACS, de_identification: {project: STUDY-A}}
"""


@pytest.fixture
def research(tmp_path: Path) -> Path:
    path = tmp_path / "research.yml"
    path.write_text(RESEARCH, encoding="utf-8")
    return path


@pytest.fixture
def apply(db: Database, installed: PluginLoader, vault: Vault) -> Callable[[Configuration], store.Applied]:
    return lambda configuration: store.apply(db, installed, vault, configuration, author="tester")


Apply = Callable[[Configuration], store.Applied]


@pytest.mark.usefixtures("research")
def test_profile_is_read_from_its_file(read: Load) -> None:
    configuration = read(STUDY_A)
    assert (configuration.profiles[0].name, configuration.profiles[0].text) == ("research", RESEARCH)
    profile = named(configuration.profiles, configuration.projects[0].profile)
    assert profile.codenames == ("action.on.specific.tags", "basic.dicom.profile")


@pytest.mark.usefixtures("research")
def test_pseudonyms_are_stored_ones_where_nothing_else_is_said(read: Load) -> None:
    found = read(STUDY_A).forward_nodes[0].destinations[0].de_identification
    assert found
    assert found.pseudonym.type == "stored"
    assert (found.default_issuer_of_patient_id, found.leak_check) == ("", True)


def test_built_in_profile_needs_no_file(read: Load) -> None:
    configuration = read("projects: [{name: A, profile: Dicom Basic Profile}]")
    assert named(configuration.profiles, configuration.projects[0].profile) is basic_profile()


def test_every_problem_of_a_profile_is_told_with_file_and_line(problems_of: Problems, tmp_path: Path) -> None:
    (tmp_path / "wrong.yml").write_text(
        "name: wrong\n"
        "profileElements:\n"
        "  - {name: a, codename: no.such.codename}\n"
        "  - name: b\n"
        "    codename: action.on.specific.tags\n"
        "    action: Q\n"
        "    tags: [zz]\n"
        "  - {name: c, codename: basic.dicom.profile, condition: 1 +}\n"
    )
    first, *others = problems_of("profiles: [wrong.yml]")
    assert first.startswith("profiles[0]: wrong.yml, line 3: no.such.codename 'a': codename 'no.such.codename' is unkn")
    assert [problem.split(": ")[1] for problem in others] == [
        "wrong.yml, line 6",
        "wrong.yml, line 7",
        "wrong.yml, line 8",
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("none.yml", "none.yml: No such file or directory"),
        (".", ".: Is a directory"),
        ("bytes.yml", "bytes.yml is not UTF-8 text: byte 6 is 0xff"),
        ("large.yml", "large.yml is larger than 1024 KiB"),
        ("empty.yml", "empty.yml, line 1: the profile is empty"),
        ("nameless.yml", "nameless.yml, line 1: the profile has no name"),
        ("5", "is not the path of a profile's file"),
        ("", "is not the path of a profile's file"),
    ],
)
def test_profile_that_cannot_be_read_is_told(problems_of: Problems, tmp_path: Path, written: str, message: str) -> None:
    (tmp_path / "bytes.yml").write_bytes(b"name: \xff")
    (tmp_path / "large.yml").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "empty.yml").write_bytes(b"")
    (tmp_path / "nameless.yml").write_text("profileElements: [{name: a, codename: basic.dicom.profile}]")
    assert problems_of(f"profiles: [{written}, ]" if written else "profiles: [null]")[0] == f"profiles[0]: {message}"


def test_text_of_a_profile_is_told_by_its_line_alone(problems_of: Problems) -> None:
    assert problems_of('profiles: [{text: ""}, {}, {text: "a: 1", name: x}, {text: 5}]') == [
        "profiles[0]: line 1: the profile is empty",
        "profiles[1].text: is missing",
        "profiles[2].name: unknown key; known: text",
        "profiles[3].text: 5 is not text; put it in quotes",
    ]


def test_project_is_not_blamed_for_a_profile_that_cannot_be_read(problems_of: Problems) -> None:
    assert problems_of("profiles: [none.yml]\nprojects: [{name: A, profile: research}]") == [
        "profiles[0]: none.yml: No such file or directory"
    ]


def test_name_of_a_profile_stands_once_and_is_not_that_of_the_built_in_one(problems_of: Problems) -> None:
    text = "name: {}\\nprofileElements: [{{name: a, codename: basic.dicom.profile}}]"
    one, basic = (text.format(name) for name in ("one", "Dicom Basic Profile"))
    assert problems_of(f'profiles: [{{text: "{one}"}}, {{text: "{one}"}}, {{text: "{basic}"}}]') == [
        "profiles[2]: line 1: 'Dicom Basic Profile' is the name of the built-in profile; give it another one",
        "profiles[1]: profile 'one' stands twice; entry [0] has this name, too",
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("profile: other", "profile: 'other' is not one of profiles; known: Dicom Basic Profile, research; "
         "a profile that a project uses cannot be left out"),
        ("name: ' A'", "name: ' A' is not 1 to 64 printable characters without a backslash, nor a blank at an end"),
        ("name: ''", "name: '' is not 1 to 64 printable characters without a backslash, nor a blank at an end"),
        (r"name: A\B", r"name: 'A\\B' is not 1 to 64 printable characters without a backslash, nor a blank at an end"),
        (f"secret: {HEX}0", "secret: a secret is 32 hex digits, with or without dashes"),
        ("secret: ''", "secret: a secret is 32 hex digits, with or without dashes"),
        ("secret: 5", "secret: is a number; put it in quotes"),
        ("secrets: 5", "secrets: unknown key; known: name, profile, secret"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("research")
def test_wrong_value_of_a_project_is_told(problems_of: Problems, written: str, message: str) -> None:
    given = {"name": "A", "profile": "research"}
    rest = ", ".join(f"{key}: {value}" for key, value in given.items() if not written.startswith(f"{key}:"))
    found = problems_of(f"{{profiles: [research.yml], projects: [{{{rest}, {written}}}]}}")
    assert found == [f"projects[0].{message}"]


@pytest.mark.parametrize("written", [HEX, HEX.upper(), "01234567-89ab-cdef-0123-456789abcdef"])
def test_secret_of_a_project_is_read_with_and_without_dashes(read: Load, written: str) -> None:
    project = read(f"projects: [{{name: A, profile: Dicom Basic Profile, secret: {written}}}]").projects[0]
    assert project.secret
    assert HEX not in repr(project)


def test_two_projects_of_one_name_are_told(problems_of: Problems) -> None:
    a = "{name: A, profile: Dicom Basic Profile}"
    assert problems_of(f"projects: [{a}, {a}]") == ["projects[1].name: 'A' stands twice; entry [0] has it, too"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("de_identification: {project: B}", "de_identification.project: 'B' is not one of projects; known: A; "
         "a project that a destination uses cannot be left out"),
        ("tag_morphing: {project: B}", "tag_morphing.project: 'B' is not one of projects; known: A; "
         "a project that a destination uses cannot be left out"),
        ("de_identification: {project: A}, tag_morphing: {project: A}", "tag_morphing: excludes de_identification; "
         "only one of the two can be used"),
        ("de_identification: {}", "de_identification.project: is missing"),
        ("de_identification: A", "de_identification: is not a mapping of keys to values"),
        ("de_identification: {project: A, pseudonym: stored}", "de_identification.pseudonym: is not a mapping of keys "
         "to values"),
        ("de_identification: {project: A, pseudonym: {type: none}}", "de_identification.pseudonym.type: 'none' is not "
         "a known type; known: "),
        ("de_identification: {project: A, pseudonym: {type: tag}}", "de_identification.pseudonym.tag: is missing"),
        ("de_identification: {project: A, pseudonym: {type: tag, tag: 1}}", "de_identification.pseudonym.tag: 1 is not "
         "text; put it in quotes"),
        ("de_identification: {project: A, pseudonym: {type: stored, tag: x}}", "de_identification.pseudonym.tag: "
         "unknown key; known: skip_issuer_of_patient_id, type"),
        ("de_identification: {project: A, leak_check: perhaps}", "de_identification.leak_check: 'perhaps' is not true "
         "or false"),
        ("tag_morphing: {project: A, pseudonym: {}}", "tag_morphing.pseudonym: unknown key; known: project"),
    ],
)  # fmt: skip
def test_wrong_value_of_what_a_destination_does_is_told(problems_of: Problems, written: str, message: str) -> None:
    (found,) = problems_of(f"""
        projects: [{{name: A, profile: Dicom Basic Profile}}]
        forward_nodes: [{{ae_title: F, destinations: [{{name: d, type: folder, directory: x, {written}}}]}}]
    """)
    assert found.startswith(f"forward_nodes[0].destinations[0].{message}")


@pytest.mark.usefixtures("research")
def test_project_that_a_destination_uses_cannot_be_left_out(read: Load, problems_of: Problems) -> None:
    read(STUDY_A)
    assert problems_of(STUDY_A.replace("projects:", "authenticators: {}\n    #")) == [
        "forward_nodes[0].destinations[0].de_identification.project: 'STUDY-A' is not one of projects; known: none; "
        "a project that a destination uses cannot be left out"
    ]


def test_applied_profile_stays_when_its_file_changes(
    read: Load, apply: Apply, db: Database, plugins: Plugins, research: Path
) -> None:
    apply(read(STUDY_A))
    research.write_text("name: gone")
    found = store.current(db, plugins)
    assert found
    assert found[1].profiles[0].text == RESEARCH
    assert found[1].profiles[0].profile.codenames == ("action.on.specific.tags", "basic.dicom.profile")


@pytest.mark.usefixtures("research")
def test_profile_is_exported_as_a_readable_block(read: Load) -> None:
    lines = to_yaml(read(STUDY_A)).splitlines()
    assert lines[: lines.index("projects:")] == [
        "profiles:",
        "  - text: |",
        *(f"      {line}" if line else "" for line in RESEARCH.splitlines()),
    ]


def test_exported_file_applied_again_changes_nothing(
    read: Load, apply: Apply, db: Database, plugins: Plugins, research: Path
) -> None:
    # line ends of another system, too
    research.write_bytes(RESEARCH.replace("\n", "\r\n").encode())
    done = apply(read(STUDY_A))
    found = store.current(db, plugins)
    assert found
    exported = to_yaml(found[1])
    assert (done.version, done.new) == (1, True)
    assert "          codename: basic.dicom.profile\n" in exported
    again = apply(load(yaml_text.parse(exported), plugins))
    assert (again.version, again.new, again.changes) == (1, False, ())


def test_plain_secret_of_a_project_is_encrypted_and_stays_when_it_is_applied_again(
    read: Load, apply: Apply, db: Database, plugins: Plugins, vault: Vault
) -> None:
    configuration = read(f"projects: [{{name: A, profile: Dicom Basic Profile, secret: {HEX}}}]")
    with pytest.raises(ValueError, match="seal it first"):
        to_document(configuration)
    assert apply(configuration).new
    assert not apply(configuration).new
    found = store.current(db, plugins)
    assert found
    assert HEX not in to_yaml(found[1])
    secret = found[1].projects[0].secret
    assert secret
    assert secret.reveal(vault) == HEX


def test_change_of_a_profile_is_a_line_and_not_a_page(read: Load, apply: Apply, db: Database, research: Path) -> None:
    apply(read(STUDY_A))
    research.write_text(
        RESEARCH.replace("action: K", "action: X").replace('["(0010,0040)"]', '["00100040"]') + "# end\n"
    )
    done = apply(read(STUDY_A))
    assert done.changes == ("~ profile research: text changed, lines: 3 added, 2 removed",)
    assert store.history(db)[0].changes == done.changes


def test_changes_of_projects_are_lines(read: Load) -> None:
    old = read("projects: [{name: A, profile: Dicom Basic Profile}, {name: B, profile: Dicom Basic Profile}]")
    text = "name: own\\nprofileElements: [{name: a, codename: basic.dicom.profile}]"
    new = read(f"""
        profiles: [{{text: "{text}"}}]
        projects: [{{name: A, profile: own, secret: {{env: A}}}}, {{name: C, profile: own}}]
        forward_nodes:
          - ae_title: F
            destinations: [{{name: d, type: folder, directory: x, tag_morphing: {{project: C}}}}]
    """)
    assert changes(old, new) == [
        "+ profile own: added",
        "~ project A: profile Dicom Basic Profile -> own",
        "~ project A: secret changed; another one gives other UIDs, Patient IDs and dates",
        "- project B: removed",
        "+ project C: added",
        "+ F: added",
        "+ F/d: added",
    ]


def test_rollback_brings_back_the_profile_as_it_was(
    read: Load, apply: Apply, db: Database, installed: PluginLoader, plugins: Plugins, vault: Vault, research: Path
) -> None:
    apply(read(STUDY_A))
    research.write_text(RESEARCH.replace("action: K", "action: X"))
    apply(read(STUDY_A))
    store.rollback(db, installed, vault, 1, author="tester")
    found = store.current(db, plugins)
    assert found
    assert (found[0], found[1].profiles[0].text) == (3, RESEARCH)


def test_stored_profile_whose_codename_is_gone_is_refused(
    read: Load, apply: Apply, db: Database, research: Path
) -> None:
    apply(read(STUDY_A))
    with pytest.raises(
        ConfigurationError, match=r"profiles\[0\]: line 4: .* codename 'action.on.specific.tags' is unkn"
    ):
        store.current(db, load_plugins(entries=()))


@pytest.mark.usefixtures("research")
def test_apply_gives_every_project_without_a_secret_one(read: Load, apply: Apply, db: Database, vault: Vault) -> None:
    b = f"{{name: B, profile: Dicom Basic Profile, secret: {HEX}}}"
    apply(read(STUDY_A.replace("research}]", f"research}}, {b}]")))
    with db.read() as connection:
        (only,) = rows.listed(connection, "STUDY-A")
        assert rows.listed(connection, "B") == []
    assert (only.number, only.created_by, only.active_by) == (1, "tester", "tester")
    assert len(only.reveal(vault)) == 16


def test_project_that_comes_back_has_its_old_secret(read: Load, apply: Apply, db: Database) -> None:
    a = "projects: [{name: A, profile: Dicom Basic Profile}]"
    for text in (a, "{}", a):
        apply(read(text))
    with db.read() as connection:
        assert len(rows.listed(connection, "A")) == 1


def test_schema_of_the_configuration_has_both_ways_to_give_a_profile() -> None:
    schema = Configuration.model_json_schema()
    ways = schema["$defs"]["ProfileText"]["anyOf"]
    assert [way["type"] for way in ways] == ["string", "object"]
    assert json.dumps(schema)
    assert set(DeIdentification.model_json_schema()["properties"]) == set(DeIdentification.model_fields)


API = """\
name: asks
profileElements:
  - name: ask
    codename: action.replace.api
    tags: ["(0010,0020)"]
    arguments:
      url: https://example.org/
      responsePath: id
      authConfig: registry
"""


def test_authenticator_that_a_profile_names_has_to_be_there(read: Load, problems_of: Problems, tmp_path: Path) -> None:
    (tmp_path / "asks.yml").write_text(API)
    assert problems_of("profiles: [asks.yml]\nauthenticators: {other: {type: token, token: x}}") == [
        "profiles[0]: asks.yml, line 9: 'registry' is not one of authenticators; known: other"
    ]
    assert read("profiles: [asks.yml]\nauthenticators: {registry: {type: token, token: x}}").profiles[0].name == "asks"


def read_badly(_entry: Entry) -> Rule:
    raise KeyError("no idea")


def test_codename_that_fails_to_read_an_element_makes_the_profile_wrong(plugins: Plugins) -> None:
    bad = replace(plugins, profile_elements=(ProfileElement(codename="bad", read=read_badly),))
    with pytest.raises(ConfigurationError) as caught:
        load({"profiles": [{"text": "name: a\nprofileElements:\n  - {name: x, codename: bad}\n  - {name: y}"}]}, bad)
    assert [str(problem) for problem in caught.value.problems] == [
        "profiles[0]: line 3: bad 'x': the codename cannot read it: KeyError: 'no idea'",
        "profiles[0]: line 4: codename of the element is missing",
    ]
