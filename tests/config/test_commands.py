"""The commands about the configuration, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from karnak_core import plugins as plugins_module
from karnak_core.commands import config as commands

GOOD = """\
forward_nodes:
  - ae_title: FORWARD
    destinations:
      - {name: pacs, type: peer, ae_title: PACS, port: 104}
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, third_party: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one of the commands on a data directory below ``tmp_path``, with one third party's plugin installed."""
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [third_party])
    monkeypatch.setenv("LOGNAME", "tester")

    def run_it(command: click.Command, *arguments: str | Path) -> Result:
        options = [str(argument) for argument in arguments]
        return CliRunner().invoke(command, [*options, "--data", str(tmp_path / "data")], catch_exceptions=False)

    return run_it


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "karnak.yml"
    path.write_text(GOOD)
    return path


def test_check_says_that_nothing_is_wrong_and_leaves_nothing(run: Run, file: Path, tmp_path: Path) -> None:
    result = run(commands.check, file)
    assert (result.exit_code, result.output) == (0, f"{file}: nothing is wrong\n")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("command", [commands.check, commands.plan, commands.apply])
def test_every_problem_is_a_line_on_stderr_and_nothing_is_changed(run: Run, file: Path, command: click.Command) -> None:
    file.write_text(GOOD.replace("104", "70000").replace("FORWARD", "''"))
    result = run(command, file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "forward_nodes[0].ae_title: '' is not 1 to 16 characters (DICOM PS3.5 section 6.2)\n"
        "forward_nodes[0].destinations[0].port: 70000 is not 1 to 65535\n"
    )
    assert run(commands.history).output == "nothing was ever applied\n"


def test_a_misspelt_plugin_name_is_wrong(run: Run, file: Path) -> None:
    file.write_text("plugins: {disabled: [other]}\n")
    result = run(commands.check, file)
    assert result.exit_code == 2
    assert result.stderr == "plugins.disabled: other: not installed; installed: third_party\n"


def test_a_file_that_is_not_there_is_wrong(run: Run, tmp_path: Path) -> None:
    assert run(commands.check, tmp_path / "none.yml").exit_code == 2


def test_plan_shows_what_apply_then_does(run: Run, file: Path) -> None:
    planned = run(commands.plan, file)
    assert planned.output == "- KARNAK: removed\n- KARNAK/received: removed\n+ FORWARD: added\n+ FORWARD/pacs: added\n"
    applied = run(commands.apply, file, "--comment", "first")
    assert (applied.exit_code, applied.output) == (0, "version 1: 4 changes\n" + planned.output)
    assert run(commands.plan, file).output == "nothing would change\n"
    assert run(commands.apply, file).output == "version 1: nothing changed\n"


def test_what_is_exported_can_be_applied(run: Run, file: Path) -> None:
    run(commands.apply, file)
    file.write_text(run(commands.export).stdout)
    assert run(commands.plan, file).output == "nothing would change\n"


def test_the_default_is_exported_before_anything_was_applied(run: Run, file: Path) -> None:
    file.write_text(run(commands.export).stdout)
    assert run(commands.plan, file).output == "nothing would change\n"


def test_a_secret_of_the_file_is_not_shown_by_any_command(run: Run, file: Path) -> None:
    file.write_text(GOOD.replace("port: 104", "password: hunter2"))
    outputs = [
        run(commands.apply, file),
        run(commands.plan, file),
        run(commands.export),
        run(commands.history, "--json"),
    ]
    file.write_text(GOOD.replace("port: 104", "password: hunter3"))
    outputs += [run(commands.plan, file), run(commands.apply, file), run(commands.history)]
    assert outputs[1].output == "nothing would change\n"
    assert outputs[4].output == "~ FORWARD/pacs: password changed\n"
    assert all(result.exit_code == 0 and "hunter" not in result.output for result in outputs)


def test_history_lists_the_newest_first_for_people_and_programs(run: Run, file: Path) -> None:
    run(commands.apply, file, "--comment", "first")
    file.write_text(GOOD.replace("104", "11104"))
    run(commands.apply, file)
    newest, oldest = [json.loads(line) for line in run(commands.history, "--json").output.splitlines()]
    assert newest == {
        "version": 2,
        "created_at": newest["created_at"],
        "author": "tester",
        "comment": "karnak.yml",
        "changes": ["~ FORWARD/pacs: port 104 -> 11104"],
    }
    assert (oldest["version"], oldest["comment"]) == (1, "first")
    lines = run(commands.history).output.splitlines()
    assert lines[0].startswith("version 2: ")
    assert lines[0].endswith(" UTC, tester, karnak.yml")
    assert lines[1] == "  ~ FORWARD/pacs: port 104 -> 11104"


def test_rollback_applies_an_earlier_version(run: Run, file: Path) -> None:
    run(commands.apply, file)
    file.write_text(GOOD.replace("104", "11104"))
    run(commands.apply, file)
    result = run(commands.rollback, "1")
    assert result.output == "version 3: 1 change\n~ FORWARD/pacs: port 11104 -> 104\n"
    result = run(commands.rollback, "9")
    assert (result.exit_code, result.stderr) == (2, "there is no version 9; known: 1 to 3\n")


def test_disabling_a_plugin_says_what_goes_with_it(run: Run, file: Path) -> None:
    run(commands.apply, file)
    file.write_text("plugins: {disabled: [third_party]}\n")
    changes = "~ plugins: disabled [] -> [third_party]\n- FORWARD: removed\n- FORWARD/pacs: removed\n"
    assert run(commands.plan, file).output == changes
    assert run(commands.apply, file).output == "version 2: 3 changes\n" + changes
    assert "third_party" in run(commands.export).output
    assert run(commands.rollback, "1").exit_code == 0


def test_what_does_not_fit_the_plugins_any_more_is_told(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(commands.apply, file)
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [])
    result = run(commands.export)
    assert result.exit_code == 2
    assert result.stderr == "forward_nodes[0].destinations[0].type: 'peer' is not a known type; known: none\n"
    file.write_text("{}")
    assert run(commands.plan, file).output == (
        "~ everything: what applies now does not fit the plugins and would be replaced\n"
    )


def test_a_database_that_cannot_be_used_is_a_failure(run: Run, file: Path) -> None:
    result = run(commands.apply, file, "--database", "postgresql://127.0.0.1:1/none")
    assert result.exit_code == 1
    assert result.stderr.startswith("the database cannot be used: ")


def test_a_key_that_is_none_is_a_failure(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARNAK_KEY", "short")
    result = run(commands.apply, file)
    assert result.exit_code == 1
    assert result.stderr.startswith("KARNAK_KEY: not a key")
