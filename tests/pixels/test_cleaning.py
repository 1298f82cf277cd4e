"""When pixels are cleaned, when an instance is held instead, and what its header says afterwards."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pixel_objects import make_header
from pydicom import Dataset
from pydicom.sequence import Sequence

from karnak_core.deidentify import DeidentificationError, Profile, Project, Result, decode_dataset, encode_dataset
from karnak_core.pixels import SYNTAXES, describe
from karnak_core.pixels.cleaning import Cleaning, plan_cleaning, syntax_of_cleaned

ROOT = Path(__file__).parents[2]

PROJECT = Project(name="STUDY-A", secret=bytes(range(16)))
CLEAN = "{name: clean, codename: clean.pixel.data}"
DEFACE = "{name: deface, codename: clean.recognizable.visual.features}"
BASIC = "{name: basic, codename: basic.dicom.profile}"
MASK = "masks:\n  - {stationName: '*', color: '000000', rectangles: ['2 3 4 5']}\n"

CT, US, SC = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "6.1", "7"))
XA = "1.2.840.10008.5.1.4.1.1.12.1"


def profile_of(*elements: str, masks: str = MASK) -> Profile:
    lines = "".join(f"  - {element}\n" for element in elements)
    return Profile.from_yaml(f"name: Test\nprofileElements:\n{lines}{masks}").require()


def header_of(sop_class: str, **changes: Any) -> Dataset:
    return make_header(np.zeros((16, 16), "u2"), SOPClassUID=sop_class, PatientID="P1", **changes)


def planned(profile: Profile, received: Dataset, *, pixels: bool = True) -> Cleaning | None:
    """Return what is planned for an instance that the profile has been applied to."""
    sent = profile.apply(received, PROJECT, "PSN")
    assert isinstance(sent, Result)
    return plan_cleaning(profile, received, sent.dataset, PROJECT, pixels)


def sent_after(profile: Profile, received: Dataset) -> Dataset:
    """Return the header that is sent, as it is encoded."""
    encoded = decode_dataset(encode_dataset(received, implicit=False), implicit=False)
    result = profile.apply(encoded, PROJECT, "PSN")
    assert isinstance(result, Result)
    cleaning = plan_cleaning(profile, encoded, result.dataset, PROJECT, True)
    if cleaning is not None:
        cleaning.header(result.dataset)
    return decode_dataset(encode_dataset(result.dataset, implicit=False), implicit=False)


def codes(dataset: Dataset) -> list[str]:
    return [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]


# ---- the decision --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize(
    ("sop_class", "flag", "masked"),
    [
        (US, None, True),
        (US, "NO", True),
        (SC, None, True),
        ("1.2.840.10008.5.1.4.1.1.3.1", None, True),
        ("1.2.840.10008.5.1.4.1.1.77.1.1", None, True),
        ("1.2.840.10008.5.1.4.1.1.77.1.1.1", None, True),
        ("1.2.840.10008.5.1.4.1.1.77.1.10", None, False),
        ("1.2.840.10008.5.1.4.1.1.66", None, False),
        (XA, None, False),
        (XA, "", False),
        (XA, "NO", False),
        (XA, "no ", False),
        (XA, "YES", True),
        (XA, "yes", True),
        (XA, "MAYBE", True),
    ],
)
def test_images_are_masked_by_their_class_or_by_what_they_say_themselves(
    sop_class: str, flag: str | None, masked: bool
) -> None:
    header = header_of(sop_class, **({} if flag is None else {"BurnedInAnnotation": flag}))
    cleaning = planned(profile_of(CLEAN), header)
    assert (cleaning is not None) == masked
    if cleaning is not None:
        assert [len(cleaning.masks), len(cleaning.rectangles), len(cleaning.planes)] == [1, 1, 0]


SAY_YES = "{name: yes, codename: expression.on.tags, arguments: {expr: \"Replace('YES')\"}, tags: ['(0028,0301)']}"
SAY_NO = "{name: no, codename: expression.on.tags, arguments: {expr: \"Replace('NO')\"}, tags: ['(0028,0301)']}"
REMOVE = "{name: gone, codename: action.on.specific.tags, action: X, tags: ['(0028,0301)']}"
ADD_YES = "{name: add, codename: action.add.tag, arguments: {value: 'YES'}, tags: ['(0028,0301)']}"


@pytest.mark.parametrize(
    ("received", "elements", "masked"),
    [
        # the recipe of the manual: the profile says that something is burned in
        ("NO", [SAY_YES, CLEAN], True),
        (None, [ADD_YES, CLEAN], True),
        (None, [CLEAN, ADD_YES], True),
        # a profile cannot talk it away
        ("YES", [SAY_NO, CLEAN], True),
        ("YES", [REMOVE, CLEAN], True),
        ("NO", [SAY_NO, CLEAN], False),
    ],
)
def test_flag_counts_as_received_and_as_the_profile_leaves_it(
    received: str | None, elements: list[str], masked: bool
) -> None:
    header = header_of(XA, **({} if received is None else {"BurnedInAnnotation": received}))
    assert (planned(profile_of(*elements), header) is not None) == masked


def test_instance_without_pixels_needs_no_mask() -> None:
    assert planned(profile_of(CLEAN, masks=""), header_of(US), pixels=False) is None


def test_profile_that_cleans_no_pixels_leaves_them_alone_whatever_its_masks() -> None:
    assert planned(profile_of(BASIC), header_of(US)) is None


def test_instance_without_a_class_is_held() -> None:
    header = header_of(US)
    del header.SOPClassUID
    with pytest.raises(DeidentificationError, match="SOP Class UID is missing"):
        plan_cleaning(profile_of(CLEAN), header, header, PROJECT, True)


@pytest.mark.parametrize(
    ("condition", "masked"),
    [
        ("tagValueContains(#Tag.StationName, 'US1')", True),
        ("!tagValueContains(#Tag.StationName, 'US1')", False),
        # Pixel Data is not in the header that is looked at, but it is there
        ("tagIsPresent(#Tag.PixelData)", True),
        ("!tagIsPresent(#Tag.PixelData)", False),
    ],
)
def test_condition_of_the_element_counts_for_the_received_instance(condition: str, masked: bool) -> None:
    profile = profile_of(f'{{name: c, codename: clean.pixel.data, condition: "{condition}"}}', BASIC)
    assert (planned(profile, header_of(US, StationName="US1")) is not None) == masked


def test_condition_that_cannot_be_decided_holds_the_instance() -> None:
    header = header_of(US, StationName="US1", SpecificCharacterSet="ISO_IR 192")
    encoded = encode_dataset(header, implicit=False).replace(b"US1 ", b"U\xff1 ")
    received = decode_dataset(encoded, implicit=False)
    profile = profile_of(
        "{name: c, codename: clean.pixel.data, condition: \"tagValueContains(#Tag.StationName, 'US1')\"}"
    )
    with pytest.raises(DeidentificationError, match="profile element 'c'"):
        plan_cleaning(profile, received, received, PROJECT, True)


def test_ct_that_says_so_is_masked_and_defaced() -> None:
    header = header_of(CT, BurnedInAnnotation="YES", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    cleaning = planned(profile_of(CLEAN, DEFACE), header)
    assert cleaning is not None
    assert len(cleaning.masks) == len(cleaning.planes) == 1
    assert [method.value for method in cleaning.methods] == ["113101", "113102"]


# ---- the header ----------------------------------------------------------------------------------------------------


def test_what_was_done_is_recorded_and_nothing_else() -> None:
    profile = profile_of(CLEAN, DEFACE, BASIC)
    masked = sent_after(profile, header_of(US, BurnedInAnnotation="YES"))
    assert (masked.BurnedInAnnotation, "RecognizableVisualFeatures" in masked) == ("NO", False)
    assert codes(masked) == ["113101", "113100"]
    assert masked.DeidentificationMethodCodeSequence[0].CodeMeaning == "Clean Pixel Data Option"
    axial = header_of(CT, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], RecognizableVisualFeatures="YES")
    defaced = sent_after(profile, axial)
    assert ("BurnedInAnnotation" in defaced, defaced.RecognizableVisualFeatures) == (False, "NO")
    assert codes(defaced) == ["113102", "113100"]
    sagittal = header_of(
        CT, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], RecognizableVisualFeatures="YES", BurnedInAnnotation="NO"
    )
    neither = sent_after(profile, sagittal)
    assert (neither.BurnedInAnnotation, neither.RecognizableVisualFeatures) == ("NO", "YES")
    assert codes(neither) == ["113100"]


def test_methods_are_recorded_without_the_basic_profile_too() -> None:
    assert codes(sent_after(profile_of(CLEAN), header_of(US))) == ["113101"]


def test_extremes_that_were_those_of_other_pixels_go() -> None:
    header = header_of(US, SmallestImagePixelValue=3, LargestImagePixelValue=9, LargestPixelValueInSeries=11)
    sent = sent_after(profile_of(CLEAN), header)
    assert not {"SmallestImagePixelValue", "LargestImagePixelValue", "LargestPixelValueInSeries"} & set(sent.dir())


def with_icons(**changes: Any) -> Dataset:
    icon = make_header(np.zeros((4, 4), "u1"))
    icon.PixelData = bytes(16)
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "2.25.7"
    inner.IconImageSequence = Sequence([icon])
    outer = Dataset()
    outer.ReferencedImageSequence = Sequence([inner])
    return header_of(
        US,
        IconImageSequence=Sequence([deepcopy(icon)]),
        SourceImageSequence=Sequence([outer]),
        ReferencedImageSequence=Sequence([Dataset()]),
        **changes,
    )


def test_icons_go_wherever_they_are() -> None:
    sent = sent_after(profile_of(CLEAN), with_icons())
    assert "IconImageSequence" not in sent
    (inner,) = sent.SourceImageSequence[0].ReferencedImageSequence
    assert [element.keyword for element in inner] == ["ReferencedSOPInstanceUID"]


def test_received_data_set_keeps_all_that_it_has() -> None:
    received = with_icons(SmallestImagePixelValue=3, BurnedInAnnotation="YES")
    before = deepcopy(received)
    profile = profile_of(CLEAN)
    result = profile.apply(received, PROJECT, "PSN")
    assert isinstance(result, Result)
    cleaning = plan_cleaning(profile, received, result.dataset, PROJECT, True)
    assert cleaning is not None
    cleaning.header(result.dataset)
    assert "IconImageSequence" not in result.dataset.SourceImageSequence[0].ReferencedImageSequence[0]
    assert received == before


# ---- overlays ------------------------------------------------------------------------------------------------------


def with_overlay(
    rows: int, columns: int, *, frames: int = 0, origin: list[int] | None = None, group: int = 0x6000, **changes: Any
) -> Dataset:
    """Return an image with an overlay, all of whose bits are set."""
    header = header_of(US, **changes)
    header.add_new(group << 16 | 0x0010, "US", rows)
    header.add_new(group << 16 | 0x0011, "US", columns)
    if frames:
        header.add_new(group << 16 | 0x0015, "IS", frames)
    if origin:
        header.add_new(group << 16 | 0x0050, "SS", origin)
    header.add_new(group << 16 | 0x0100, "US", 1)
    header.add_new(group << 16 | 0x0102, "US", 0)
    bits = -(-rows * columns * max(frames, 1) // 8)
    header.add_new(group << 16 | 0x3000, "OW", b"\xff" * (bits + bits % 2))
    return header


def overlay_of(dataset: Dataset, rows: int, columns: int, frames: int = 1, group: int = 0x6000) -> np.ndarray[Any, Any]:
    bits = np.unpackbits(np.frombuffer(dataset[group << 16 | 0x3000].value, "u1"), bitorder="little")
    return bits[: frames * rows * columns].reshape(frames, rows, columns)


def masked_by(*rectangle: str) -> Profile:
    return profile_of(CLEAN, masks=f"masks:\n  - {{color: '000000', rectangles: {list(rectangle)}}}\n")


@pytest.mark.parametrize("rectangle", [(0, 0, 1, 1), (2, 3, 4, 5), (5, 1, 11, 2), (0, 0, 16, 16), (9, 15, 3, 1)])
@pytest.mark.parametrize("group", [0x6000, 0x601E])
def test_bits_of_overlays_are_cleared_in_the_rectangle_alone(rectangle: tuple[int, ...], group: int) -> None:
    x, y, width, height = rectangle
    sent = sent_after(masked_by(f"{x} {y} {width} {height}"), with_overlay(16, 16, group=group))
    expected = np.ones((1, 16, 16), "u1")
    expected[:, y : y + height, x : x + width] = 0
    assert (overlay_of(sent, 16, 16, group=group) == expected).all()


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (3, 13), (16, 16)])
@pytest.mark.parametrize("origin", [[1, 1], [4, 6], [-3, -2], [16, 16], [40, 40]])
def test_overlay_lies_where_its_origin_says_in_every_frame(rows: int, columns: int, origin: list[int]) -> None:
    sent = sent_after(masked_by("2 3 6 5"), with_overlay(rows, columns, frames=3, origin=origin))
    y, x = np.mgrid[:rows, :columns]
    in_row, in_column = y + origin[0] - 1, x + origin[1] - 1
    covered = (in_row >= 3) & (in_row < 8) & (in_column >= 2) & (in_column < 8)
    assert (overlay_of(sent, rows, columns, frames=3) == ~covered).all()


def test_overlay_in_words_of_big_endian_is_cleared_where_it_is_shown() -> None:
    header = with_overlay(16, 16)
    value = encode_dataset(header, implicit=False, little=False)
    received = decode_dataset(value, implicit=False, little=False)
    profile = masked_by("0 0 3 1")
    result = profile.apply(received, PROJECT, "PSN")
    assert isinstance(result, Result)
    cleaning = plan_cleaning(profile, received, result.dataset, PROJECT, True)
    assert cleaning is not None
    cleaning.header(result.dataset)
    assert result.dataset[0x60003000].value == b"\xff\xf8" + b"\xff" * 30


def test_overlay_that_does_not_say_where_it_lies_holds_the_instance() -> None:
    header = with_overlay(16, 16)
    del header[0x60000010]
    with pytest.raises(DeidentificationError, match=r"\(6000,3000\) cannot be read"):
        sent_after(masked_by("0 0 3 1"), header)


def test_overlay_that_is_cut_off_is_cleared_as_far_as_it_goes() -> None:
    header = with_overlay(16, 16)
    header[0x60003000].value = b"\xff" * 4
    sent = sent_after(masked_by("0 1 16 15"), header)
    assert sent[0x60003000].value == b"\xff\xff\0\0"


def test_overlay_in_unused_bits_of_the_pixels_goes_as_a_whole() -> None:
    header = with_overlay(16, 16, group=0x6002)
    header[0x60020102].value = 12
    del header[0x60023000]
    sent = sent_after(masked_by("0 0 3 1"), header)
    assert not [tag for tag in sent.keys() if tag.group == 0x6002]  # noqa: SIM118


# ---- transfer syntaxes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "cleaned"),
    [
        ("ImplicitVRLittleEndian", "ImplicitVRLittleEndian"),
        ("ExplicitVRBigEndian", "ExplicitVRLittleEndian"),
        ("RLELossless", "RLELossless"),
        ("JPEGBaseline8Bit", "JPEGLosslessSV1"),
        ("JPEGExtended12Bit", "JPEGLosslessSV1"),
        ("JPEGFullProgressionNonHierarchical1012", "ExplicitVRLittleEndian"),
        ("JPEGLosslessSV1", "JPEGLosslessSV1"),
        ("JPEGLSNearLossless", "JPEGLSLossless"),
        ("JPEG2000", "JPEG2000Lossless"),
        ("HTJ2K", "HTJ2KLossless"),
        ("JPEGXLJPEGRecompression", "ExplicitVRLittleEndian"),
    ],
)
def test_cleaned_pixels_lose_nothing_to_compression(received: str, cleaned: str) -> None:
    uids = {syntax.keyword: uid for uid, syntax in SYNTAXES.items()}
    image = describe(header_of(US), 0x7FE00010)
    assert syntax_of_cleaned(uids[received], image) == uids[cleaned]


def test_pixels_that_no_codec_takes_go_out_uncompressed() -> None:
    image = describe(header_of(US, BitsAllocated=32, BitsStored=32), 0x7FE00010)
    assert SYNTAXES[syntax_of_cleaned("1.2.840.10008.1.2.4.90", image)].keyword == "ExplicitVRLittleEndian"
    assert SYNTAXES[syntax_of_cleaned("1.2.3", image)].keyword == "ExplicitVRLittleEndian"


@pytest.mark.parametrize(
    "text", re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "pixel-cleaning.md").read_text("utf-8"), re.DOTALL)
)
def test_profiles_of_the_manual_can_be_applied(text: str) -> None:
    assert Profile.from_yaml(text).check(to_apply=True) == ()
