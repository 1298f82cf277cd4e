"""Pixels in a gateway that runs: masked, defaced, or held; never what was received where it had to be cleaned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import yaml
from pydicom import Dataset
from pydicom.encaps import encapsulate

from karnak_core.testing import RunningGateway, make_file, run_gateway, send

US = "1.2.840.10008.5.1.4.1.1.6.1"
PROFILE = {
    "name": "pixels",
    "version": "1",
    "profileElements": [
        {"name": "masks", "codename": "clean.pixel.data"},
        {"name": "faces", "codename": "clean.recognizable.visual.features"},
        {"name": "basic", "codename": "basic.dicom.profile"},
    ],
    "masks": [{"stationName": "US1", "color": "ffff00", "rectangles": ["2 3 20 10"]}],
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("cleaned")
    (folder / "pixels.yml").write_text(yaml.safe_dump(PROFILE, sort_keys=False))
    destination = {"name": "folder", "type": "folder", "directory": str(folder / "out")}
    by_tag = {"project": "PIXELS", "pseudonym": {"type": "tag", "tag": "(0012,0040)"}}
    configuration = {
        "profiles": ["pixels.yml"],
        "projects": [{"name": "PIXELS", "profile": "pixels", "secret": "0123456789abcdef0123456789abcdef"}],
        "forward_nodes": [
            {
                "ae_title": "CLEAN",
                "destinations": [
                    {**destination, "pattern": "{SOPInstanceUID}.dcm", "de_identification": by_tag},
                ],
            },
        ],
    }
    with run_gateway(configuration, folder / "data") as running:
        yield running


def delivered(gateway: RunningGateway, path: Path) -> dict[str, Any]:
    """Send a file, wait for what becomes of it, and return the delivery."""
    assert send(gateway.port, [path], called="CLEAN") == [0x0000]
    uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)

    def ended() -> dict[str, Any] | None:
        rows = gateway.deliveries(sop_instance_uid=uid)
        return rows[-1] if rows and rows[-1]["state"] not in ("pending", "leased") else None

    row = gateway.wait_until(ended)
    assert row is not None
    return row


def arrived(gateway: RunningGateway, row: dict[str, Any]) -> Dataset:
    assert row["state"] == "sent", row["reason"]
    (path,) = gateway.data.parent.glob(f"out/**/{row['sent_sop_instance_uid']}.dcm")
    return pydicom.dcmread(path)


def ultrasound(folder: Path, **elements: Any) -> Path:
    given = {"StationName": "US1", "Modality": "US", "SOPClassUID": US, **elements}
    return make_file(folder, ClinicalTrialSubjectID="PSN-77123", **given)


def test_ultrasound_arrives_masked(gateway: RunningGateway, tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype("u1")
    path = ultrasound(
        tmp_path,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        BurnedInAnnotation="YES",
        PixelData=frame.tobytes(),
    )
    found = arrived(gateway, delivered(gateway, path))
    assert (found.BurnedInAnnotation, found.PatientName) == ("NO", "PSN-77123")
    assert [item.CodeValue for item in found.DeidentificationMethodCodeSequence] == ["113101", "113100"]
    frame[3:13, 2:22] = (255, 255, 0)
    assert (found.pixel_array == frame).all()


def test_head_arrives_without_its_face_and_the_same_each_time(gateway: RunningGateway, tmp_path: Path) -> None:
    hounsfield = np.where(np.mgrid[:64, :64][0] > 12, 40, -1000) + np.mgrid[:64, :64][1]
    path = make_file(
        tmp_path,
        ClinicalTrialSubjectID="PSN-77123",
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[1, 1],
        RescaleSlope=1,
        RescaleIntercept=-1024,
        PixelData=(hounsfield + 1024).astype("u2").tobytes(),
    )
    found = arrived(gateway, delivered(gateway, path))
    assert found.RecognizableVisualFeatures == "NO"
    assert [item.CodeValue for item in found.DeidentificationMethodCodeSequence] == ["113102", "113100"]
    frame = found.pixel_array
    assert (frame[:12, 8:56] > 1000).all()  # no air before the skin any more
    assert (frame[40:] == hounsfield[40:] + 1024).all()
    again = arrived(gateway, delivered(gateway, path))
    assert (again.pixel_array == frame).all()


@pytest.mark.parametrize(
    ("syntax", "elements", "reason"),
    [
        ("1.2.840.10008.1.2.1", {"StationName": "US2"}, "has no mask for the station"),
        ("1.2.840.10008.1.2.4.102", {}, "decoded"),
        ("1.2.840.10008.1.2.4.92", {}, "decoded"),
        ("1.2.840.10008.1.2.4.50", {}, ""),
    ],
)
def test_what_cannot_be_cleaned_is_failed_and_kept(
    gateway: RunningGateway, tmp_path: Path, syntax: str, elements: dict[str, Any], reason: str
) -> None:
    if syntax != "1.2.840.10008.1.2.1":
        elements = {**elements, "PixelData": encapsulate([b"\xff\xd8\xff" + bytes(61)])}
    path = ultrasound(tmp_path, transfer_syntax_uid=syntax, **elements)
    row = delivered(gateway, path)
    assert row["state"] == "failed"
    assert reason in row["reason"]
    assert row["reason"]
