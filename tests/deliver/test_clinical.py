"""The clinical log: who each de-identified instance was, in a file of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from karnak_core.config.models import ClinicalLog as ConfiguredLog
from karnak_core.deliver.clinical import ClinicalLog, append
from karnak_core.model import Delivery, Instance, Outcome, Outgoing, State

INSTANCE = Instance(
    id=1,
    forward_node="FORWARD",
    calling_ae_title="CT1",
    peer_host="127.0.0.1",
    received_at=0,
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    sop_instance_uid="1.1.1",
    study_instance_uid="1.1",
    series_instance_uid="1.1.0",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    path=Path("nothing"),
    dataset_offset=132,
    size=1,
    facts={"PatientID": "Müller-1"},
)
DELIVERY = Delivery(id=1, destination="pacs", instance=INSTANCE, attempts=0, created_at=0, since=0)
SENT = Outcome(
    state=State.SENT,
    outgoing=Outgoing(
        path=Path("nothing"),
        dataset_offset=132,
        size=1,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="2.25.3",
        study_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        facts={"PatientID": "PSEUDO"},
    ),
)


def log(path: Path, max_bytes: int = 1 << 20, backups: int = 3) -> ClinicalLog:
    return ClinicalLog(
        path=path,
        max_bytes=max_bytes,
        backups=backups,
        project="STUDY",
        profile="research",
        codenames=("action.on.specific.tags", "basic.dicom.profile"),
        default_issuer="HOSPITAL",
    )


def test_a_line_says_which_instance_was_which_and_by_what(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "clinical.log"
    log(path).note([(DELIVERY, SENT), (DELIVERY, Outcome(state=State.FAILED, reason="no"))])
    (line,) = path.read_text("utf-8").splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "forward_node": "FORWARD",
        "destination": "pacs",
        "state": "sent",
        "project": "STUDY",
        "profile": "research",
        "profile_codenames": ["action.on.specific.tags", "basic.dicom.profile"],
        "issuer_of_patient_id": "HOSPITAL",
        "patient_id": "Müller-1",
        "sent_patient_id": "PSEUDO",
        "study_instance_uid": "1.1",
        "sent_study_instance_uid": "2.25.1",
        "series_instance_uid": "1.1.0",
        "sent_series_instance_uid": "2.25.2",
        "sop_instance_uid": "1.1.1",
        "sent_sop_instance_uid": "2.25.3",
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_made_while_nothing_was_sent(tmp_path: Path) -> None:
    log(tmp_path / "clinical.log").note([(DELIVERY, Outcome(state=State.PENDING, not_before=1))])
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_logged_once_and_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "clinical.log"
    path.mkdir()
    found = log(path)
    found.note([(DELIVERY, SENT)])
    found.note([(DELIVERY, SENT)])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "Müller" not in caplog.text
    path.rmdir()
    found.note([(DELIVERY, SENT)])
    assert len(path.read_text().splitlines()) == 1
    assert "is written again" in caplog.text


def test_processes_and_threads_write_whole_lines_and_lose_none_when_files_are_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "clinical.log"
    program = (
        "import sys; from pathlib import Path; from karnak_core.deliver.clinical import append\n"
        "for n in range(200): append(Path(sys.argv[1]), f'{sys.argv[2]} {n} {\"x\" * 50}\\n'.encode(), 4096, 100)"
    )
    others = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in "ab"]

    def write(name: str) -> None:
        for n in range(200):
            append(path, f"{name} {n} {'x' * 50}\n".encode(), 4096, 100)

    threads = [threading.Thread(target=write, args=(name,)) for name in "cd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    files = [one for one in tmp_path.iterdir() if not one.name.endswith(".lock")]
    lines = [line for one in files for line in one.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{name} {n} {'x' * 50}" for name in "abcd" for n in range(200))
    assert all(one.stat().st_size <= 4096 for one in files)
    assert len(files) > 10


def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "clinical.log"
    for number in range(10):
        append(path, f"{number}{'x' * 600}\n".encode(), 1024, 2)
    assert [one.read_text()[0] for one in (path, *(tmp_path / f"clinical.log.{n}" for n in (1, 2)))] == ["9", "8", "7"]
    assert {one.name for one in tmp_path.iterdir()} == {
        "clinical.log", "clinical.log.1", "clinical.log.2", "clinical.log.lock",
    }  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error_that_leaves_nothing_half(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "clinical.log").symlink_to("/dev/full")
    log(tmp_path / "clinical.log").note([(DELIVERY, SENT)])
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    "file", ["karnak.db", "karnak.db-wal", "spool/x", "secret.key", "../clinical.log", "logs/", "a\nb", ".", ""]
)
def test_it_is_never_written_over_what_karnak_keeps(file: str) -> None:
    with pytest.raises(ValidationError):
        ConfiguredLog(file=file)


@pytest.mark.parametrize("file", ["clinical.log", "logs/clinical.log", "/var/log/karnak/clinical.log"])
def test_it_may_stand_anywhere_else(file: str) -> None:
    assert ConfiguredLog(file=file).file == file
