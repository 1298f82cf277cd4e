"""``karnak why``: the story of a UID."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from one_gateway import Karnak, Site

from karnak_core.cli import cli
from karnak_core.database import Database, open_database
from karnak_core.database.tables import delivery, follow_up, instance, notification, study_watch
from karnak_core.model import now_ms
from karnak_core.spool import health

HOUR = 3_600_000


def test_an_instance_has_its_story_at_every_destination_and_what_comes_next(karnak: Karnak, site: Site) -> None:
    uid = site.files[0].stem
    result = karnak("why", uid)
    assert (result.exit_code, result.stderr) == (0, "")
    head, study, received, *rest = result.stdout.splitlines()
    assert head == f"instance {uid}"
    assert study.startswith("of study ")
    assert "1 instance, " in received
    assert received.endswith(" from CT1 at 127.0.0.1 by FORWARD")
    told = "\n".join(rest).split("\n\n")
    by_name = {block.strip().split()[0]: block for block in told}
    assert by_name.keys() == {f"FORWARD/{name}" for name in ("good", "known", "bad", "mr", "paused", "local")}
    assert "  sent 20" in by_name["FORWARD/good"]
    assert f"    as instance {uid}, study " in by_name["FORWARD/good"]
    assert "next: nothing: it is there" in by_name["FORWARD/good"]
    assert "duplicate" in by_name["FORWARD/known"]
    assert "0xA900" in by_name["FORWARD/bad"]
    assert (
        f"karnak deliveries retry --instance {uid} --destination FORWARD/bad --state failed" in by_name["FORWARD/bad"]
    )
    assert "excluded" in by_name["FORWARD/mr"]
    assert "by a rule: " in by_name["FORWARD/mr"]
    assert "next: it waits until the destination goes on (paused: false)" in by_name["FORWARD/paused"]


def test_what_it_says_can_be_done_can_be_done(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    path = site.receive(tmp_path)
    site.refused.remove(path.stem)
    command = next(
        line.strip() for line in karnak("why", path.stem).stdout.splitlines() if "karnak deliveries retry" in line
    )
    assert karnak(*command.split()[1:]).stdout == "1 deliveries are tried again\n"
    site.gateway.wait_until(lambda: site.states(path)["bad"] == "sent")
    assert "decided about it" in karnak("why", path.stem).stdout


def test_a_study_is_told_by_series_and_destination(karnak: Karnak, site: Site) -> None:
    study = site.row(site.files[0], "good")["study_instance_uid"]
    found = json.loads(karnak("why", study, "--json").stdout)
    assert (found["uid"], found["kind"], found["as_sent"]) == (study, "study", False)
    (reception,) = found["receptions"]
    assert (reception["forward_node"], reception["calling_ae_title"]) == ("FORWARD", "CT1")
    assert reception["instances"] >= 2
    assert reception["first_at"].endswith("Z")
    good = next(one for one in found["destinations"] if one["destination"] == "good")
    assert sum(group["count"] for group in good["groups"]) == reception["instances"]
    assert {group["state"] for group in good["groups"]} == {"sent"}
    series = site.row(site.files[0], "good")["series_instance_uid"]
    assert json.loads(karnak("why", series, "--json").stdout)["kind"] == "series"


def test_what_nobody_knows_ends_with_status_1(karnak: Karnak) -> None:
    result = karnak("why", "1.2.3.4.5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing is known about 1.2.3.4.5" in result.stderr


class Told:
    """A ledger of a gateway that does not run, with one instance in it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir()
        self.apply()

    def apply(self, **keys: object) -> None:
        file = self.data.with_suffix(".yml")
        destination = {"type": "dicom", "ae_title": "PACS", "hostname": "pacs.example.org", "port": 104}
        destinations = [{"name": "pacs", **destination, **keys}]
        file.write_text(json.dumps({"forward_nodes": [{"ae_title": "FORWARD", "destinations": destinations}]}))
        assert CliRunner().invoke(cli, ["apply", str(file), "--data", str(self.data)]).exit_code == 0

    def database(self) -> closing[Database]:
        return closing(open_database(None, self.data))

    def deliver(self, state: str, **values: object) -> None:
        now = now_ms()
        with self.database() as database, database.write() as connection:
            connection.execute(
                sa.insert(instance).values(
                    id=1, forward_node="FORWARD", calling_ae_title="CT1", peer_host="10.0.0.5", received_at=now,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.1.1", study_instance_uid="1.1",
                    series_instance_uid="1.1.0", transfer_syntax_uid="1.2.840.10008.1.2.1", path=None,
                    dataset_offset=132, size=1, facts={},
                )
            )  # fmt: skip
            row = {"not_before": now, "created_at": now, "destination": "pacs", **values}
            connection.execute(
                sa.insert(delivery).values(id=1, instance_id=1, forward_node="FORWARD", state=state, **row)
            )

    def why(self, uid: str = "1.1.1") -> Result:
        return CliRunner().invoke(cli, ["why", uid, "--data", str(self.data)])

    def runs(self) -> None:
        with self.database() as database, database.write() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO process VALUES ('o', 'n', 'deliver', 1, {now_ms()})"  # another machine's, say
            )


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "data")


