"""``karnak pseudonyms``: what people store, look up and delete, and what is tried again because of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from karnak_core.cli import cli
from karnak_core.database import open_database
from karnak_core.database.tables import delivery, patient_key
from karnak_core.model import Header, State, now_ms
from karnak_core.spool.record import Received, record
from karnak_core.spool.wakeups import open_wakeups

Run = Callable[..., Result]
CONFIGURATION = """
projects:
  - {name: STUDY-A, profile: Dicom Basic Profile, secret: 0123456789abcdef0123456789abcdef}
  - {name: STUDY-B, profile: Dicom Basic Profile, secret: 0123456789abcdef0123456789abcdef}
forward_nodes:
  - ae_title: FORWARD
    destinations:
      - {name: local, type: folder, directory: out, de_identification: {project: STUDY-A}}
"""
ADA = ("--pseudonym", "PSN-1", "--patient-id", "PID-1", "--first-name", "Ada", "--last-name", "Nobody")
A = ("--project", "STUDY-A")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory."""
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Run:
    """Run a command there, where a configuration with two projects applies."""

    def run(*words: str | Path, text: str | bytes = "") -> Result:
        return CliRunner().invoke(cli, [*map(str, words), "--data", str(data)], input=text, catch_exceptions=False)

    file = tmp_path / "karnak.yml"
    file.write_text(CONFIGURATION)
    assert run("apply", file).exit_code == 0
    return run


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    """Return what is stored."""
    result = run("pseudonyms", "list", "--json", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def names(run: Run, *options: str) -> list[str]:
    """Return the pseudonyms that are stored."""
    return [row["pseudonym"] for row in listed(run, *options)]


def wait_for(data: Path, *keys: str) -> None:
    """Let a delivery have failed for the want of each of these."""
    with closing(open_database(None, data)) as db, db.write() as connection:
        for key in keys:
            received = Received(
                forward_node="FORWARD",
                calling_ae_title="CT1",
                peer_host="127.0.0.1",
                received_at=now_ms(),
                transfer_syntax_uid="1.2.840.10008.1.2",
                header=Header(sop_instance_uid="2.25.1"),
                path="",
                content=b"x",
                dataset_offset=0,
                size=1,
                destinations=("local",),
            )
            record(connection, [received])
            newest = sa.select(sa.func.max(delivery.c.id)).scalar_subquery()
            values = {"state": State.FAILED, "waits_for": key, "finished_at": now_ms()}
            connection.execute(sa.update(delivery).where(delivery.c.id == newest).values(**values))


def states(data: Path) -> list[str]:
    """Return how deliveries stand."""
    with closing(open_database(None, data)) as db, db.read() as connection:
        return list(connection.execute(sa.select(delivery.c.state).order_by(delivery.c.id)).scalars())


def test_what_is_added_is_listed(run: Run) -> None:
    result = run("pseudonyms", "add", *A, *ADA, "--issuer", "EAST", "--expires-in", "7 days")
    assert (result.exit_code, result.stdout) == (0, "stored in project 'STUDY-A'\n")
    (row,) = listed(run)
    expires, created = (datetime.fromisoformat(row.pop(name)) for name in ("expires_at", "created_at"))
    assert timedelta(days=6, hours=23) < expires - datetime.now(UTC) <= timedelta(days=7)
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=5)
    assert row.pop("created_by")
    assert isinstance(row.pop("number"), int)
    assert row == {
        "project": "STUDY-A",
        "pseudonym": "PSN-1",
        "patient_id": "PID-1",
        "issuer": "EAST",
        "first_name": "Ada",
        "last_name": "Nobody",
    }
    table = run("pseudonyms", "list").stdout
    for text in ("STUDY-A", "PSN-1", "PID-1", "EAST", "Ada", "Nobody", "UTC"):
        assert text in table


def test_what_is_wrong_is_not_stored(run: Run) -> None:
    run("pseudonyms", "add", *A, *ADA)
    result = run("pseudonyms", "add", *A, "--pseudonym", "PSN-1", "--patient-id", "PID-2")
    assert (result.exit_code, result.stderr) == (2, "another patient has this pseudonym already: stored\n")
    result = run("pseudonyms", "add", *A, "--pseudonym", "", "--patient-id", "A\\B")
    assert result.stderr.splitlines() == [
        "the pseudonym is missing",
        "the Patient ID has a backslash or a control character",
    ]
    assert names(run) == ["PSN-1"]


@pytest.mark.parametrize("command", ["add", "import"])
def test_the_project_has_to_exist(run: Run, tmp_path: Path, command: str) -> None:
    file = tmp_path / "list.csv"
    file.write_text("PSN-1,PID-1\n")
    result = run("pseudonyms", command, "--project", "STUDY-C", *(ADA if command == "add" else (file,)))
    assert (result.exit_code, result.stderr) == (2, "there is no project 'STUDY-C'; known: STUDY-A, STUDY-B\n")
    assert listed(run) == []


