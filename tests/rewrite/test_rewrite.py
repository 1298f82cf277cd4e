"""An instance taken apart and put together again: byte for byte what it was, in little memory, or with a reason not."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from karnak_core.errors import Permanent
from karnak_core.model import Outgoing
from karnak_core.part10 import read_outgoing
from karnak_core.rewrite import MadeFile, put_together, taken_apart
from karnak_core.rewrite.made import IN_MEMORY
from karnak_core.testing import dataset_bytes, make_dataset, make_file

SYNTAXES = [
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "JPEG2000.dcm",
    "emri_small.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "rtplan.dcm",
]


def again(path: Path, workspace: Path) -> tuple[Outgoing, bytes]:
    """Return what a file becomes when nothing is changed."""
    outgoing = read_outgoing(path)
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, workspace) as apart:
        together = put_together(apart, apart.dataset, workspace, source_ae_title="GATE")
    content = together.made.path.read_bytes()
    together.close()
    return together.outgoing, content


@pytest.mark.parametrize("name", SYNTAXES)
def test_nothing_changes_when_nothing_is_changed(name: str, tmp_path: Path) -> None:
    path = Path(get_testdata_file(name))
    outgoing, content = again(path, tmp_path)
    assert content[outgoing.dataset_offset :] == path.read_bytes()[read_outgoing(path).dataset_offset :]
    assert len(content) == outgoing.size
    assert pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID == outgoing.sop_instance_uid


def test_total_length_of_the_pixels_goes_along_with_them(tmp_path: Path) -> None:
    tables = b"".join(
        struct.pack("<HH2s2xIQ", 0x7FE0, number, vr, 8, value) for number, vr, value in ((1, b"OV", 0), (3, b"UV", 99))
    )
    path = make_file(tmp_path)
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\0OW")
    path.write_bytes(content[:at] + tables + content[at:])
    outgoing, new = again(path, tmp_path)
    assert new[outgoing.dataset_offset :] == path.read_bytes()[read_outgoing(path).dataset_offset :]


def test_nothing_of_the_old_file_meta_information_goes_along(tmp_path: Path) -> None:
    path = make_file(tmp_path)
    ds = pydicom.dcmread(path)
    ds.file_meta.SourceApplicationEntityTitle = "SCANNER"
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3"
    ds.file_meta.PrivateInformation = b"secret"
    ds.save_as(path)
    _, content = again(path, tmp_path)
    meta = pydicom.dcmread(io.BytesIO(content)).file_meta
    assert meta.SourceApplicationEntityTitle == "GATE"
    assert "PrivateInformation" not in meta
    assert b"SCANNER" not in content


def test_a_deflated_data_set_goes_out_in_explicit_vr(tmp_path: Path) -> None:
    ds = make_dataset(transfer_syntax_uid=DeflatedExplicitVRLittleEndian)
    path = tmp_path / "deflated.dcm"
    ds.save_as(path, enforce_file_format=True)
    outgoing, content = again(path, tmp_path)
    assert outgoing.transfer_syntax_uid == ExplicitVRLittleEndian
    assert pydicom.dcmread(io.BytesIO(content)).PixelData == ds.PixelData


def test_elements_behind_the_pixel_data_can_be_changed(tmp_path: Path) -> None:
    path = make_file(tmp_path, DataSetTrailingPadding=b"\0\0\0\0")
    outgoing = read_outgoing(path)
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
        assert 0xFFFCFFFC in apart.dataset
        changed = apart.dataset
        del changed[0xFFFCFFFC]
        together = put_together(apart, changed, tmp_path, source_ae_title="GATE")
    found = pydicom.dcmread(together.made.path)
    together.close()
    assert "PixelData" in found
    assert 0xFFFCFFFC not in found


def test_pixel_data_that_is_taken_away_is_gone(tmp_path: Path) -> None:
    path = make_file(tmp_path)
    outgoing = read_outgoing(path)
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
        del apart.dataset["PixelData"]
        together = put_together(apart, apart.dataset, tmp_path, source_ae_title="GATE")
    found = pydicom.dcmread(together.made.path)
    together.close()
    assert "PixelData" not in found


def test_new_pixels_stand_in_their_place(tmp_path: Path) -> None:
    path = make_file(tmp_path, pixels=2)
    outgoing = read_outgoing(path)
    new = MadeFile(100, tmp_path)
    new.file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", 8) + b"newpixel")
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
        together = put_together(apart, apart.dataset, tmp_path, source_ae_title="GATE", new_pixels=new)
    found = pydicom.dcmread(together.made.path)
    together.close()
    new.close()
    assert found.PixelData == b"newpixel"


@pytest.mark.parametrize("element", ["SOPInstanceUID", "SOPClassUID"])
def test_what_lacks_a_uid_that_a_request_needs_is_not_sent(element: str, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    outgoing = read_outgoing(path)
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
        delattr(apart.dataset, element)
        with pytest.raises(Permanent, match="the new data set has no"):
            put_together(apart, apart.dataset, tmp_path, source_ae_title="GATE")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_that_is_cut_off_anywhere_is_refused_or_whole(syntax: str, tmp_path: Path) -> None:
    ds = make_dataset(transfer_syntax_uid=syntax, pixels=4)
    ds.ReferencedStudySequence = [make_dataset(pixels=0)]
    path = tmp_path / "whole.dcm"
    ds.save_as(path, enforce_file_format=True)
    whole, offset = path.read_bytes(), read_outgoing(path).dataset_offset
    cut = tmp_path / "cut.dcm"
    reasons = []
    for end in range(offset, len(whole)):
        cut.write_bytes(whole[:end])
        try:
            with taken_apart(cut, syntax, offset, tmp_path) as apart:
                assert whole[offset:end].startswith(apart.encoded)
        except Permanent as error:
            reasons.append(error.reason)
    assert len(reasons) > 0.9 * (len(whole) - offset)
    assert not any("TEST-1" in reason for reason in reasons)


def test_a_small_file_is_on_no_disk_and_a_large_one_has_no_name(tmp_path: Path) -> None:
    small, large = MadeFile(10, tmp_path / "work"), MadeFile(IN_MEMORY + 1, tmp_path / "work")
    assert small.in_memory
    assert not large.in_memory
    assert os.listdir(tmp_path / "work") == []
    for made in (small, large):
        made.file.write(b"bytes")
        assert made.size == 5
        assert made.path.read_bytes() == b"bytes"
        made.close()
        made.close()


def test_a_large_object_passes_in_little_memory(tmp_path: Path) -> None:
    path = make_file(tmp_path, pixels=0)
    size = 400 << 20
    with open(path, "ab") as file:
        file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", size))
        file.truncate(file.tell() + size)
    program = f"""
