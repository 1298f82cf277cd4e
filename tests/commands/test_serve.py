"""``karnak serve``, ``demo``, and a configuration on its way through the commands, as processes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from karnak_core import __version__
from karnak_core.cli import cli
from karnak_core.testing import RunningGateway, make_file, one_node, run_gateway, send

LOCAL = {"name": "local", "type": "folder", "directory": "received"}


def karnak(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "karnak_core", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def here(*arguments: object) -> Result:
    """The same in this process."""
    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)


def test_version_and_help_name_every_command() -> None:
    assert __version__ in karnak("--version").stdout
    said = karnak("--help").stdout
    for command in ("serve", "check", "plan", "apply", "export", "history", "rollback", "plugins", "status",
                    "deliveries", "send", "echo", "probe", "demo"):  # fmt: skip
        assert re.search(rf"^  {command} ", said, re.MULTILINE), command
    assert re.search(r"^  process ", said, re.MULTILINE) is None


def test_a_command_that_does_not_exist_is_wrong() -> None:
    done = karnak("forward")
    assert (done.returncode, done.stdout) == (2, "")
    assert "forward" in done.stderr


def test_a_configuration_goes_through_every_command_of_its_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, file = tmp_path / "data", tmp_path / "gateway.yml"
    monkeypatch.setenv("KARNAK_DATA", str(data))
    file.write_text(yaml.safe_dump({**one_node(LOCAL), "listener": {"host": "127.0.0.1", "port": 0}}))
    assert here("check", file).stdout == f"{file}: nothing is wrong\n"
    assert not data.exists()
    planned = here("plan", file)
    assert planned.exit_code == 0
    assert "+ FORWARD/local: added" in planned.stdout.splitlines()

    applied = here("apply", file)
    assert applied.stdout.splitlines()[0].startswith("version 1: ")
    assert here("apply", file).stdout == "version 1: nothing changed\n"
    exported = here("export").stdout
    document = yaml.safe_load(exported)
    assert document["forward_nodes"][0]["destinations"][0]["name"] == "local"

    document["forward_nodes"][0]["destinations"][0]["enabled"] = False
    file.write_text(yaml.safe_dump(document))
    assert here("apply", file, "--comment", "off").stdout.startswith("version 2: 1 change\n")
    rolled = here("rollback", "1")
    assert (rolled.exit_code, rolled.stdout.splitlines()[0]) == (0, "version 3: 1 change")
    assert here("export").stdout == exported
    versions = [json.loads(line) for line in here("history", "--json").stdout.splitlines()]
    assert [(version["version"], version["comment"]) for version in versions] == [
        (3, "rollback to version 1"),
        (2, "off"),
        (1, "gateway.yml"),
    ]
    wrong = here("rollback", "9")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "there is no version 9; known: 1 to 3" in wrong.stderr


def test_every_problem_of_a_file_is_told_and_serve_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yml"
    file.write_text(
        yaml.safe_dump(
            one_node(
                {"name": "a b", "type": "dicom", "ae_title": "X" * 17, "hostname": "h", "port": 70000},
                {"name": "pacs", "type": "dicomm"},
            )
        )
    )
    data = ("--data", tmp_path / "data")
    ended = karnak("serve", "--config", file, *data)
    told = [(ended.returncode, ended.stdout, ended.stderr)]
    for command in ("check", "plan", "apply"):
        result = here(command, file, *data)
        told.append((result.exit_code, result.stdout, result.stderr))
    for status, out, errors in told:
        assert (status, out) == (2, "")
        assert "forward_nodes[0].destinations[0].port: 70000 is not 1 to 65535" in errors.splitlines()
        assert "forward_nodes[0].destinations[0].ae_title: " in errors
        assert "forward_nodes[0].destinations[0].name: " in errors
        assert re.search(r"forward_nodes\[0\].destinations\[1\].type: .*dicom", errors)
    assert here("history", *data).stdout == "nothing was ever applied\n"


def test_serve_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = RunningGateway({**one_node(LOCAL), "listener": {"port": taken.getsockname()[1]}}, tmp_path / "data")
        with pytest.raises(AssertionError, match="cannot listen on"):
            gateway.start()


def test_serve_without_a_file_that_is_there_is_wrong(tmp_path: Path) -> None:
    done = karnak("serve", "--config", tmp_path / "none.yml", "--data", tmp_path / "data")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.yml" in done.stderr


def test_serve_goes_on_with_what_was_applied_and_ends_with_0(tmp_path: Path) -> None:
    with run_gateway(one_node(LOCAL), tmp_path / "data") as gateway:
        assert gateway.host == "127.0.0.1"
        assert send(gateway.port, [make_file(tmp_path)]) == [0x0000]
        gateway.wait_until_settled(1)
        assert gateway.terminate() == 0
    log = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert all(line.keys() >= {"event", "level", "timestamp"} for line in log)
    assert "TEST-1" not in gateway.log.read_text()
    assert "Nobody" not in gateway.log.read_text()


@pytest.mark.slow
def test_demo_shows_the_main_job_and_leaves_nothing(tmp_path: Path) -> None:
    done = karnak("demo", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"a gateway listens on 127\.0\.0\.1:\d+; sending 14 instances to DEMO", lines[0])
    assert sum(" sent" in line for line in lines) == 14 + 8
    assert sum("excluded" in line and "condition not met" in line for line in lines) == 6
    assert lines[-1] == "22 files arrived"
    assert list(tmp_path.iterdir()) == []
