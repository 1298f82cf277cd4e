"""Against Orthanc with its DICOMweb plugin: what it stores arrives, once, with the data set it was sent with."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pydicom.data
import pytest
from scripted import MakeInstances, MakePart

from karnak_core.errors import DeliveryError, Permanent
from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_core.part10 import read_outgoing
from karnak_core.testing import (
    RunningOrthanc,
    dataset_bytes,
    dcmsend,
    free_port,
    missing,
    one_node,
    run_gateway,
    run_orthanc,
    wait_until,
)
from karnak_core.testing.waiting import program
from karnak_plugins.stow_dest import STOW
from karnak_plugins.stow_dest.client import Client
from karnak_plugins.stow_dest.query import has_instance

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[RunningOrthanc]:
    """An empty Orthanc that speaks DICOMweb."""
    if not Path(PLUGIN).exists():
        missing("Orthanc's DICOMweb plugin")
    with run_orthanc(tmp_path / "orthanc", Plugins=[PLUGIN], DicomWeb={"Enable": True}) as running:
        yield running


def url_of(orthanc: RunningOrthanc) -> str:
    return f"http://127.0.0.1:{orthanc.http_port}/dicom-web"


def bundled() -> list[Outgoing]:
    """Return pydicom's test data that is Part 10, one file of each SOP instance."""
    found: dict[str, Outgoing] = {}
    for name in sorted(pydicom.data.get_testdata_files("**/*.dcm")):
        with suppress(ValueError, OSError):
            outgoing = read_outgoing(Path(name))
            # what the data set says; the file meta information of some says otherwise
            uid = str(pydicom.dcmread(name, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID", outgoing.path))
            found.setdefault(uid, replace(outgoing, sop_instance_uid=uid))
    return list(found.values())


def kept(orthanc: RunningOrthanc) -> dict[str, str]:
    """Return SOP Instance UID -> Orthanc's name of what it has."""
    found = orthanc.get("/instances?expand")
    return {one["MainDicomTags"].get("SOPInstanceUID", ""): one["ID"] for one in found}


def stores(orthanc: RunningOrthanc, outgoing: Outgoing) -> bool:
    """Say whether Orthanc stores an instance that is all of a plain STOW-RS request."""
    body = b"--0b5e55ed\r\nContent-Type: application/dicom\r\n\r\n" + outgoing.path.read_bytes() + b"\r\n--0b5e55ed--"
    headers = {
        "Content-Type": "multipart/related; type=application/dicom; boundary=0b5e55ed",
        "Accept": "application/dicom+json",
    }
    before = len(orthanc.instances())
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(f"{url_of(orthanc)}/studies", body, headers), timeout=60).close()
    return len(orthanc.instances()) > before


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
def test_all_test_data_of_pydicom_that_orthanc_stores_arrives_as_it_is(
    orthanc: RunningOrthanc, make_part: MakePart, tmp_path: Path
) -> None:
    instances = bundled()
    able = [outgoing for outgoing in instances if stores(orthanc, outgoing)]
    assert len(able) > 50
    uids = kept(orthanc)
    orthanc.delete_all()
    answers = list(make_part(url_of(orthanc), timeout=60).send_batch(instances))
    assert Counter(id(outgoing) for outgoing, _ in answers) == Counter(map(id, instances))
    sent = {outgoing.sop_instance_uid: outgoing for outgoing, answer in answers if isinstance(answer, Sent)}
    assert set(sent) == {outgoing.sop_instance_uid for outgoing in able}
    assert kept(orthanc) == uids
    for uid, name in kept(orthanc).items():
        copy = tmp_path / "copy"
        copy.write_bytes(orthanc.file(name))
        if uid in sent:
            assert dataset_bytes(copy) == dataset_bytes(sent[uid].path), sent[uid].path.name
    refused = [answer for _, answer in answers if isinstance(answer, DeliveryError)]
    assert [type(answer) for answer in refused] == [Permanent] * len(refused)


def test_what_is_there_already_is_done(
    orthanc: RunningOrthanc, make_part: MakePart, make_instances: MakeInstances
) -> None:
    part = make_part(url_of(orthanc))
    instances = make_instances(5)
    for _ in range(2):
        assert all(isinstance(answer, Sent) for _, answer in part.send_batch(instances))
    assert len(orthanc.instances()) == 5


def test_qido_rs_finds_what_was_stored(
    orthanc: RunningOrthanc, make_part: MakePart, make_instances: MakeInstances
) -> None:
    there, away = make_instances(2)
    config = STOW.config(url=url_of(orthanc))
    make_part(url_of(orthanc)).send(there)
    client = Client(config, OpenContext(data_directory=Path()))
    assert has_instance(client, config.url, there)
    assert not has_instance(client, config.url, away)
    client.close()


def test_probe_says_what_it_saw(orthanc: RunningOrthanc, make_part: MakePart) -> None:
    assert "QIDO-RS is answered with HTTP 200" in make_part(url_of(orthanc)).probe()


class Killable:
    """An Orthanc that can be killed and started again, with the same ports and what it has stored."""

    def __init__(self, folder: Path) -> None:
        if not Path(PLUGIN).exists():
            missing("Orthanc's DICOMweb plugin")
        folder.mkdir()
        self.api = RunningOrthanc(free_port(), free_port(), "ORTHANC")
        self._file, self._log = folder / "orthanc.json", folder / "orthanc.log"
        keys = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "HttpPort": self.api.http_port,
            "DicomPort": self.api.port,
            "RemoteAccessAllowed": False,
        }
        self._file.write_text(json.dumps(keys))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [program("Orthanc", "Orthanc"), str(self._file)], stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._answers, 60, "Orthanc answers")

    def kill(self) -> None:
        """Kill it, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with suppress(OSError):
            self.api.get("/system")
            return True
        return False


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Killable]:
    """An Orthanc that runs."""
    orthanc = Killable(tmp_path / "killable")
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.kill()


@pytest.mark.slow
def test_2000_instances_arrive_once_while_orthanc_is_killed_and_started_again(
    killable: Killable, tmp_path: Path, make_instances: MakeInstances
) -> None:
    instances = make_instances(2000)
    paths = [outgoing.path for outgoing in instances]
    destination = {"name": "cloud", "type": "stow", "url": url_of(killable.api), "retry_first": 0.2, "retry_longest": 1}
    with run_gateway(one_node(destination), tmp_path / "data") as gateway:
        dcmsend(gateway.port, *paths[:1000]).check_returncode()
        gateway.wait_until(lambda: len(gateway.deliveries(state="sent")) > 200, 60)
        killable.kill()
        dcmsend(gateway.port, *paths[1000:]).check_returncode()
        gateway.wait_until(lambda: gateway.destination("cloud")["state"] == "unreachable", 60)
        assert len(gateway.deliveries(state="sent")) < 2000
        killable.start()
        rows = gateway.wait_until_settled(2000, 200)
        assert Counter(row["state"] for row in rows) == {"sent": 2000}
    there = kept(killable.api)
    assert set(there) == {outgoing.sop_instance_uid for outgoing in instances}
    assert len(killable.api.instances()) == 2000
    for outgoing in instances[::400]:
        copy = tmp_path / "copy"
        copy.write_bytes(killable.api.file(there[outgoing.sop_instance_uid]))
        assert dataset_bytes(copy) == dataset_bytes(outgoing.path)