import resource, sys
from pathlib import Path
from karnak_core.part10 import read_outgoing
from karnak_core.rewrite import put_together, taken_apart
path, workspace = Path({str(path)!r}), Path({str(tmp_path / "work")!r})
found = read_outgoing(path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with taken_apart(path, found.transfer_syntax_uid, found.dataset_offset, workspace) as apart:
    together = put_together(apart, apart.dataset, workspace, source_ae_title="GATE")
assert together.outgoing.size > {size}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50 * 1024, "KiB; the mapped file counts only where it was read"


def test_dataset_offsets_are_those_of_the_file(tmp_path: Path) -> None:
    path = make_file(tmp_path)
    outgoing, content = again(path, tmp_path)
    assert content[outgoing.dataset_offset :] == dataset_bytes(path)


@pytest.mark.parametrize(
    ("tag", "vr"), [(0x7FE00005, "UT"), (0x7FE00050, "UT"), (0x7FE00050, "LO"), (0x7FE00020, "OW")]
)
@pytest.mark.parametrize("pixels", [0, 2])
def test_what_is_no_pixels_in_their_group_is_data_like_all_other(
    tag: int, vr: str, pixels: int, tmp_path: Path
) -> None:
    ds = make_dataset(pixels=pixels)
    ds.add_new(tag, vr, b"Zebulon " if vr == "OW" else "Zebulon ")
    path = tmp_path / "odd.dcm"
    ds.save_as(path, enforce_file_format=True)
    outgoing = read_outgoing(path)
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
        assert b"Zebulon" in apart.encoded
        unchanged = put_together(apart, apart.dataset, tmp_path, source_ae_title="GATE")
        del apart.dataset[tag]
        together = put_together(apart, apart.dataset, tmp_path, source_ae_title="GATE")
    assert unchanged.made.path.read_bytes()[unchanged.outgoing.dataset_offset :] == dataset_bytes(path)
    assert b"Zebulon" not in together.made.path.read_bytes()
    assert ("PixelData" in pydicom.dcmread(together.made.path)) == bool(pixels)
    unchanged.close()
    together.close()


def test_pixels_with_a_vr_that_they_cannot_have_are_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path, pixels=0)
    with open(path, "ab") as file:
        file.write(struct.pack("<HH2sH", 0x7FE0, 0x0010, b"LO", 8) + b"Zebulon ")
    outgoing = read_outgoing(path)
    with (
        pytest.raises(Permanent, match="has a VR that pixels do not have"),
        taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path),
    ):
        pass
