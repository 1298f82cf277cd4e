"""De-identification and tag morphing in a gateway that runs: what arrives, what is held back, and what goes on."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from karnak_core.deidentify import Hasher
from karnak_core.testing import (
    RunningGateway,
    RunningStoreSCP,
    Stored,
    make_dataset,
    make_file,
    run_gateway,
    run_store_scp,
    send,
    wait_until,
)

SECRET = "0123456789abcdef0123456789abcdef"
HASHER = Hasher(bytes.fromhex(SECRET))
MORPHING = {
    "name": "morph",
    "version": "1",
    "profileElements": [
        {
            "name": "institution",
            "codename": "expression.on.tags",
            "arguments": {"expr": "Replace('Elsewhere')"},
            "tags": ["(0008,0080)"],
        },
        {"name": "description", "codename": "action.on.specific.tags", "action": "X", "tags": ["(0008,1030)"]},
    ],
}
KEEPS_UIDS = {
    "name": "keeps",
    "version": "1",
    "profileElements": [
        {
            "name": "UIDs",
            "codename": "action.on.specific.tags",
            "action": "K",
            "tags": ["(0020,000D)", "(0020,000E)", "(0008,0018)"],
        },
        {
            "name": "no localizer",
            "codename": "expression.on.tags",
            "arguments": {"expr": "stringValue == 'LOCALIZER' ? ExcludeInstance() : null"},
            "tags": ["(0008,0008)"],
        },
        {"name": "basic", "codename": "basic.dicom.profile"},
    ],
}
LEAKY = {
    "name": "leaky",
    "version": "1",
    "profileElements": [
        {"name": "all comments", "codename": "action.on.specific.tags", "action": "K", "tags": ["(0010,4000)"]},
        {"name": "basic", "codename": "basic.dicom.profile"},
    ],
}


def deidentified(project: str, pseudonym: Any = None, **keys: Any) -> dict[str, Any]:
    source = {} if pseudonym is None else {"pseudonym": pseudonym}
    return {"de_identification": {"project": project, **source, **keys}}


@pytest.fixture(scope="module")
def peer() -> Iterator[RunningStoreSCP]:
    with run_store_scp() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, peer: RunningStoreSCP) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("deidentified")
    for profile in (MORPHING, KEEPS_UIDS, LEAKY):
        (folder / f"{profile['name']}.yml").write_text(yaml.safe_dump(profile, sort_keys=False))
    by_subject = {"type": "tag", "tag": "(0012,0040)"}

    def node(ae_title: str, **keys: Any) -> dict[str, Any]:
        peer_keys = {
            "type": "dicom",
            "ae_title": "PEER",
            "hostname": "127.0.0.1",
            "port": peer.port,
            "retry_first": 0.2,
        }
        return {"ae_title": ae_title, "destinations": [{"name": "peer", **peer_keys, **keys}]}

    configuration = {
        "clinical_log": {"file": "logs/clinical.log"},
        "profiles": [f"{name}.yml" for name in ("morph", "keeps", "leaky")],
        "projects": [
            {"name": "STUDY-A", "profile": "Dicom Basic Profile", "secret": SECRET},
            {"name": "MORPH", "profile": "morph"},
            {"name": "KEEPS", "profile": "keeps", "secret": SECRET},
            {"name": "LEAKY", "profile": "leaky", "secret": SECRET},
        ],
        "forward_nodes": [
            node("BASIC", **deidentified("STUDY-A", by_subject)),
            node("STORED", **deidentified("STUDY-A")),
            node("MORPH", tag_morphing={"project": "MORPH"}),
            node("KEEPS", **deidentified("KEEPS", by_subject)),
            node("LEAKY", **deidentified("LEAKY", by_subject)),
            node("TRUSTING", **deidentified("LEAKY", by_subject, leak_check=False)),
            {
                "ae_title": "FOLDER",
                "destinations": [
                    {
                        "name": "folder",
                        "type": "folder",
                        "directory": str(folder / "out"),
                        "pattern": "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm",
                        **deidentified("STUDY-A", by_subject),
                    }
                ],
            },
        ],
    }
    with run_gateway(configuration, folder / "data") as running:
        yield running


def sent(gateway: RunningGateway, node: str, path: Path, state: str = "sent") -> dict[str, Any]:
    """Send a file to a node, wait for what becomes of it, and return the delivery."""
    assert send(gateway.port, [path], called=node) == [0x0000]
    uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)

    def ended() -> dict[str, Any] | None:
        rows = gateway.deliveries(sop_instance_uid=uid, forward_node=node)
        return rows[-1] if rows and rows[-1]["state"] not in ("pending", "leased") else None

    row = gateway.wait_until(ended)
    assert row is not None
    assert (row["state"], row["reason"] if row["state"] != state else "") == (state, "")
    return row


def arrivals(peer: RunningStoreSCP, row: dict[str, Any]) -> list[Dataset]:
    """Return what the peer got of a delivery."""
    return [read(one) for one in peer.stored if one.sop_instance_uid == row["sent_sop_instance_uid"]]


def read(stored: Stored) -> Dataset:
    syntax = UID(stored.transfer_syntax_uid)
    ds = dcmread_of(stored.dataset, syntax)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def dcmread_of(encoded: bytes, syntax: UID) -> Dataset:
    return read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)


def arrived(peer: RunningStoreSCP, row: dict[str, Any]) -> Dataset:
    (found,) = arrivals(peer, row)
    return found


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.1"]
)
def test_what_arrives_has_the_pseudonym_and_nothing_of_the_patient(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path, syntax: str
) -> None:
    ds = make_dataset(
        transfer_syntax_uid=syntax,
        PatientID="HOSPITAL-4711",
        PatientName="Moreau^Anne",
        AccessionNumber="ACC-99123",
        ClinicalTrialSubjectID="PSN12345",
        StudyDescription="Moreau, Anne: follow-up",
    )
    path = tmp_path / "Moreau_Anne.dcm"
    ds.save_as(path, enforce_file_format=True)
    row = sent(gateway, "BASIC", path)
    found = arrived(peer, row)
    # what the Java Karnak makes of this secret and pseudonym
    assert found.PatientID == HASHER.patient_id("PSN12345") == "A2793195907FCDDB2B71AF7207DE83B5"
    assert found.PatientName == "PSN12345"
    assert found.SOPInstanceUID == HASHER.uid(ds.SOPInstanceUID) == row["sent_sop_instance_uid"]
    assert found.StudyInstanceUID == HASHER.uid(ds.StudyInstanceUID) == row["sent_study_instance_uid"]
    assert found.SeriesInstanceUID == HASHER.uid(ds.SeriesInstanceUID) == row["sent_series_instance_uid"]
    assert found.ClinicalTrialSponsorName == "STUDY-A"
    assert found.pixel_array.tolist() == ds.pixel_array.tolist()
    text = str(found)
    assert not [word for word in ("Moreau", "4711", "99123", ds.SOPInstanceUID, ds.StudyInstanceUID) if word in text]
    assert row["sop_instance_uid"] == ds.SOPInstanceUID


def test_an_instance_without_a_pseudonym_is_kept_and_goes_out_when_one_is_stored(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path
) -> None:
    path = make_file(tmp_path, PatientID="WAITS-1")
    row = sent(gateway, "STORED", path, state="failed")
    assert row["reason"] == "no pseudonym is stored in project 'STUDY-A' for this patient"
    gateway.run("pseudonyms", "add", "--project", "STUDY-A", "--patient-id", "WAITS-1", "--pseudonym", "PSN-W1")
    gateway.wait_until(lambda: gateway.deliveries(ids=(row["id"],))[0]["state"] == "sent")
    assert arrived(peer, gateway.deliveries(ids=(row["id"],))[0]).PatientName == "PSN-W1"


def test_tag_morphing_changes_what_the_profile_says_and_keeps_the_patient(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path
) -> None:
    path = make_file(tmp_path, InstitutionName="Here", PatientID="KEPT-1")
    row = sent(gateway, "MORPH", path)
    found = arrived(peer, row)
    assert (found.PatientID, found.InstitutionName, "StudyDescription" in found) == ("KEPT-1", "Elsewhere", False)
    assert row["sent_sop_instance_uid"] == row["sop_instance_uid"]


def test_uids_that_the_profile_keeps_are_no_leak(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path
) -> None:
    path = make_file(tmp_path, ClinicalTrialSubjectID="PSN-K", PatientID="KEEP-UIDS-1")
    row = sent(gateway, "KEEPS", path)
    assert row["sent_sop_instance_uid"] == row["sop_instance_uid"]
    assert arrived(peer, row).PatientName == "PSN-K"


def test_what_the_profile_excludes_is_excluded_with_its_rule(gateway: RunningGateway, tmp_path: Path) -> None:
    path = make_file(tmp_path, ClinicalTrialSubjectID="PSN-X", ImageType="LOCALIZER")
    row = sent(gateway, "KEEPS", path, state="excluded")
    assert row["reason"] == "Instance excluded by profile: no localizer"


def test_a_leak_holds_the_instance_back_and_names_the_tag_alone(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path
) -> None:
    before = len(peer.stored)
    path = make_file(
        tmp_path,
        PatientName="Okonkwo^Chidi",
        ClinicalTrialSubjectID="PSN-L",
        PatientComments="Mr. Okonkwo was seen today",
    )
    row = sent(gateway, "LEAKY", path, state="failed")
    assert row["reason"].startswith("leak check: ")
    assert "(0010,4000)" in row["reason"]
    assert "Okonkwo" not in row["reason"]
    assert len(peer.stored) == before
    trusted = sent(gateway, "TRUSTING", path)
    assert "Okonkwo" in arrived(peer, trusted).PatientComments


def test_a_pseudonym_that_holds_the_patient_id_holds_the_instance_back(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path
) -> None:
    before = len(peer.stored)
    for pseudonym in ("HOSPITAL-7801", "P HOSPITAL-7801"):
        path = make_file(tmp_path, PatientID="HOSPITAL-7801", ClinicalTrialSubjectID=pseudonym)
        row = sent(gateway, "BASIC", path, state="failed")
        assert row["reason"] == "leak check: the received Patient ID stands in (0010,0010) (and 1 more)"
    assert len(peer.stored) == before


def test_a_data_set_without_a_patient_id_is_held_back(gateway: RunningGateway, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientID=None, ClinicalTrialSubjectID="PSN-N")
    row = sent(gateway, "BASIC", path, state="failed")
    assert row["reason"] == "the data set has no Patient ID (0010,0020)"


def test_file_names_are_made_of_what_goes_out(gateway: RunningGateway, tmp_path: Path) -> None:
    path = make_file(tmp_path, ClinicalTrialSubjectID="PSN-F", PatientID="FILE-NAME-1")
    row = sent(gateway, "FOLDER", path)
    folder = Path(gateway.configuration["forward_nodes"][-1]["destinations"][0]["directory"])
    written = [one for one in folder.rglob("*.dcm") if one.stem == row["sent_sop_instance_uid"]]
    assert [one.parts[-3:-1] for one in written] == [(HASHER.patient_id("PSN-F"), row["sent_study_instance_uid"])]
    assert pydicom.dcmread(written[0]).file_meta.MediaStorageSOPInstanceUID == row["sent_sop_instance_uid"]


def test_a_second_attempt_sends_the_same_bytes(gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path) -> None:
    answers = [0xA700]
    usual, peer.answer = peer.answer, lambda _stored: answers.pop() if answers else 0x0000
    try:
        path = make_file(tmp_path, ClinicalTrialSubjectID="PSN-R", PatientID="AGAIN-1")
        row = sent(gateway, "BASIC", path)
    finally:
        peer.answer = usual
    first, second = (one.dataset for one in peer.stored if one.sop_instance_uid == row["sent_sop_instance_uid"])
    assert first == second


def test_a_running_gateway_follows_a_changed_profile(
    gateway: RunningGateway, peer: RunningStoreSCP, tmp_path: Path
) -> None:
    before = gateway.configuration
    changed = copy.deepcopy(before)
    profile = copy.deepcopy(MORPHING)
    profile["profileElements"][0]["arguments"]["expr"] = "Replace('Nowhere')"
    changed["profiles"][0] = {"text": yaml.safe_dump(profile, sort_keys=False)}
    try:
        gateway.apply(changed)
        number = 0

        def followed() -> bool:
            nonlocal number
            number += 1
            path = make_file(tmp_path, InstitutionName="Here", PatientID=f"FOLLOW-{number}")
            return bool(arrived(peer, sent(gateway, "MORPH", path)).InstitutionName == "Nowhere")

        wait_until(followed, what="the profile is followed")
    finally:
        gateway.apply(before)


def test_a_generated_secret_is_kept_and_shown_to_nobody(gateway: RunningGateway) -> None:
    listed = json.dumps(json.loads(gateway.run("projects", "list", "--json").stdout.splitlines()[0]))
    assert SECRET not in listed.replace("-", "")
    exported = gateway.run("export").stdout
    assert SECRET not in exported.replace("-", "")


def test_uids_are_the_same_in_every_process_and_run(gateway: RunningGateway, tmp_path: Path) -> None:
    uid = generate_uid()
    path = make_file(tmp_path, ClinicalTrialSubjectID="PSN-S", SOPInstanceUID=uid, PatientID="SAME-1")
    assert sent(gateway, "BASIC", path)["sent_sop_instance_uid"] == HASHER.uid(uid)


def test_the_clinical_log_says_who_was_de_identified_and_no_other_log_does(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    patient = "CLINICAL-8123"
    elements = {"PatientID": patient, "IssuerOfPatientID": "EAST", "ClinicalTrialSubjectID": "PSN-8"}
    row = sent(gateway, "BASIC", make_file(tmp_path, **elements))
    sent(gateway, "MORPH", make_file(tmp_path, **elements))
    path = gateway.data / "logs" / "clinical.log"
    lines = gateway.wait_until(
        lambda: path.exists() and [line for line in path.read_text("utf-8").splitlines() if patient in line]
    )
    # what was only morphed is still the patient's
    (line,) = map(json.loads, lines)
    assert (line["forward_node"], line["destination"], line["state"]) == ("BASIC", "peer", "sent")
    assert (line["project"], line["profile"]) == ("STUDY-A", "Dicom Basic Profile")
    assert line["profile_codenames"] == ["basic.dicom.profile"]
    assert (line["issuer_of_patient_id"], line["patient_id"]) == ("EAST", patient)
    assert line["sent_patient_id"] not in ("", patient)
    assert line["sop_instance_uid"] == row["sop_instance_uid"]
    assert line["sent_sop_instance_uid"] == row["sent_sop_instance_uid"] != row["sop_instance_uid"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert patient not in gateway.log.read_text()
