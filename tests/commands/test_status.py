"""``karnak status`` and ``karnak plugins``."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
import trustme
from click.testing import CliRunner
from one_gateway import Karnak, Site

from karnak_core import __version__
from karnak_core.cli import cli
from karnak_core.database import open_database
from karnak_core.database.tables import follow_up
from karnak_core.spool import health
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
    assert "karnak deliveries list --state failed --destination FORWARD/bad" in result.stdout
    assert "STRANGER at 127.0.0.1 to CLOSED: calling AE title not recognised" in result.stdout


def test_status_says_that_it_runs_what_failed_and_why(karnak: Karnak, site: Site) -> None:
    found = json.loads(karnak("status", "--json").stdout)
    assert found["gateway"]["running"] is True
    roles = {one["role"] for one in found["gateway"]["processes"]}
    assert {"receive", "deliver"} <= roles
    assert found["storage"]["accepting"] is True
    bad = next(one for one in found["destinations"] if one["destination"] == "bad")
    (reason,) = bad["failed_reasons"]
    assert reason["count"] == bad["failed"] > 0
    assert "0xA900" in reason["reason"]
    for_people = karnak("status").stdout
    assert "running: " in for_people
    assert f"FORWARD/bad: {bad['failed']} failed and kept: {bad['failed']}x" in for_people


def test_status_of_a_gateway_that_has_ended_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    certificate = tmp_path / "server.pem"
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=3, hours=1))
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    configuration = {
        "listener": {"tls": {"certificate": str(certificate), "key": str(tmp_path / "server.key")}},
        "forward_nodes": [
            {
                "ae_title": "FORWARD",
                "destinations": [
                    {"name": "down", "type": "dicom", "ae_title": "DOWN", "hostname": "127.0.0.1", "port": 1}
                ],
            }
        ],
    }
    with closing(open_database(None, data)) as database:
        # why and since when is what the ledger says
        for _ in range(3):
            with database.write() as connection:
                health.note_failure(connection, "FORWARD", "down", "connection refused", misconfigured=False)
        with database.write() as connection:
            connection.execute(
                sa.insert(follow_up).values(
                    instance_id=1, delivery_id=1, forward_node="FORWARD", destination="down", part="album",
                    subject="1.2.3", state="failed", reason="403 Forbidden", not_before=1, created_at=1, finished_at=1,
                    sent={},
                )
            )  # fmt: skip
    file = tmp_path / "karnak.yml"
    file.write_text(json.dumps(configuration))
    assert CliRunner().invoke(cli, ["apply", str(file), "--data", str(data)]).exit_code == 0
    found = json.loads(CliRunner().invoke(cli, ["status", "--json", "--data", str(data)]).stdout)
    assert found["gateway"] == {"running": False, "processes": []}
    (down,) = found["destinations"]
    assert (down["state"], down["reason"]) == ("unreachable", "connection refused")
    assert down["since"].endswith("Z")
    (album,) = found["follow_ups"]
    assert (album["part"], album["pending"], album["failed"], album["reason"]) == ("album", 0, 1, "403 Forbidden")
    (expiry,) = found["expiries"]
    assert (expiry["kind"], expiry["of"], round(expiry["seconds"] / 86400)) == ("certificate", "listener", 3)
    for_people = CliRunner().invoke(cli, ["status", "--data", str(data)]).stdout
    assert "not running: nothing is received or sent until `karnak serve`" in for_people
    assert re.search(r"FORWARD/down is unreachable for [0-9]+ s: connection refused", for_people)
    assert "FORWARD/down follow-up album: 1 failed, the oldest for" in for_people
    assert "karnak follow-ups list --state failed --destination FORWARD/down" in for_people
    assert "listener: its certificate expires in 3 d" in for_people


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
    assert f"dicom_dest, karnak-gateway {__version__}" in shown.stdout
    assert "destination: folder" in shown.stdout
    assert list(tmp_path.iterdir()) == []
