"""``karnak plugins`` as it is typed: a block for each, readable on a narrow terminal."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from karnak_core.cli import cli
from karnak_core.deidentify import BUILT_IN


def run(tmp_path: Path, *words: str, columns: int = 80) -> str:
    command = ["plugins", "--data", str(tmp_path / "data"), *words]
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert not (tmp_path / "data").exists()
    return result.stdout


def test_every_plugin_has_a_block_with_what_it_offers(tmp_path: Path) -> None:
    lines = run(tmp_path).splitlines()
    assert "core, karnak-gateway 0.1.0" in lines
    assert "    destination: dicom" in lines
    assert "    hooks: karnak_register_destinations" in lines


def test_no_line_is_wider_than_the_terminal(tmp_path: Path) -> None:
    for columns, widest in ((60, 60), (500, 100)):
        output = run(tmp_path, columns=columns)
        assert max(map(len, output.splitlines())) <= widest
        assert [element.codename for element in BUILT_IN if element.codename not in output] == []


def test_programs_get_everything_as_one_list(tmp_path: Path) -> None:
    core = next(plugin for plugin in json.loads(run(tmp_path, "--json")) if plugin["name"] == "core")
    assert "profile element:basic.dicom.profile" in core["kinds"]
    assert "pseudonym source:stored" in core["kinds"]
