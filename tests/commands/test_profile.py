"""``karnak profile`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from karnak_core.cli import cli

RIGHT = """\
name: research
version: "1.0"
profileElements:
  - {name: sex, codename: action.on.specific.tags, action: K, tags: ["(0010,0040)"]}
  - {name: rest, codename: basic.dicom.profile}
"""
WRONG = """\
profileElements:
  - {name: sex, codename: action.on.specific.tag, action: K}
  - name: rest
    codename: action.on.dates
    option: shift
    arguments: {days: many, seconds: 0}
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "research.yml"
    path.write_text(RIGHT)
    return path


def test_right_profile_ends_with_status_0(file: Path) -> None:
    result = run("profile", "check", file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{file}: nothing is wrong; profile 'research' has 2 elements\n"


def test_every_problem_is_told_with_its_line_and_status_2(file: Path) -> None:
    file.write_text(WRONG)
    result = run("profile", "check", file)
    assert (result.exit_code, result.stdout) == (2, "")
    first, second, third = result.stderr.splitlines()
    assert first == f"{file}, line 1: the profile has no name"
    assert first.split(":")[0] == f"{file}, line 1"
    assert second.startswith(
        f"{file}, line 2: action.on.specific.tag 'sex': codename 'action.on.specific.tag' is unknown"
    )
    assert third == f"{file}, line 6: action.on.dates 'rest': argument 'days': 'many' is not a whole number"


def test_problems_are_one_object_for_programs(file: Path) -> None:
    result = run("profile", "check", file, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "file": str(file),
        "name": "research",
        "version": "1.0",
        "codenames": ["action.on.specific.tags", "basic.dicom.profile"],
        "problems": [],
    }
    file.write_text(WRONG)
    result = run("profile", "check", file, "--json")
    assert result.exit_code == 2
    assert [problem["line"] for problem in json.loads(result.stdout)["problems"]] == [1, 2, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ", line 1: the profile is empty"),
        (b"name: [", ", line 1: not YAML: "),
        (b"\xff", " is not UTF-8 text: byte 0 is 0xff"),
        (b"#" * (1 << 20) + b"\n", " is larger than 1024 KiB"),
        (RIGHT.replace("research", "Dicom Basic Profile").encode(), ", line 1: 'Dicom Basic Profile' is the name of "),
    ],
)
def test_file_that_is_no_profile_is_told(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    result = run("profile", "check", file)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{file}{message}")


def test_issuer_in_the_profile_is_told_to_have_no_effect(file: Path) -> None:
    file.write_text(f"defaultIssuerOfPatientID: X\n{RIGHT}")
    result = run("profile", "check", file)
    assert result.exit_code == 0
    assert "defaultIssuerOfPatientID has no effect" in result.stderr


def test_check_makes_no_data_directory(file: Path, tmp_path: Path) -> None:
    assert run("profile", "check", file, "--data", tmp_path / "data").exit_code == 0
    assert not (tmp_path / "data").exists()


def test_profiles_are_listed_with_the_projects_that_use_them(file: Path, tmp_path: Path) -> None:
    projects = [{"name": "A", "profile": "research"}, {"name": "B", "profile": "research"}]
    path = tmp_path / "karnak.yml"
    path.write_text(yaml.safe_dump({"profiles": [file.name], "projects": projects}))
    data = ["--data", tmp_path / "data"]
    assert run("apply", path, *data).exit_code == 0
    basic, research = (json.loads(line) for line in run("profile", "list", "--json", *data).stdout.splitlines())
    assert (basic["name"], basic["projects"]) == ("Dicom Basic Profile", [])
    assert research == {
        "name": "research",
        "version": "1.0",
        "codenames": ["action.on.specific.tags", "basic.dicom.profile"],
        "projects": ["A", "B"],
    }
    assert "A, B" in run("profile", "list", *data).stdout
