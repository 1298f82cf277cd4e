"""``karnak projects`` as it is typed: secrets are listed, changed and shown as people mean it, and else never seen."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from karnak_core.cli import cli
from karnak_core.commands.common import Place, who
from karnak_core.database import open_database
from karnak_core.database.tables import project_secret

HEX = "0123456789abcdef0123456789abcdef"
SHOWN = "01234567-89ab-cdef-0123-456789abcdef"
MEANING = "the same patients and studies get other UIDs, Patient IDs and dates"
BASIC = "Dicom Basic Profile"

Karnak = Callable[..., Result]


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str | None:
    """The database's URL; None: the embedded one."""
    found: str | None = request.getfixturevalue("postgresql_url") if getattr(request, "param", False) else None
    return found


on_both = pytest.mark.parametrize("url", [False, True], ids=["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def karnak(tmp_path: Path, url: str | None) -> Karnak:
    """Run a command on a data directory of its own, with these answers as its standard input."""
    place = ["--data", str(tmp_path / "data"), *(["--database", url] if url else [])]

    def run(*words: object, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, [*map(str, words), *place], input=stdin, catch_exceptions=False)

    return run


@pytest.fixture
def apply(karnak: Karnak, tmp_path: Path) -> Callable[..., Result]:
    def apply_it(projects: list[dict[str, Any]]) -> Result:
        destinations = [
            {"name": "a", "type": "folder", "directory": "a", "de_identification": {"project": "STUDY-A"}},
            {"name": "b", "type": "folder", "directory": "b", "tag_morphing": {"project": "STUDY-A"}},
        ]
        nodes = [{"ae_title": "FORWARD", "destinations": destinations}] if projects else []
        path = tmp_path / "karnak.yml"
        path.write_text(yaml.safe_dump({"projects": projects, "forward_nodes": nodes}))
        result = karnak("apply", path)
        assert result.exit_code == 0, result.output
        return result

    return apply_it


@pytest.fixture
def site(apply: Callable[..., Result]) -> None:
    """A project with a generated secret, and one whose secret the configuration gives."""
    apply(
        [
            {"name": "STUDY-A", "profile": BASIC},
            {"name": "STUDY B", "profile": BASIC, "secret": {"env": "STUDY_B"}},
        ]
    )


def listed(karnak: Karnak, project: str = "STUDY-A") -> list[dict[str, Any]]:
    return [json.loads(line) for line in karnak("projects", "secret", "list", project, "--json").stdout.splitlines()]


def shown(karnak: Karnak) -> str:
    result = karnak("projects", "secret", "show", "STUDY-A", "--yes")
    assert result.exit_code == 0
    return result.stdout.strip()


# ---- list --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_projects_are_listed_with_who_uses_them_and_where_their_secret_is_from(karnak: Karnak) -> None:
    first, second = (json.loads(line) for line in karnak("projects", "list", "--json").stdout.splitlines())
    assert first == {
        "name": "STUDY-A",
        "profile": BASIC,
        "destinations": [
            {"forward_node": "FORWARD", "destination": "a", "for": "de_identification"},
            {"forward_node": "FORWARD", "destination": "b", "for": "tag_morphing"},
        ],
        "secret_from": "database",
        "secret_number": 1,
        "active_since": first["active_since"],
    }
    assert first["active_since"] > 1_600_000_000_000
    assert (second["secret_from"], second["secret_number"]) == ("environment variable STUDY_B", None)
    table = karnak("projects", "list").stdout
    assert "STUDY-A" in table
    assert "FORWARD/a, FORWARD/b" in table
    assert "environment variable STUDY_B" in table


@pytest.mark.usefixtures("site")
def test_apply_gave_the_project_its_secret_already(karnak: Karnak) -> None:
    (only,) = listed(karnak)
    assert (only["number"], only["active"], only["created_by"], only["active_by"]) == (1, True, who(), who())
    assert listed(karnak, "STUDY B") == []


def test_nothing_is_listed_where_there_is_nothing(karnak: Karnak, apply: Callable[..., Result]) -> None:
    apply([])
    assert karnak("projects", "list").stdout == "there are no projects\n"
    assert karnak("projects", "list", "--json").stdout == ""


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("words", [["list"], ["show", "--yes"], ["generate", "--yes"], ["set", "--yes"]])
def test_unknown_project_is_refused(karnak: Karnak, words: list[str]) -> None:
    result = karnak("projects", "secret", words[0], "STUDY-C", *words[1:], stdin=HEX)
    assert (result.exit_code, result.stderr) == (2, "there is no project 'STUDY-C'; known: STUDY B, STUDY-A\n")


def test_place_without_a_gateway_is_refused_and_stays_empty(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["projects", "list", "--data", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert not (tmp_path / "none").exists()


# ---- show --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("site")
def test_secret_is_shown_in_groups_after_a_question(karnak: Karnak) -> None:
    refused = karnak("projects", "secret", "show", "STUDY-A", stdin="n\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "can tell which patient is who" in refused.stderr
    allowed = karnak("projects", "secret", "show", "STUDY-A", stdin="y\n")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n", allowed.stdout)
    assert shown(karnak) == allowed.stdout.strip()


@pytest.mark.usefixtures("site")
def test_secret_of_the_configuration_is_shown_as_it_is_found(karnak: Karnak, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = karnak("projects", "secret", "show", "STUDY B", "--yes")
    assert (missing.exit_code, missing.stderr) == (1, "environment variable STUDY_B is not set\n")
    monkeypatch.setenv("STUDY_B", "hunter2")
    wrong = karnak("projects", "secret", "show", "STUDY B", "--yes")
    assert wrong.exit_code == 1
    assert "hunter2" not in wrong.output
    monkeypatch.setenv("STUDY_B", HEX)
    assert karnak("projects", "secret", "show", "STUDY B", "--yes").stdout == f"{SHOWN}\n"


# ---- generate, set, activate -------------------------------------------------------------------------------------


@on_both
@pytest.mark.usefixtures("site")
def test_generated_secret_is_another_one_and_the_one_before_stays_selectable(karnak: Karnak) -> None:
    before = shown(karnak)
    done = karnak("projects", "secret", "generate", "STUDY-A", "--yes")
    assert (done.exit_code, done.stdout) == (0, "secret 2 of project 'STUDY-A' is active\n")
    assert shown(karnak) != before
    first, second = listed(karnak)
    assert (first["active"], first["active_since"], second["active"]) == (False, None, True)
    assert first["active_until"] is not None
    done = karnak("projects", "secret", "activate", "STUDY-A", 1, "--yes")
    assert (done.exit_code, done.stdout) == (0, "secret 1 of project 'STUDY-A' is active\n")
    assert shown(karnak) == before
    table = karnak("projects", "secret", "list", "STUDY-A").stdout
    assert re.search(rf"1 .* by {who()} .*since .* UTC by {who()}", table)
    assert re.search(rf"2 .* by {who()} .*until .* UTC", table)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("words", [["generate", "STUDY-A"], ["activate", "STUDY-A", "1"]])
def test_change_says_what_it_means_and_asks(karnak: Karnak, words: list[str]) -> None:
    karnak("projects", "secret", "generate", "STUDY-A", "--yes")
    before = listed(karnak)
    refused = karnak("projects", "secret", *words, stdin="n\n")
    assert refused.exit_code == 1
    assert MEANING in refused.stderr
    assert listed(karnak) == before
    assert karnak("projects", "secret", *words, stdin="y\n").exit_code == 0
    assert listed(karnak) != before


@pytest.mark.usefixtures("site")
def test_secret_comes_from_a_file_or_standard_input(karnak: Karnak, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SHOWN.upper()}\n")
    done = karnak("projects", "secret", "set", "STUDY-A", "--from-file", path, stdin="y\n")
    assert (done.exit_code, done.stdout) == (0, "secret 2 of project 'STUDY-A' is active\n")
    assert MEANING in done.stderr
    assert shown(karnak) == SHOWN
    other = SHOWN.replace("0", "f")
    assert karnak("projects", "secret", "set", "STUDY-A", "--yes", stdin=f"{other}\n").exit_code == 0
    assert shown(karnak) == other


@pytest.mark.usefixtures("site")
def test_secret_from_standard_input_needs_yes(karnak: Karnak) -> None:
    refused = karnak("projects", "secret", "set", "STUDY-A", stdin=HEX)
    assert refused.exit_code == 2
    assert "--yes is needed" in refused.stderr
    assert len(listed(karnak)) == 1


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("text", ["", "hunter2", f"{HEX}0", HEX[:-1], f"{HEX[:-1]}g"])
def test_what_is_no_secret_is_refused_and_not_repeated(karnak: Karnak, text: str) -> None:
    refused = karnak("projects", "secret", "set", "STUDY-A", "--yes", stdin=text)
    assert (refused.exit_code, refused.stderr) == (
        2,
        "the secret is not valid: a secret is 32 hex digits, with or without dashes\n",
    )
    assert len(listed(karnak)) == 1


@pytest.mark.usefixtures("site")
def test_secret_that_is_there_already_has_to_be_selected(karnak: Karnak) -> None:
    before = shown(karnak)
    again = karnak("projects", "secret", "set", "STUDY-A", "--yes", stdin=before)
    assert again.exit_code == 2
    assert again.stderr == "project 'STUDY-A' has this secret already, as number 1; and it is the active one\n"
    karnak("projects", "secret", "generate", "STUDY-A", "--yes")
    again = karnak("projects", "secret", "set", "STUDY-A", "--yes", stdin=before)
    assert again.exit_code == 2
    assert again.stderr.endswith("as number 1; select it: karnak projects secret activate 'STUDY-A' 1\n")
    assert len(listed(karnak)) == 2


@pytest.mark.usefixtures("site")
def test_number_that_does_not_exist_is_refused_before_anything_is_asked(karnak: Karnak) -> None:
    refused = karnak("projects", "secret", "activate", "STUDY-A", 2)
    assert (refused.exit_code, refused.stderr) == (2, "project 'STUDY-A' has no secret 2; known: 1 to 1\n")
    done = karnak("projects", "secret", "activate", "STUDY-A", 1)
    assert (done.exit_code, done.stdout) == (0, "secret 1 of project 'STUDY-A' was active already\n")


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("words", [["generate"], ["set"], ["activate", "1"]])
def test_secret_that_the_configuration_gives_is_changed_there_only(karnak: Karnak, words: list[str]) -> None:
    command, *more = words
    refused = karnak("projects", "secret", command, "STUDY B", *more, "--yes", stdin=HEX)
    assert refused.exit_code == 2
    where = "is given by the environment variable STUDY_B"
    assert f"the secret of project 'STUDY B' {where}: change it there" in refused.stderr
    assert f"the secret {where}" in karnak("projects", "secret", "list", "STUDY B").stdout
    assert listed(karnak, "STUDY B") == []


@pytest.mark.usefixtures("site")
def test_other_key_than_the_gateways_changes_nothing(karnak: Karnak, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listed(karnak)
    monkeypatch.setenv("KARNAK_KEY", Fernet.generate_key().decode())
    for words in (["show"], ["generate"], ["set"]):
        refused = karnak("projects", "secret", *words, "STUDY-A", "--yes", stdin=HEX)
        assert refused.exit_code == 1
        assert "does not open with this key" in refused.stderr
    assert listed(karnak) == before


@on_both
@pytest.mark.usefixtures("site")
def test_no_command_but_show_prints_a_secret(karnak: Karnak, tmp_path: Path, url: str | None) -> None:
    karnak("projects", "secret", "set", "STUDY-A", "--yes", stdin=HEX)
    for words in (
        ["projects", "list"],
        ["projects", "list", "--json"],
        ["projects", "secret", "list", "STUDY-A"],
        ["projects", "secret", "list", "STUDY-A", "--json"],
        ["export"],
        ["history"],
        ["plan", tmp_path / "karnak.yml"],
        ["projects", "secret", "set", "STUDY-A", "--yes"],
    ):
        output = karnak(*words, stdin=HEX).output
        assert HEX not in output
        assert SHOWN not in output
    database = open_database(url, tmp_path / "data")
    with database.read() as connection:
        rows = connection.execute(sa.select(project_secret)).all()
    database.close()
    assert len(rows) == 2
    assert not [row for row in rows if HEX in str(row) or SHOWN in str(row)]


def test_secret_is_asked_for_at_a_terminal_and_not_shown(tmp_path: Path) -> None:
    place = Place(data_directory=tmp_path / "data")
    place.open_database().close()
    path = tmp_path / "karnak.yml"
    path.write_text(yaml.safe_dump({"projects": [{"name": "STUDY-A", "profile": BASIC}]}))
    data = ["--data", str(place.data_directory)]
    assert CliRunner().invoke(cli, ["apply", str(path), *data]).exit_code == 0
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "karnak_core", "projects", "secret", "set", "STUDY-A", *data]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        seen = read_until(ours, b"Secret: ")
        os.write(ours, f"{HEX}\n".encode())
        seen += read_until(ours, b"[y/N]: ")
        os.write(ours, b"y\n")
        seen += read_until(ours, b"is active")
        assert process.wait(60) == 0
    os.close(ours)
    assert HEX.encode() not in seen
    assert CliRunner().invoke(cli, ["projects", "secret", "show", "STUDY-A", "--yes", *data]).stdout == f"{SHOWN}\n"


def read_until(descriptor: int, words: bytes) -> bytes:
    """Read a terminal until it has said these words; its end raises OSError."""
    seen = b""
    while words not in seen:
        seen += os.read(descriptor, 1024)
    return seen