def test_nothing_comes_next_while_no_gateway_runs(told: Told) -> None:
    told.deliver("pending")
    assert "next: nothing until the gateway runs" in told.why().stdout


def test_a_destination_that_is_unreachable_is_named_with_the_next_try(told: Told) -> None:
    told.deliver("pending", reason="connection refused", attempts=2)
    told.runs()
    with told.database() as database, database.write() as connection:
        for _ in range(3):
            health.note_failure(connection, "FORWARD", "pacs", "connection refused", misconfigured=False)
    out = told.why().stdout
    assert "  waits; tried 2 times, last: connection refused" in out
    assert "the destination is unreachable: connection refused; one goes out to see whether it is back, 20" in out
    assert "(since 20" in out
    assert "      karnak probe FORWARD/pacs" in out


def test_the_time_of_the_next_attempt_is_told(told: Told) -> None:
    at = now_ms() + HOUR
    told.deliver("pending", reason="0xA700 out of resources", attempts=1, not_before=at)
    told.runs()
    out = told.why("1.1").stdout
    assert "1 instance of series 1.1.0: waits; tried 1 time, last: 0xA700 out of resources" in out
    assert "next: it is tried again, 20" in out


def test_who_waits_for_a_pseudonym_is_told_how_to_store_one(told: Told) -> None:
    told.deliver("failed", reason="no pseudonym", waits_for="x" * 64, finished_at=now_ms())
    out = told.why().stdout
    assert "next: it is tried again by itself when a pseudonym of the patient is stored" in out
    assert "karnak pseudonyms add --project" in out


def test_what_waits_for_a_destination_that_is_no_more_is_said_to_fail(told: Told) -> None:
    told.deliver("pending", destination="gone")
    told.runs()
    out = told.why().stdout
    assert "FORWARD/gone (not in the configuration any more)" in out
    assert "next: it fails, and is kept" in out


def test_what_was_sent_is_found_by_the_uids_it_was_sent_with_and_has_its_follow_ups_and_mails(told: Told) -> None:
    now = now_ms()
    told.deliver(
        "sent", not_before=None, finished_at=now, sent_study_instance_uid="2.25.1", sent_series_instance_uid="2.25.2",
        sent_sop_instance_uid="2.25.3",
    )  # fmt: skip
    common = {"forward_node": "FORWARD", "destination": "pacs", "created_at": now}
    with told.database() as database, database.write() as connection:
        connection.execute(
            sa.insert(follow_up).values(
                instance_id=1, delivery_id=1, part="album", subject="2.25.2", state="failed", not_before=now,
                reason="403 Forbidden", attempts=3, finished_at=now, sent={}, **common,
            )
        )  # fmt: skip
        connection.execute(
            sa.insert(notification).values(
                part="mail", study_instance_uid="1.1", state="sent", reason="to a@example.org", finished_at=now,
                summary={}, **common,
            )
        )  # fmt: skip
        connection.execute(
            sa.insert(study_watch).values(
                forward_node="FORWARD", destination="pacs", part="mail", study_instance_uid="1.1", due_at=now + HOUR,
                changed_at=now,
            )
        )  # fmt: skip
    for uid, kind in (("2.25.3", "instance"), ("2.25.2", "series"), ("2.25.1", "study")):
        out = told.why(uid).stdout
        assert out.startswith(f"{kind} {uid} (as it was sent)\n")
        assert "follow-up album for 2.25.2: failed" in out
        assert "403 Forbidden" in out
        assert "karnak follow-ups retry --id 1" in out
        assert "notification mail for 1.1: sent" in out
        assert "to a@example.org" in out
        assert "people are told when nothing more comes for a while, 20" in out


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "it is done as soon as its turn comes"),
        ({"paused": True}, "it waits until the destination goes on (paused: false)"),
        ({"enabled": False}, "it waits until the destination is enabled (enabled: true)"),
        ({"name": "other"}, "it fails, and is kept: the destination is not in the configuration any more"),
    ],
)
def test_a_follow_up_waits_with_its_destination(keys: dict[str, object], words: str, told: Told) -> None:
    now = now_ms()
    told.deliver("sent", not_before=None, finished_at=now)
    told.runs()
    with told.database() as database, database.write() as connection:
        connection.execute(
            sa.insert(follow_up).values(
                instance_id=1, delivery_id=1, part="album", subject="1.1.0", state="pending", not_before=now,
                forward_node="FORWARD", destination="pacs", created_at=now, sent={},
            )
        )  # fmt: skip
    told.apply(**keys)
    out = told.why().stdout
    assert f"next: {words}" in out[out.index("follow-up album") :]
