"""``karnak status`` and ``karnak plugins``."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from one_gateway import Karnak, Site

from karnak_core import __version__
from karnak_core.cli import cli
from karnak_core.testing import NO_ANSWER, send

#: the names of the design, in order
DESTINATION = [
    "forward_node", "destination", "state", "reason", "pending", "sent", "duplicate", "excluded", "failed",
    "oldest_pending_seconds",
]  # fmt: skip


def test_status_is_one_object_with_the_promised_names(karnak: Karnak, site: Site) -> None:
    result = karnak("status", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert {"destinations", "instances", "spool"} <= found.keys()
    assert found["instances"].keys() == {"received", "refused"}
    assert found["spool"].keys() == {"bytes", "free_bytes"}
    for destination in found["destinations"]:
        assert [name for name in DESTINATION if name not in destination] == []

    rows = site.gateway.deliveries()
    assert found["instances"]["received"] == len({(row["sop_instance_uid"], row["received_at"]) for row in rows})
    assert found["spool"]["bytes"] > 0
    assert found["spool"]["free_bytes"] > 0
    for destination in found["destinations"]:
        own = [
            row["state"]
            for row in rows
            if (row["forward_node"], row["destination"]) == (destination["forward_node"], destination["destination"])
        ]
        for state in ("pending", "sent", "duplicate", "excluded", "failed"):
            assert destination[state] == own.count(state), destination


def test_status_says_how_every_destination_is(karnak: Karnak, site: Site) -> None:
    found = json.loads(karnak("status", "--json").stdout)["destinations"]
    states = {f"{one['forward_node']}/{one['destination']}": one for one in found}
    assert {name: one["state"] for name, one in states.items()} == {
        "FORWARD/good": "ok",
        "FORWARD/known": "ok",
        "FORWARD/bad": "ok",
        "FORWARD/mr": "ok",
        "FORWARD/paused": "paused",
        "FORWARD/local": "ok",
        "OTHER/good": "ok",
        "OTHER/down": "disabled",
        "CLOSED/good": "ok",
        "CLOSED/down": "disabled",
    }
    assert states["FORWARD/good"]["oldest_pending_seconds"] is None
    assert states["FORWARD/paused"]["oldest_pending_seconds"] > 0


def test_status_is_one_screen_for_people(karnak: Karnak, site: Site) -> None:
    assert send(site.gateway.port, site.files[:1], called="CLOSED", calling="STRANGER") == [NO_ANSWER]
    site.gateway.wait_until(lambda: "STRANGER" in karnak("status").stdout)
    result = karnak("status")
    assert result.exit_code == 0
    assert result.stdout.startswith("received ")
    assert "FORWARD/paused is paused: paused is true" in result.stdout
    assert "karnak deliveries list --state failed --destination bad" in result.stdout
    assert "STRANGER at 127.0.0.1 to CLOSED: calling AE title not recognised" in result.stdout


def test_status_of_a_folder_without_a_gateways_data_is_an_error_and_makes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["status", "--json", "--data", str(tmp_path / "typo")])
    assert result.exit_code == 2
    assert "no gateway has its data here" in result.stderr
    assert not (tmp_path / "typo").exists()


def test_plugins_are_listed_for_programs_and_people_and_nothing_is_made(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["plugins", "--json", "--data", str(tmp_path / "new")])
    assert result.exit_code == 0
    plugins = {plugin["name"]: plugin for plugin in json.loads(result.stdout)}
    for plugin in plugins.values():
        assert plugin.keys() == {"name", "distribution", "version", "disabled", "hooks", "kinds"}
    assert plugins["dicom_dest"]["kinds"] == ["destination:dicom"]
    assert plugins["folder_dest"]["kinds"] == ["destination:folder"]
    assert (plugins["dicom_dest"]["distribution"], plugins["dicom_dest"]["version"]) == ("karnak-gateway", __version__)
    shown = CliRunner().invoke(cli, ["plugins", "--data", str(tmp_path / "new")])
    assert shown.stdout.splitlines()[0].split() == ["plugin", "distribution", "version", "types", "hooks"]
    assert "destination:folder" in shown.stdout
    assert list(tmp_path.iterdir()) == []
