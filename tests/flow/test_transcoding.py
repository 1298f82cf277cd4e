"""Pixels in the transfer syntax that a destination wants, or that its peer takes: what arrives decodes to the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from karnak_core.testing import (
    RunningGateway,
    RunningStoreSCP,
    Stored,
    make_dataset,
    make_file,
    run_gateway,
    run_store_scp,
    send,
)
from karnak_core.testing.waiting import program

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, RunningStoreSCP]]:
    with ExitStack() as stack:
        yield {
            "any": stack.enter_context(run_store_scp()),
            "plain": stack.enter_context(run_store_scp(transfer_syntaxes=[ExplicitVRLittleEndian])),
            "implicit": stack.enter_context(run_store_scp(transfer_syntaxes=[ImplicitVRLittleEndian])),
            "rle": stack.enter_context(run_store_scp(transfer_syntaxes=[RLELossless])),
        }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, peers: dict[str, RunningStoreSCP]) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("transcoding")

    def node(ae_title: str, peer: str, **keys: Any) -> dict[str, Any]:
        return {
            "ae_title": ae_title,
            "destinations": [{"name": "peer", **peers[peer].destination, "retry_first": 0.2, **keys}],
        }

    configuration = {
        "projects": [{"name": "P", "profile": "Dicom Basic Profile", "secret": SECRET}],
        "forward_nodes": [
            node("KEEP", "any"),
            node("KEEPPLAIN", "plain"),
            node("KEEPIMPLICIT", "implicit"),
            node("KEEPRLE", "rle"),
            node("JPEGLS", "any", transfer_syntax="JPEGLSLossless"),
            node("JPEGLSALL", "any", transfer_syntax="JPEGLSLossless", transcode_only_uncompressed=False),
            node("JPEGLSPLAIN", "plain", transfer_syntax="JPEGLSLossless"),
            node("EXPLICIT", "any", transfer_syntax="ExplicitVRLittleEndian"),
            node("BASELINE", "any", transfer_syntax="JPEGBaseline8Bit"),
            node("BASELINEPLAIN", "plain", transfer_syntax="JPEGBaseline8Bit"),
            node(
                "DEID",
                "any",
                transfer_syntax="JPEG2000Lossless",
                de_identification={"project": "P", "pseudonym": {"type": "tag", "tag": "(0012,0040)"}},
            ),
        ],
    }
    with run_gateway(configuration, folder / "data") as running:
        yield running


def through(gateway: RunningGateway, node: str, path: Path, state: str = "sent") -> dict[str, Any]:
    """Send a file to a node, wait for what becomes of it, and return the delivery."""
    assert send(gateway.port, [path], called=node) == [0x0000]
    uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)

    def ended() -> dict[str, Any] | None:
        rows = gateway.deliveries(sop_instance_uid=uid, forward_node=node)
        return rows[-1] if rows and rows[-1]["state"] not in ("pending", "leased") else None

    row = gateway.wait_until(ended)
    assert row is not None
    assert row["state"] == state, row["reason"]
    return row


def arrived(peer: RunningStoreSCP, row: dict[str, Any]) -> Dataset:
    stored = [one for one in peer.stored if one.sop_instance_uid == row["sent_sop_instance_uid"]]
    return read(stored[-1])


def read(stored: Stored) -> Dataset:
    syntax = UID(stored.transfer_syntax_uid)
    ds = read_dataset(BytesIO(stored.dataset), syntax.is_implicit_VR, syntax.is_little_endian)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def make_ct(folder: Path, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> Path:
    """Write a CT with something to see, of 12 bits."""
    frame = (np.add.outer(np.arange(64), np.arange(64)) * 17 % 4096).astype(">u2" if syntax.endswith(".2") else "<u2")
    ds = make_dataset(transfer_syntax_uid=syntax, PixelData=frame.tobytes(), **elements)
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def compressed(folder: Path, name: str = "CT_small.dcm", syntax: UID = JPEG2000Lossless, **elements: Any) -> Path:
    """Write a new instance with the pixels of a file, compressed without losses."""
    ds = pydicom.dcmread(get_testdata_file(name))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.compress(syntax, generate_instance_uid=False)
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_uncompressed_pixels_go_out_compressed_and_decode_to_the_same(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path, syntax: str
) -> None:
    path = make_ct(tmp_path, syntax)
    row = through(gateway, "JPEGLS", path)
    found = arrived(peers["any"], row)
    assert found.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert (found.pixel_array == pydicom.dcmread(path).pixel_array).all()
    assert row["sent_sop_instance_uid"] == row["sop_instance_uid"]
    assert "LossyImageCompression" not in found


def test_compressed_pixels_stay_as_they_are_where_only_uncompressed_ones_are_transcoded(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = compressed(tmp_path)
    found = arrived(peers["any"], through(gateway, "JPEGLS", path))
    assert found.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert found.PixelData == pydicom.dcmread(path).PixelData


def test_compressed_pixels_are_transcoded_where_that_is_wanted(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = compressed(tmp_path)
    found = arrived(peers["any"], through(gateway, "JPEGLSALL", path))
    assert found.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert (found.pixel_array == pydicom.dcmread(path).pixel_array).all()


@pytest.mark.parametrize(
    ("node", "peer", "syntax"),
    [
        ("KEEPPLAIN", "plain", ExplicitVRLittleEndian),
        ("KEEPIMPLICIT", "implicit", ImplicitVRLittleEndian),
        ("EXPLICIT", "any", ExplicitVRLittleEndian),
    ],
)
def test_compressed_pixels_are_decompressed_for_who_takes_no_others(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path, node: str, peer: str, syntax: str
) -> None:
    path = compressed(tmp_path)
    found = arrived(peers[peer], through(gateway, node, path))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert (found.pixel_array == pydicom.dcmread(path).pixel_array).all()


def test_a_wanted_syntax_that_the_peer_rejects_falls_back_to_one_it_takes(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = make_ct(tmp_path)
    found = arrived(peers["plain"], through(gateway, "JPEGLSPLAIN", path))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.PixelData == pydicom.dcmread(path).PixelData


def test_what_the_peer_takes_in_no_syntax_is_kept_with_the_reason(gateway: RunningGateway, tmp_path: Path) -> None:
    row = through(gateway, "KEEPRLE", make_ct(tmp_path), state="failed")
    assert "in none of the transfer syntaxes" in row["reason"]


def test_a_lossy_copy_has_an_sop_instance_uid_of_its_own_that_a_retry_has_too(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    frame = np.add.outer(np.arange(64), np.arange(64)).astype("u1")
    path = make_file(tmp_path, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=frame.tobytes())
    row = through(gateway, "BASELINE", path)
    found = arrived(peers["any"], row)
    assert found.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert found.LossyImageCompression == "01"
    assert found.SOPInstanceUID == row["sent_sop_instance_uid"] != row["sop_instance_uid"]
    assert np.abs(found.pixel_array.astype(int) - frame).max() < 20
    assert through(gateway, "BASELINE", path)["sent_sop_instance_uid"] == row["sent_sop_instance_uid"]


def test_what_falls_back_from_a_lossy_syntax_is_the_original(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    frame = np.add.outer(np.arange(64), np.arange(64)).astype("u1")
    path = make_file(tmp_path, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=frame.tobytes())
    row = through(gateway, "BASELINEPLAIN", path)
    found = arrived(peers["plain"], row)
    assert found.PixelData == frame.tobytes()
    assert row["sent_sop_instance_uid"] == row["sop_instance_uid"] == found.SOPInstanceUID


def test_sixteen_bits_wanted_in_baseline_go_out_in_lossless_jpeg(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = make_ct(tmp_path)
    found = arrived(peers["any"], through(gateway, "BASELINE", path))
    assert found.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    found.save_as(tmp_path / "sv1.dcm", enforce_file_format=True)
    # an independent decoder
    subprocess.run([program("dcmdjpeg", "DCMTK"), tmp_path / "sv1.dcm", tmp_path / "plain.dcm"], check=True)
    assert (pydicom.dcmread(tmp_path / "plain.dcm").pixel_array == pydicom.dcmread(path).pixel_array).all()


def test_de_identification_and_transcoding_go_together(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = make_ct(tmp_path, ClinicalTrialSubjectID="PSN-T", PatientID="TRANSCODED-1")
    found = arrived(peers["any"], through(gateway, "DEID", path))
    assert found.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert found.PatientName == "PSN-T"
    assert (found.pixel_array == pydicom.dcmread(path).pixel_array).all()


def test_pixels_that_cannot_be_decoded_go_out_as_they_are_and_that_is_said(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = make_file(tmp_path, transfer_syntax_uid=JPEG2000Lossless, PixelData=encapsulate([b"no codestream at all"]))
    row = through(gateway, "JPEGLSALL", path)
    assert row["reason"].startswith(f"not in transfer syntax {JPEGLSLossless}: ")
    assert arrived(peers["any"], row).PixelData == pydicom.dcmread(path).PixelData


def test_pixels_that_cannot_be_decoded_are_kept_where_the_peer_takes_only_others(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    path = make_file(tmp_path, transfer_syntax_uid=JPEG2000Lossless, PixelData=encapsulate([b"no codestream at all"]))
    assert through(gateway, "KEEPPLAIN", path, state="failed")["reason"]


def test_an_object_without_pixels_goes_out_as_it_is(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = make_file(tmp_path, pixels=0)
    found = arrived(peers["any"], through(gateway, "JPEGLS", path))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_a_deflated_instance_is_inflated_where_explicit_is_wanted(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = make_ct(tmp_path, DeflatedExplicitVRLittleEndian)
    found = arrived(peers["any"], through(gateway, "EXPLICIT", path))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.PixelData == pydicom.dcmread(path).PixelData


def test_what_is_kept_arrives_bit_for_bit(
    gateway: RunningGateway, peers: dict[str, RunningStoreSCP], tmp_path: Path
) -> None:
    path = compressed(tmp_path)
    row = through(gateway, "KEEP", path)
    (stored,) = [one for one in peers["any"].stored if one.sop_instance_uid == row["sop_instance_uid"]]
    assert path.read_bytes().endswith(stored.dataset)
