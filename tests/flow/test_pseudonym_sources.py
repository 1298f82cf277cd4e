"""Pseudonyms in a gateway that runs: from a web service, and imported while instances come in."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lookups"))

from web_service import Answer, Asked, Service, serving

from karnak_core.testing import RunningGateway, make_file, run_gateway, send

SECRET = "0123456789abcdef0123456789abcdef"
PROFILE = """\
name: asks
version: "1"
profileElements:
  - name: name of the institution
    codename: action.replace.api
    arguments:
      url: "{url}/institutions/{{{{getString(#Tag.InstitutionName)}}}}"
      responsePath: /name
      authConfig: registry
    tags: ["(0008,0080)"]
  - name: basic
    codename: basic.dicom.profile
"""


class Registry:
    """Answers as the test says; else it knows every patient and institution."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.status = 200
        service.answer = self._answer

    def _answer(self, _number: int, asked: Asked) -> Answer:
        if self.status != 200:
            return Answer.of({}, self.status)
        if asked.path.startswith("/patients/"):
            patient_id = asked.path.rsplit("/", 1)[1]
            return Answer.of(
                {} if patient_id == "UNKNOWN" else {"pseudonym": f"PSN-{len(patient_id)}-{patient_id[-1]}"}
            )
        return Answer.of({"name": "HOSPITAL 1"})


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with serving() as service:
        yield Registry(service)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "asks.yml").write_text(PROFILE.format(url=registry.service.url))
    api = {
        "type": "api",
        "url": registry.service.url + "/patients/{{getString(#Tag.PatientID)}}",
        "response_path": "/pseudonym",
        "authenticator": "registry",
        "keep_answers": 0,
    }

    def node(ae_title: str, project: str, pseudonym: dict[str, Any]) -> dict[str, Any]:
        destination = {
            "name": "local",
            "type": "folder",
            "directory": str(folder / ae_title),
            "pattern": "{SOPInstanceUID}.dcm",
            "retry_first": 0.2,
            "de_identification": {"project": project, "pseudonym": pseudonym},
        }
        return {"ae_title": ae_title, "destinations": [destination]}

    configuration = {
        "authenticators": {"registry": {"type": "oauth2", "token": "t0ken"}},
        "profiles": ["asks.yml"],
        "projects": [
            {"name": "STUDY-A", "profile": "Dicom Basic Profile", "secret": SECRET},
            {"name": "STUDY-B", "profile": "asks", "secret": SECRET},
        ],
        "forward_nodes": [
            node("API", "STUDY-A", api),
            node("ASKS", "STUDY-B", api),
            node("STORED", "STUDY-A", {"type": "stored"}),
        ],
    }
    with run_gateway(configuration, folder / "data") as running:
        yield running


def ended(gateway: RunningGateway, path: Path) -> dict[str, Any]:
    """Return a delivery that waits for nothing but a person."""

    def found() -> dict[str, Any] | None:
        rows = gateway.deliveries(sop_instance_uid=path.stem)
        return rows[0] if rows and rows[0]["state"] not in ("pending", "leased") else None

    row = gateway.wait_until(found)
    assert row is not None
    return row


def written(gateway: RunningGateway, node: str, row: dict[str, Any]) -> pydicom.Dataset:
    """Return what went out."""
    return pydicom.dcmread(gateway.data.parent / node / f"{row['sent_sop_instance_uid']}.dcm")


def test_a_web_service_gives_the_pseudonym(gateway: RunningGateway, registry: Registry, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientID="HOSPITAL 4711")
    assert send(gateway.port, [path], called="API") == [0x0000]
    row = ended(gateway, path)
    assert (row["state"], row["reason"]) == ("sent", "")
    assert written(gateway, "API", row).PatientName == "PSN-15-1"
    asked = registry.service.asked[-1]
    assert (asked.path, asked.headers["Authorization"]) == ("/patients/HOSPITAL%204711", "Bearer t0ken")


def test_a_patient_that_the_service_does_not_know_is_kept(gateway: RunningGateway, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientID="UNKNOWN")
    assert send(gateway.port, [path], called="API") == [0x0000]
    row = ended(gateway, path)
    assert row["state"] == "failed"
    assert row["reason"].endswith("has nothing at /pseudonym")


def test_a_service_that_is_down_is_waited_for(gateway: RunningGateway, registry: Registry, tmp_path: Path) -> None:
    registry.status = 503
    path = make_file(tmp_path, PatientID="HOSPITAL 4712")
    assert send(gateway.port, [path], called="API") == [0x0000]
    gateway.wait_until(lambda: gateway.deliveries(sop_instance_uid=path.stem)[0]["attempts"] >= 1)
    (row,) = gateway.deliveries(sop_instance_uid=path.stem)
    assert "HTTP 503" in row["reason"]
    assert "4712" not in row["reason"]
    registry.status = 200
    assert ended(gateway, path)["state"] == "sent"


def test_a_profile_asks_a_web_service_with_an_authenticator(
    gateway: RunningGateway, registry: Registry, tmp_path: Path
) -> None:
    path = make_file(tmp_path, PatientID="HOSPITAL 4713", InstitutionName="Clinic/One")
    assert send(gateway.port, [path], called="ASKS") == [0x0000]
    row = ended(gateway, path)
    assert (row["state"], row["reason"]) == ("sent", "")
    assert written(gateway, "ASKS", row).InstitutionName == "HOSPITAL 1"
    asked = [one for one in registry.service.asked if one.path == "/institutions/Clinic%2FOne"]
    assert [one.headers["Authorization"] for one in asked] == ["Bearer t0ken"]


def test_nothing_stays_behind_where_pseudonyms_are_imported_while_instances_come_in(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    paths = [make_file(tmp_path, PatientID=f"MEANWHILE {number}") for number in range(40)]
    files = []
    for start in range(0, 40, 20):
        file = tmp_path / f"{start}.csv"
        file.write_text("".join(f"PSN {number},MEANWHILE {number}\n" for number in range(start, start + 20)))
        files.append(file)

    def store() -> None:
        for file in files:
            gateway.run("pseudonyms", "import", str(file), "--project", "STUDY-A")

    thread = threading.Thread(target=store)
    thread.start()
    assert send(gateway.port, paths, called="STORED") == [0x0000] * 40
    thread.join(60)
    wanted = {path.stem for path in paths}

    def sent() -> bool:
        rows = gateway.deliveries(forward_node="STORED", state="sent")
        return wanted <= {row["sop_instance_uid"] for row in rows}

    gateway.wait_until(sent)