@pytest.mark.parametrize("text", ["soon", "0", "-1 d", "1e30"])
def test_an_expiry_is_a_duration_or_never(run: Run, text: str) -> None:
    result = run("pseudonyms", "add", *A, *ADA, "--expires-in", text)
    assert result.exit_code == 2
    assert "never" in result.stderr
    assert run("pseudonyms", "add", *A, *ADA, "--expires-in", "Never").exit_code == 0
    assert listed(run)[0]["expires_at"] is None


def test_an_edit_changes_what_is_given_and_nothing_else(run: Run) -> None:
    run("pseudonyms", "add", *A, *ADA, "--expires-in", "7 days")
    (before,) = listed(run)
    result = run("pseudonyms", "edit", str(before["number"]), "--pseudonym", "PSN-2", "--last-name", "")
    assert (result.exit_code, result.stdout) == (0, "changed\n")
    assert listed(run) == [{**before, "pseudonym": "PSN-2", "last_name": ""}]
    run("pseudonyms", "edit", str(before["number"]), "--expires-in", "never")
    assert listed(run)[0]["expires_at"] is None
    assert run("pseudonyms", "edit", str(before["number"])).exit_code == 2
    result = run("pseudonyms", "edit", "99", "--issuer", "EAST")
    assert (result.exit_code, result.stderr) == (2, "there is no pseudonym 99\n")


def test_a_list_is_narrowed_and_paged(run: Run) -> None:
    for number in range(3):
        run("pseudonyms", "add", *A, "--pseudonym", f"PSN-{number}", "--patient-id", f"PID-{number}")
    run("pseudonyms", "add", "--project", "STUDY-B", *ADA)
    assert names(run, *A) == ["PSN-0", "PSN-1", "PSN-2"]
    assert names(run, "--search", "nobody") == ["PSN-1"]
    assert names(run, *A, "--limit", "1", "--offset", "1") == ["PSN-1"]
    result = run("pseudonyms", "list", "--limit", "3")
    assert result.stderr == "3 of 4 are shown; --limit and --offset show others\n"
    assert "PSN-2" in result.stdout
    assert run("pseudonyms", "list", "--offset", "1").stderr == ""


def test_who_is_behind_a_pseudonym_is_found_in_every_project_or_in_one(run: Run) -> None:
    run("pseudonyms", "add", *A, *ADA)
    run("pseudonyms", "add", "--project", "STUDY-B", "--pseudonym", "PSN-1", "--patient-id", "PID-9")
    result = run("pseudonyms", "find", "PSN-1", "--json")
    assert [json.loads(line)["patient_id"] for line in result.stdout.splitlines()] == ["PID-1", "PID-9"]
    result = run("pseudonyms", "find", "PSN-1", "--project", "STUDY-B")
    assert "PID-9" in result.stdout
    assert "PID-1" not in result.stdout
    result = run("pseudonyms", "find", "psn-1")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "nobody has this pseudonym\n")
    result = run("pseudonyms", "find", "PSN-2", *A)
    assert (result.exit_code, result.stderr) == (1, "nobody has this pseudonym in project 'STUDY-A'\n")


def test_chosen_ones_are_deleted_after_a_question(run: Run) -> None:
    for number in range(4):
        run("pseudonyms", "add", *A, "--pseudonym", f"PSN-{number}", "--patient-id", f"PID-{number}")
    run("pseudonyms", "add", "--project", "STUDY-B", *ADA)
    delete = ("pseudonyms", "delete", *A)
    result = run(*delete, "--pseudonym", "PSN-1", text="n\n")
    assert result.exit_code == 1
    assert "cannot be found out afterwards" in result.stderr
    assert len(names(run)) == 5
    result = run(*delete, "--pseudonym", "PSN-1", text="y\n")
    assert (result.exit_code, result.stdout) == (0, "1 pseudonym is deleted\n")
    number = str(listed(run, "--search", "PSN-3")[0]["number"])
    assert run(*delete, "--number", number, "--yes").exit_code == 0
    assert run(*delete, "--patient-id", "PID-0", "--patient-id", "PID-1", "--yes").exit_code == 0
    assert names(run) == ["PSN-2", "PSN-1"]
    for wrong in ((), ("--all", "--pseudonym", "PSN-2")):
        assert run(*delete, *wrong, "--yes").exit_code == 2
    result = run(*delete, "--pseudonym", "PSN-9", "--yes")
    assert (result.exit_code, result.stderr) == (1, "project 'STUDY-A' has none of these\n")
    assert run(*delete, "--all", "--yes").stdout == "1 pseudonym is deleted\n"
    assert [row["project"] for row in listed(run)] == ["STUDY-B"]


