"""Many files: each as it would be alone, in their order, in one process or in several."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
)

from karnak_core.deidentify import Hasher
from karnak_core.testing import make_dataset, make_file
from karnak_core.tryout import Ending, Output, Recipe, Tried, What, try_files

SECRET = bytes.fromhex("0123456789abcdef0123456789abcdef")
BASIC = "  - {name: basic, codename: basic.dicom.profile}\n"
LEAKS = f"""\
name: Leaks
profileElements:
  - {{name: e, codename: expression.on.tags, arguments: {{expr: "Replace('My ' + stringValue)"}}, tags: ["0008,1030"]}}
{BASIC}"""
CLEAN = f"""\
name: Clean
profileElements:
  - {{name: clean, codename: clean.pixel.data}}
{BASIC}"""

Run = Callable[..., list[Tried]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """De-identify files into ``out``."""

    def run(*files: Path, processes: int = 1, folder: bool = True, **recipe: object) -> list[Tried]:
        made = Recipe(
            **{"profile_text": None, "project_name": "A", "secret": SECRET, "at": datetime.now(UTC), **recipe}  # type: ignore[arg-type]
        )
        output = Output(workspace=tmp_path, folder=tmp_path / "out" if folder else None)
        return list(try_files(files, made, output, processes=processes))

    return run


def read(tried: Tried) -> pydicom.Dataset:
    assert tried.ending is Ending.WRITTEN, tried.reason
    assert tried.output is not None
    return pydicom.dcmread(tried.output)


def test_several_processes_do_as_one_does_and_keep_the_order(run: Run, tmp_path: Path) -> None:
    files = [make_file(tmp_path, pixels=0, PatientID=f"P{number % 3}") for number in range(40)]
    (tmp_path / "none.txt").write_text("none")
    files.insert(20, tmp_path / "none.txt")
    at = datetime.now(UTC)
    # an element that only a plugin's hook makes known
    text = f"name: T\nprofileElements:\n  - {{name: u, codename: replace.uid}}\n{BASIC}"
    alone = run(*files, folder=False, at=at, changes=True, profile_text=text)
    together = run(*files, folder=False, at=at, changes=True, profile_text=text, processes=2)
    assert together == alone
    assert [tried.path for tried in together] == files
    assert [tried.ending for tried in together].count(Ending.TRIED) == 40


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("CT_small.dcm", ExplicitVRLittleEndian),
        ("MR_small_implicit.dcm", "1.2.840.10008.1.2"),
        ("MR_small_bigendian.dcm", "1.2.840.10008.1.2.2"),
        ("JPEG2000.dcm", JPEG2000),
        ("rtplan.dcm", "1.2.840.10008.1.2"),
        ("SC_rgb_jpeg_gdcm.dcm", "1.2.840.10008.1.2.4.70"),
    ],
)
def test_files_of_every_encoding_keep_it_and_their_pixels(run: Run, name: str, syntax: str) -> None:
    path = Path(str(get_testdata_file(name)))
    before = pydicom.dcmread(path)
    (tried,) = run(path)
    after = read(tried)
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID == syntax
    assert after.get("PixelData") == before.get("PixelData")
    assert after.PatientName != before.PatientName
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID != before.SOPInstanceUID


def test_deflated_file_becomes_a_plain_one(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, transfer_syntax_uid=DeflatedExplicitVRLittleEndian)
    (tried,) = run(path)
    after = read(tried)
    assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert after.PixelData == make_dataset().PixelData


def test_same_patient_has_the_same_pseudonym_and_another_one_another(run: Run, tmp_path: Path) -> None:
    ids = [("P1", None), ("P1", None), ("P2", None), ("P1", "ELSEWHERE")]
    files = [
        make_file(tmp_path, PatientID=patient, **({"IssuerOfPatientID": issuer} if issuer else {}))
        for patient, issuer in ids
    ]
    names = [str(read(tried).PatientName) for tried in run(*files)]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all(len(name) == 12 and "P1" not in name for name in names)
    assert str(read(run(make_file(tmp_path, PatientID="P1"), secret=bytes(16))[0]).PatientName) not in names


def test_given_pseudonym_is_that_of_every_patient(run: Run, tmp_path: Path) -> None:
    (tried,) = run(make_file(tmp_path), pseudonym="PSN-7")
    after = read(tried)
    assert tried.has_new_uids
    assert (after.PatientName, after.ClinicalTrialSubjectID, after.ClinicalTrialSponsorName) == ("PSN-7", "PSN-7", "A")
    assert after.PatientID == Hasher(SECRET).patient_id("PSN-7")


def test_morphing_leaves_the_patient_as_it_is(run: Run, tmp_path: Path) -> None:
    text = (
        "name: T\nprofileElements:\n  - {name: x, codename: action.on.specific.tags, action: X, tags: ['0008,1030']}\n"
    )
    path = make_file(tmp_path)
    (tried,) = run(path, profile_text=text, morph=True)
    after = read(tried)
    assert (after.PatientName, after.PatientID) == ("Test^Nobody", "TEST-1")
    assert "StudyDescription" not in after
    assert not tried.has_new_uids
    assert tried.output == tmp_path / "out" / after.StudyInstanceUID / after.SeriesInstanceUID / path.name


def test_file_that_still_says_who_the_patient_is_is_not_written(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, StudyDescription="scan of Nobody", PatientName="Nobody^Test")
    (tried,) = run(path, profile_text=LEAKS)
    assert tried.ending is Ending.FAILED
    assert tried.reason == "leak check: the received part of Patient's Name stands in (0008,1030)"
    assert "Nobody" not in tried.reason
    assert not (tmp_path / "out").exists()
    (tried,) = run(path, profile_text=LEAKS, leak_check=False)
    assert tried.ending is Ending.WRITTEN


def test_pixels_are_cleaned_and_that_is_told(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, BurnedInAnnotation="YES", SmallestImagePixelValue=0, StationName="CT1")
    masks = 'masks:\n  - {stationName: "*", color: ffffff, rectangles: ["0 0 64 16"]}\n'
    (tried,) = run(path, profile_text=CLEAN + masks, changes=True)
    before, after = pydicom.dcmread(path), read(tried)
    assert tried.cleaned == ("Clean Pixel Data Option",)
    assert after.PixelData != before.PixelData
    assert after.PixelData[64 * 16 * 2 :] == before.PixelData[64 * 16 * 2 :]
    rows = {row.path: row for row in tried.rows}
    assert (str(rows["(0028,0301)"].after), rows["(0028,0301)"].decided_by) == ("NO", "clean.pixel.data")
    assert rows["(0028,0106)"].what is What.REMOVED
    assert str(rows["(0012,0064)"].after) == "2 items"
    assert [row for row in tried.rows if row.path == "(0012,0064)"] == [rows["(0012,0064)"]]


def test_instance_whose_pixels_cannot_be_cleaned_is_not_written(run: Run, tmp_path: Path) -> None:
    (burned, clean) = run(make_file(tmp_path, BurnedInAnnotation="YES"), make_file(tmp_path), profile_text=CLEAN)
    assert burned.ending is Ending.FAILED
    assert "the profile has no mask" in burned.reason
    assert clean.ending is Ending.WRITTEN
    assert clean.cleaned == ()


def test_dicomdir_and_what_is_no_dicom_are_skipped(run: Run, tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"x" * 500)):
        (tmp_path / name).write_bytes(content)
    directory = Path(str(get_testdata_file("DICOMDIR")))
    found = run(tmp_path / "empty", tmp_path / "text", directory)
    assert [tried.ending for tried in found] == [Ending.SKIPPED] * 3
    assert found[2].reason == "a DICOMDIR"


def test_file_that_is_cut_off_fails_and_is_not_skipped(run: Run, tmp_path: Path) -> None:
    whole = make_file(tmp_path).read_bytes()
    for size in (140, 300, 500, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        (tried,) = run(tmp_path / "cut")
        assert tried.ending is Ending.FAILED, size
        assert "Nobody" not in tried.reason


def test_same_instance_twice_is_written_once(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    first, second = run(path, path)
    assert (first.ending, second.ending) == (Ending.WRITTEN, Ending.AGAIN)
    assert first.output == second.output


def test_copies_of_one_instance_are_written_once_and_are_no_failures(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientID="P1")
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(path.read_bytes())
    first, second = run(path, copy)
    assert (first.ending, second.ending) == (Ending.WRITTEN, Ending.AGAIN)
    assert first.output == second.output
    assert second.done


def test_another_instance_of_the_same_uid_is_a_failure(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientID="P1")
    other = pydicom.dcmread(path)
    other.Modality = "MR"
    other.save_as(tmp_path / "other.dcm")
    first, second = run(path, tmp_path / "other.dcm")
    assert (first.ending, second.ending) == (Ending.WRITTEN, Ending.FAILED)
    assert "a file of this name exists" in second.reason


def test_sequences_without_end_are_told_in_words(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path, PatientID="P1", pixels=0)
    nested = b""
    for _ in range(400):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(nested)) + nested
        nested = struct.pack("<HH2s2xI", 0x0054, 0x0220, b"SQ", len(item)) + item
    with open(path, "ab") as file:
        file.write(nested)
    (tried,) = run(path)
    assert tried.ending is Ending.FAILED
    assert "nested too deeply" in tried.reason


def test_overlay_in_unused_bits_of_the_pixels_goes_as_at_a_gateway(run: Run, tmp_path: Path) -> None:
    ds = make_dataset(PixelData=struct.pack("<4096H", *(0x4000 | number for number in range(4096))))
    for number, vr, value in ((0x10, "US", 64), (0x11, "US", 64), (0x40, "CS", "G"), (0x100, "US", 16)):
        ds.add_new(0x60000000 | number, vr, value)
    ds.add_new(0x60000102, "US", 14)
    path = tmp_path / "overlay.dcm"
    ds.save_as(path, enforce_file_format=True)
    (tried,) = run(path, changes=True)
    after = read(tried)
    assert after.PixelData == struct.pack("<4096H", *range(4096))
    assert not [element for element in after if element.tag.group == 0x6000]
    assert [row.what for row in tried.rows if row.path.startswith("(6000,")] == [What.REMOVED] * 5
