"""Pixels that a profile wants cleaned never leave as they were received."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate

from karnak_core.deidentify import Profile, Project
from karnak_core.deliver.conversion import Conversion
from karnak_core.deliver.identity import DeIdentification
from karnak_core.errors import Permanent
from karnak_core.part10 import read_outgoing
from karnak_core.testing import make_dataset, make_file

PROFILE = Profile.from_yaml(
    "name: Masks\n"
    "profileElements:\n"
    "  - {name: clean, codename: clean.pixel.data}\n"
    "  - {name: basic, codename: basic.dicom.profile}\n"
    "masks: [{color: '000000', rectangles: ['0 0 2 2']}]\n"
)


class Pseudonyms:
    """Everybody is called the same."""

    def pseudonym(self, _dataset: Dataset, _project: str) -> str:
        return "PSN-1"

    def close(self) -> None:
        """Nothing is held."""


OUTSIDE = Profile.from_yaml(
    "name: Masks\n"
    "profileElements:\n"
    "  - {name: clean, codename: clean.pixel.data}\n"
    "masks: [{color: '000000', rectangles: ['64 0 2 2']}]\n"
)


def change(tmp_path: Path, profile: Profile = PROFILE, **elements: Any) -> Dataset:
    """Return the instance that goes out."""
    return change_file(make_file(tmp_path, **elements), tmp_path, profile)


def change_file(path: Path, tmp_path: Path, profile: Profile, *, leak_check: bool = True) -> Dataset:
    outgoing = read_outgoing(path)
    identity = DeIdentification(
        profile=profile,
        project=lambda: Project(name="P", secret=bytes(16)),
        source=Pseudonyms(),
        fetch=lambda _: "",
        give_back=lambda: None,
        leak_check=leak_check,
    )
    prepared = Conversion(identity=identity, workspace=tmp_path).prepare(outgoing, 1_700_000_000_000, "FORWARD")
    try:
        with open(prepared.outgoing.path, "rb") as file:
            return pydicom.dcmread(io.BytesIO(file.read()))
    finally:
        prepared.close()


EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


@pytest.mark.parametrize(("received", "expected"), [(EXPLICIT, EXPLICIT), (IMPLICIT, IMPLICIT)])
def test_image_with_something_burned_in_goes_out_masked(received: str, expected: str, tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(1, 4096, (64, 64)).astype("u2")
    sent = change(
        tmp_path,
        transfer_syntax_uid=received,
        BurnedInAnnotation="YES",
        PixelData=frame.tobytes(),
        IconImageSequence=[],
    )
    assert sent.file_meta.TransferSyntaxUID == expected
    assert sent.BurnedInAnnotation == "NO"
    assert "IconImageSequence" not in sent
    assert [item.CodeValue for item in sent.DeidentificationMethodCodeSequence] == [
        "113101",
        "113100",
    ]  # in the order of the profile
    frame[0:2, 0:2] = 0
    assert (sent.pixel_array == frame).all()


def test_image_in_big_endian_goes_out_in_little_endian_with_its_palette(tmp_path: Path) -> None:
    palette = {
        f"{color}PaletteColorLookupTable{what}": value
        for color in ("Red", "Green", "Blue")
        for what, value in (("Descriptor", [4, 0, 16]), ("Data", np.array([0, 99, 999, 9999], ">u2").tobytes()))
    }
    frame = np.full((64, 64), 2, "u2")
    sent = change(
        tmp_path,
        transfer_syntax_uid=BIG_ENDIAN,
        BurnedInAnnotation="YES",
        PhotometricInterpretation="PALETTE COLOR",
        PixelData=frame.astype(">u2").tobytes(),
        **palette,
    )
    assert sent.file_meta.TransferSyntaxUID == EXPLICIT
    assert np.frombuffer(sent.RedPaletteColorLookupTableData, "<u2").tolist() == [0, 99, 999, 9999]
    frame[0:2, 0:2] = 0
    assert (sent.pixel_array == frame).all()


def test_large_image_is_masked_on_its_way_through_a_file(tmp_path: Path) -> None:
    frame = np.full((1024, 1024), 7, "u2")
    sent = change(tmp_path, pixels=1024, BurnedInAnnotation="YES", PixelData=frame.tobytes())
    frame[0:2, 0:2] = 0
    assert (sent.pixel_array == frame).all()
    assert [path.suffix for path in tmp_path.iterdir()] == [".dcm"]


def test_pixels_that_cannot_be_decoded_are_held_where_they_have_to_be_cleaned(tmp_path: Path) -> None:
    video = {"transfer_syntax_uid": "1.2.840.10008.1.2.4.102", "PixelData": encapsulate([b"\0" * 64])}
    assert change(tmp_path, BurnedInAnnotation="NO", **video).BurnedInAnnotation == "NO"
    with pytest.raises(Permanent, match="cannot be decoded"):
        change(tmp_path, BurnedInAnnotation="YES", **video)


def test_image_without_a_mask_is_held(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="lies outside the image"):
        change(tmp_path, BurnedInAnnotation="YES", Rows=64, Columns=64, profile=OUTSIDE)


def test_image_without_anything_burned_in_goes_out_and_no_cleaning_is_claimed(tmp_path: Path) -> None:
    sent = change(tmp_path, BurnedInAnnotation="NO")
    assert [item.CodeValue for item in sent.DeidentificationMethodCodeSequence] == ["113100"]
    assert len(sent.PixelData) == 2 * 64 * 64


def test_object_without_pixels_goes_out(tmp_path: Path) -> None:
    assert "PixelData" not in change(tmp_path, pixels=0, BurnedInAnnotation="YES")


BASIC = Profile.from_yaml("name: B\nprofileElements: [{name: basic, codename: basic.dicom.profile}]\n")


NO_OVERLAYS = [
    BASIC,
    *(
        Profile.from_yaml(
            "name: O\nprofileElements:\n"
            f"  - {{name: o, codename: action.on.specific.tags, action: {action}, tags: ['{tag}']}}\n{more}"
        )
        for action, tag, more in (
            ("X", "(60XX,XXXX)", "  - {name: basic, codename: basic.dicom.profile}\n"),
            # nothing says any more that there is an overlay
            ("X", "(60XX,XXXX)", "  - {name: u, codename: replace.uid}\n"),
            ("X", "(60XX,0102)", "  - {name: u, codename: replace.uid}\n"),
            ("Z", "(60XX,0102)", "  - {name: u, codename: replace.uid}\n"),
        )
    ),
]


@pytest.mark.parametrize("profile", NO_OVERLAYS)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_an_overlay_in_unused_bits_of_the_pixels_does_not_go_out(syntax: str, profile: Profile, tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 4096, (64, 64)).astype("u2")
    overlay = np.zeros((64, 64), "u2")
    overlay[10:20] = 1 << 14
    mixed = (frame | overlay).astype(">u2" if syntax == BIG_ENDIAN else "<u2")
    group = Dataset()
    group.add_new(0x60000010, "US", 64)
    group.add_new(0x60000011, "US", 64)
    group.add_new(0x60000040, "CS", "G")
    group.add_new(0x60000050, "SS", [1, 1])
    group.add_new(0x60000100, "US", 16)
    group.add_new(0x60000102, "US", 14)
    ds = make_dataset(transfer_syntax_uid=syntax, PixelData=mixed.tobytes())
    ds.update(group)
    path = tmp_path / "overlay.dcm"
    ds.save_as(path, enforce_file_format=True)
    sent = change_file(path, tmp_path, profile, leak_check=False)
    assert not [tag for tag in sent if tag.tag.group == 0x6000]
    dtype = ">u2" if sent.file_meta.TransferSyntaxUID == BIG_ENDIAN else "<u2"
    assert (np.frombuffer(sent.PixelData, dtype).reshape(64, 64) == frame).all()