def test_a_file_is_imported_as_a_whole(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes("Patient ID;Pseudonym;Clinic\nPID-1;PSN-1;Zürich\nPID-2;PSN-2;Genève\n".encode("cp1252"))
    options = ("--separator", ";", "--encoding", "cp1252", "--issuer-column", "Clinic", "--expires-in", "7 days")
    result = run("pseudonyms", "import", file, *A, *options, "--dry-run")
    columns = "Patient ID: column 1, pseudonym: column 2, issuer: column 3\n"
    assert (result.exit_code, result.stdout) == (0, f"{columns}2 pseudonyms would be stored; nothing was\n")
    assert listed(run) == []
    result = run("pseudonyms", "import", file, *A, *options)
    assert (result.exit_code, result.stdout) == (0, f"{columns}2 pseudonyms are stored in project 'STUDY-A'\n")
    assert [(row["patient_id"], row["pseudonym"], row["issuer"]) for row in listed(run)] == [
        ("PID-1", "PSN-1", "Zürich"),
        ("PID-2", "PSN-2", "Genève"),
    ]
    assert all(row["expires_at"] for row in listed(run))


def test_a_file_comes_from_standard_input_too(run: Run) -> None:
    result = run("pseudonyms", "import", "-", *A, "--separator", "\\t", text="PSN-1\tPID-1\n")
    assert result.exit_code == 0
    assert names(run) == ["PSN-1"]


def test_a_file_that_is_wrong_anywhere_is_told_wholly_and_not_imported(run: Run, tmp_path: Path) -> None:
    run("pseudonyms", "add", *A, *ADA)
    file = tmp_path / "list.csv"
    file.write_text("pseudonym,patient_id\nPSN-2,PID-2\nPSN-1,PID-3\nPSN-2,PID-4\n,PID-5\n")
    for dry_run in ((), ("--dry-run",)):
        result = run("pseudonyms", "import", file, *A, *dry_run)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines() == [
            "row 3: another patient has this pseudonym already: stored",
            "row 4: another patient has this pseudonym already: row 2",
            "row 5: the pseudonym is missing",
        ]
    file.write_text("pseudonym,patient_id\nPSN-2\n")
    result = run("pseudonyms", "import", file, *A)
    assert (result.exit_code, result.stderr) == (2, "row 2: has 1 columns; the Patient ID is column 2\n")
    assert names(run) == ["PSN-1"]


def test_what_is_stored_already_can_be_left_out(run: Run, tmp_path: Path) -> None:
    run("pseudonyms", "add", *A, *ADA)
    file = tmp_path / "list.csv"
    file.write_text("pseudonym,patient_id\nPSN-1,PID-1\nPSN-2,PID-2\n")
    assert run("pseudonyms", "import", file, *A).exit_code == 2
    result = run("pseudonyms", "import", file, *A, "--skip-stored")
    assert result.stdout.splitlines()[1:] == [
        "1 pseudonym is stored in project 'STUDY-A'",
        "1 other is stored already",
    ]


def test_what_failed_for_the_want_of_a_pseudonym_is_tried_again(run: Run, data: Path, tmp_path: Path) -> None:
    wait_for(data, *(patient_key("STUDY-A", f"PID-{number}") for number in (1, 2, 3)))
    file = tmp_path / "list.csv"
    file.write_text("PSN-2,PID-2\nPSN-9,PID-9\n")
    heard = threading.Event()
    with closing(open_database(None, data)) as db, closing(open_wakeups(db, data)) as wakeups:
        wakeups.subscribe(lambda topic: heard.set() if topic == "FORWARD/local" else None)
        assert "tried again" not in run("pseudonyms", "import", file, *A, "--dry-run").stdout
        assert states(data) == [State.FAILED] * 3
        result = run("pseudonyms", "add", *A, *ADA)
        assert result.stdout == "stored in project 'STUDY-A'; 1 delivery that failed is tried again\n"
        assert heard.wait(60)
        assert states(data) == [State.PENDING, State.FAILED, State.FAILED]
        run("pseudonyms", "import", file, *A)
        assert states(data) == [State.PENDING, State.PENDING, State.FAILED]
        run("pseudonyms", "add", "--project", "STUDY-B", "--pseudonym", "PSN-3", "--patient-id", "PID-3")
        number = str(listed(run, "--search", "PID-9")[0]["number"])
        assert states(data)[2] == State.FAILED
        run("pseudonyms", "edit", number, "--patient-id", "PID-3")
        assert states(data) == [State.PENDING] * 3


def test_everything_works_on_postgresql(run: Run, data: Path, tmp_path: Path, postgresql_url: str) -> None:
    with closing(open_database(postgresql_url, tmp_path)):
        pass
    on = ("--database", postgresql_url)
    assert run("apply", tmp_path / "karnak.yml", *on).exit_code == 0
    assert run("pseudonyms", "add", *A, *ADA, *on).exit_code == 0
    result = run("pseudonyms", "import", "-", *A, "--dry-run", *on, text="PSN-2,PID-2\n")
    assert result.exit_code == 0
    assert names(run, *on) == ["PSN-1"]
    assert run("pseudonyms", "find", "PSN-1", *on).exit_code == 0
    assert run("pseudonyms", "delete", *A, "--all", "--yes", *on).exit_code == 0
    assert names(run, *on) == []
