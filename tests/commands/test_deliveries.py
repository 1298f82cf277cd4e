"""``karnak deliveries``: what programs read, what people decide."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from one_gateway import STATES, Karnak, Site

#: design: at least these
NAMES = [
    "id", "forward_node", "destination", "state", "reason", "attempts", "not_before",
    "study_instance_uid", "series_instance_uid", "sop_instance_uid",
    "sent_study_instance_uid", "sent_series_instance_uid", "sent_sop_instance_uid", "received_at", "finished_at",
]  # fmt: skip


def listed(karnak: Karnak, *options: str) -> list[dict[str, Any]]:
    result = karnak("deliveries", "list", "--json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list_prints_one_object_a_line_with_the_promised_names(karnak: Karnak, site: Site) -> None:
    rows = listed(karnak, "--instance", site.files[0].stem)
    assert {row["destination"]: row["state"] for row in rows} == STATES
    for row in rows:
        assert [name for name in NAMES if name not in row] == []
        assert row["forward_node"] == "FORWARD"
        assert row["sop_instance_uid"] == site.files[0].stem
        assert isinstance(row["id"], int)
        assert isinstance(row["attempts"], int)
        received = datetime.fromisoformat(row["received_at"])
        assert timedelta(0) < datetime.now(UTC) - received < timedelta(hours=1)
    by_name = {row["destination"]: row for row in rows}
    assert by_name["good"]["sent_sop_instance_uid"] == site.files[0].stem
    assert (by_name["good"]["reason"], by_name["good"]["not_before"]) == ("", None)
    assert datetime.fromisoformat(by_name["good"]["finished_at"]) >= datetime.fromisoformat(
        by_name["good"]["received_at"]
    )
    assert "0xA900" in by_name["bad"]["reason"]
    assert by_name["mr"]["reason"].endswith("is not authorised")
    assert (by_name["paused"]["finished_at"], by_name["paused"]["attempts"]) == (None, 0)
    assert by_name["paused"]["sent_sop_instance_uid"] in ("", None)


def test_list_is_narrowed_by_every_filter(karnak: Karnak, site: Site) -> None:
    first, second, third = site.files
    row = site.row(first, "good")
    hour = timedelta(hours=1)
    now = datetime.now(UTC)

    def found(*options: str) -> Counter[str]:
        rows = listed(karnak, *options)
        return Counter(row["sop_instance_uid"] for row in rows if row["sop_instance_uid"] in map(str, known))

    known = [path.stem for path in site.files]
    assert found("--study", row["study_instance_uid"]) == {first.stem: 6, second.stem: 6}
    assert found("--series", row["series_instance_uid"]) == {first.stem: 6}
    assert found("--instance", third.stem) == {third.stem: 6}
    assert found("--sop", third.stem, "--state", "failed") == {third.stem: 1}
    assert found("--sop", third.stem, "--state", "sent", "--state", "excluded") == {third.stem: 3}
    assert found("--destination", "good") == dict.fromkeys(known, 1)
    assert found("--destination", "FORWARD/mr") == dict.fromkeys(known, 1)
    assert found("--destination", "OTHER/good") == {}
    assert found("--node", "OTHER") == {}
    assert found("--id", str(row["id"])) == {first.stem: 1}
    assert found("--since", (now - hour).isoformat(), "--destination", "good") == dict.fromkeys(known, 1)
    assert found("--since", (now + hour).isoformat()) == {}
    assert found("--until", (now - hour).isoformat()) == {}
    assert len(listed(karnak, "--limit", "2")) == 2


def test_list_is_a_table_for_people_the_newest_first(karnak: Karnak, site: Site) -> None:
    result = karnak("deliveries", "list", "--study", site.row(site.files[0], "good")["study_instance_uid"])
    assert result.exit_code == 0
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["id", "destination", "state", "attempts", "received", "SOP", "instance", "reason"]
    assert len(lines) == 12
    ids = [int(line.split()[0]) for line in lines]
    assert ids == sorted(ids, reverse=True)
    assert any("FORWARD/bad" in line and "failed" in line and "0xA900" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--state", "lost"), "'lost' is not one of"),
        (("--since", "yesterday"), "'yesterday' is no date"),
        (("--limit", "0"), "--limit"),
        (("--id", "one"), "--id"),
        (("--nothing",), "--nothing"),
    ],
)
def test_what_cannot_be_asked_ends_with_status_2(options: tuple[str, ...], words: str, karnak: Karnak) -> None:
    result = karnak("deliveries", "list", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_show_tells_everything_about_one(karnak: Karnak, site: Site) -> None:
    row = site.row(site.files[0], "bad")
    result = karnak("deliveries", "show", str(row["id"]), "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, {name: found[name] for name in row}) == (0, row)
    assert found["facts"]["Modality"] == "CT"
    assert (found["sent_facts"], found["kept"], found["waits_for_pseudonym"]) == (None, True, False)
    assert (found["follow_ups"], found["notifications"]) == ([], [])
    for_people = karnak("deliveries", "show", str(row["id"]))
    shown = dict(line.split(None, 1) for line in for_people.stdout.splitlines() if len(line.split(None, 1)) == 2)
    assert shown["sop_instance_uid"] == site.files[0].stem
    assert shown["calling_ae_title"] == "CT1"
    assert row["reason"] in for_people.stdout
    sent = json.loads(karnak("deliveries", "show", str(site.row(site.files[0], "good")["id"]), "--json").stdout)
    assert sent["sent_facts"] == sent["facts"]


def test_show_of_what_is_not_there_is_wrong(karnak: Karnak) -> None:
    result = karnak("deliveries", "show", "999999")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "there is no delivery 999999\n")


@pytest.mark.parametrize(
    ("options", "delimiter", "quote"),
    [((), ",", '"'), (("--delimiter", ":", "--quote", "'"), ":", "'"), (("--delimiter", "\\t"), "\t", '"')],
)
def test_export_writes_csv_that_is_read_back_with_its_delimiter_and_quote(
    options: tuple[str, ...], delimiter: str, quote: str, karnak: Karnak, site: Site
) -> None:
    result = karnak("deliveries", "export", "--instance", site.files[0].stem, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout), delimiter=delimiter, quotechar=quote))
    expected = site.gateway.deliveries(sop_instance_uid=site.files[0].stem)
    assert rows == [{name: "" if value is None else str(value) for name, value in row.items()} for row in expected]
    assert [name for name in NAMES if name not in rows[0]] == []


def test_list_is_narrowed_by_patient_text_and_last_change(karnak: Karnak, site: Site) -> None:
    one = json.loads(karnak("deliveries", "show", str(site.row(site.files[0], "bad")["id"]), "--json").stdout)
    patient = one["facts"]["PatientID"]
    assert one["id"] in {row["id"] for row in listed(karnak, "--patient", patient)}
    assert listed(karnak, "--patient", f"{patient}-") == []
    assert {row["state"] for row in listed(karnak, "--text", "0xa900")} == {"failed"}
    assert listed(karnak, "--text", "nowhere to be found") == []
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert listed(karnak, "--changed-since", (now + hour).isoformat()) == []
    assert len(listed(karnak, "--changed-until", (now + hour).isoformat())) == len(listed(karnak))


def test_export_of_series_has_the_33_columns_of_the_java_karnak(karnak: Karnak, site: Site) -> None:
    series = site.row(site.files[0], "bad")["series_instance_uid"]
    result = karnak("deliveries", "export", "--aggregate", "--series", series, "--delimiter", ";")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout), delimiter=";"))
    head = result.stdout.splitlines()[0].split(";")
    assert (len(head), head[0], head[-1]) == (33, "Forward aeTitle", "Last Seen")
    assert len(rows) == 6
    by_name = {row["Destination description"]: row for row in rows}
    bad, good = by_name["bad"], by_name["good"]
    assert (bad["Forward aeTitle"], bad["Destination aeTitle"], bad["Destination hostname"]) == (
        "FORWARD", "BAD", "127.0.0.1",
    )  # fmt: skip
    assert (bad["Serie Uid Original"], bad["Serie Uid To Send"]) == (series, "")
    assert (bad["Instances"], bad["Sent"], bad["Errors"], bad["Excluded"]) == ("1", "0", "1", "0")
    assert "0xA900" in bad["Reasons"]
    assert (good["Serie Uid To Send"], good["Sent"], good["Reasons"]) == (series, "1", "")
    assert good["Patient Id Original"] == good["Patient Id To Send"] != ""
    assert datetime.strptime(good["Last Seen"], "%d/%m/%Y %H:%M:%S.%f").year == datetime.now(UTC).year


def test_studies_are_a_tree_those_with_failures_first(karnak: Karnak, site: Site) -> None:
    study = site.row(site.files[0], "good")["study_instance_uid"]
    lines = [
        json.loads(line) for line in karnak("deliveries", "studies", "--study", study, "--json").stdout.splitlines()
    ]
    assert lines[0]["destination"] == "bad"
    assert {one["destination"] for one in lines} == {"good", "known", "bad", "mr", "paused", "local"}
    for one in lines:
        counts = one["counts"]
        names = ("sent", "duplicate", "excluded", "failed", "waiting", "discarded")
        assert sum(counts[name] for name in names) == counts["deliveries"] == counts["instances"]
        assert sum(series["counts"]["instances"] for series in one["series"]) == counts["instances"]
        assert counts["first_at"].endswith("Z")
    result = karnak("deliveries", "studies", "--study", study)
    assert result.exit_code == 0
    assert result.stdout.startswith("FORWARD → bad")
    assert f"2 failed  study {study}" in result.stdout
    assert "1x failed: C-STORE refused by BAD" in result.stdout
    one = karnak("deliveries", "studies", "--study", study, "--limit", "1")
    assert "1 of 6 studies; --offset 1 shows more" in one.stderr
    assert karnak("deliveries", "studies", "--study", "1.2.3.4").stdout == "no study\n"


def test_export_writes_a_file(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "deliveries.csv"
    result = karnak("deliveries", "export", "--destination", "mr", "--output", file)
    assert (result.exit_code, result.stdout) == (0, "")
    lines = file.read_text("utf-8").splitlines()
    assert lines[0].startswith("id,forward_node,destination,state,reason,attempts,not_before,study_instance_uid,")
    assert len(lines) >= 4


@pytest.mark.parametrize(
    "options", [("--delimiter", ""), ("--delimiter", ";;"), ("--quote", "\n"), ("--delimiter", "'", "--quote", "'")]
)
def test_export_with_a_delimiter_that_is_none_is_wrong(options: tuple[str, ...], karnak: Karnak) -> None:
    result = karnak("deliveries", "export", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "one character" in result.stderr


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_a_decision_about_everything_has_to_say_so(command: str, karnak: Karnak, site: Site) -> None:
    before = site.gateway.deliveries()
    result = karnak("deliveries", command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--all" in result.stderr
    assert site.gateway.deliveries() == before


def test_retry_sends_what_failed_and_records_who_asked(
    karnak: Karnak, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "tester")
    path = site.receive(tmp_path)
    site.refused.remove(path.stem)
    result = karnak("deliveries", "retry", "--instance", path.stem, "--state", "failed")
    assert (result.exit_code, result.stdout) == (0, "1 deliveries are tried again\n")
    site.gateway.wait_until(lambda: site.states(path) == {**STATES, "bad": "sent"})
    row = site.row(path, "bad")
    assert (row["reason"], row["decided_by"]) == ("", "tester")
    assert row["decided_at"] >= row["received_at"]
    shown = json.loads(karnak("deliveries", "show", str(row["id"]), "--json").stdout)
    (decision,) = shown["decisions"]
    assert (decision["what"], decision["decided_by"], decision["decided_at"]) == (
        "retried",
        "tester",
        row["decided_at"],
    )
    assert "0xA900" in decision["reason"]
    assert (
        f"retried {row['decided_at']} by tester; before that: " in karnak("deliveries", "show", str(row["id"])).stdout
    )


def test_retry_leaves_alone_what_is_finished(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    path = site.receive(tmp_path, refused=False)
    result = karnak("deliveries", "retry", "--instance", path.stem, "--destination", "good")
    assert (result.exit_code, result.stdout) == (0, "0 deliveries are tried again\n")
    assert site.row(path, "good")["state"] == "sent"


def test_discard_asks_first_and_then_gives_up_what_failed_and_what_waits(
    karnak: Karnak, site: Site, tmp_path: Path
) -> None:
    path = site.receive(tmp_path)
    # nothing is typed, which is no
    result = karnak("deliveries", "discard", "--instance", path.stem)
    assert result.exit_code == 1
    assert site.states(path) == STATES
    result = karnak("deliveries", "discard", "--instance", path.stem, "--yes")
    assert (result.exit_code, result.stdout) == (0, "2 deliveries are discarded\n")
    assert site.states(path) == {**STATES, "bad": "discarded", "paused": "discarded"}
    again = karnak("deliveries", "retry", "--instance", path.stem)
    assert again.stdout == "0 deliveries are tried again\n"
