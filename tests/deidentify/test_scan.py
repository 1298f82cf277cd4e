"""Sequences that are decided on their bytes come out as those that are gone through as data sets."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import (
    DeidentificationError,
    Profile,
    Project,
    Result,
    basic_profile,
    decode_dataset,
    encode_dataset,
)

pytestmark = pytest.mark.filterwarnings("ignore")

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROJECT = Project(name="STUDY-A", secret=bytes.fromhex("0123456789abcdef0123456789abcdef"))
ENCODINGS = [(False, True), (True, True), (False, False)]


def both_ways(profile: Profile, value: bytes, implicit: bool, little: bool) -> tuple[bytes | str, bytes | str]:
    """Return what comes out of a data set by its bytes, and element by element: the list of changes needs that."""
    found: list[bytes | str] = []
    for changes in (False, True):
        dataset = decode_dataset(value, implicit=implicit, little=little)
        try:
            result = profile.apply(dataset, PROJECT, "PSN-1", at=AT, changes=changes)
        except DeidentificationError as error:
            found.append(str(error))
        else:
            assert isinstance(result, Result)
            encoded = encode_dataset(result.dataset, implicit=implicit, little=little)
            found.append(encoded + repr(sorted(result.kept)).encode())
    first, second = found
    return first, second


def make_item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.fixture
def nested(image: Dataset) -> Dataset:
    """Return an image with sequences for every action and of every form."""
    reference = make_item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.3.1")
    frame = make_item(
        FrameContentSequence=[make_item(FrameAcquisitionDateTime="20200110101112.5", StackID="1")],
        PlanePositionSequence=[make_item(ImagePositionPatient=["1", "2", "3"])],
        DerivationImageSequence=[make_item(SourceImageSequence=[reference, reference], ImageComments="Quill")],
        ConceptNameCodeSequence=[],
    )
    private = make_item(CodeValue="C", CodeMeaning="Mass")
    block = private.private_block(0x0009, "MAKER", create=True)
    block.add_new(1, "LO", "Quill")
    block.add_new(2, "SQ", [make_item(PatientID="PATIENT-1")])
    cyrillic = make_item(SpecificCharacterSet="ISO_IR 144", PatientComments="Иванов", InstitutionName="Клиника")
    unknown = make_item(StationName="CT01")
    unknown.add_new(0x00090030, "UN", b"\1\2")
    unknown.add_new(0x00420011, "OB", b"\1" * 70000)
    icon = make_item(Rows=1, BitsAllocated=8, PixelData=b"\0\0")
    overlay = make_item(Rows=1, BitsAllocated=8)
    overlay.add_new(0x60000010, "US", 1)
    overlay.add_new(0x60003000, "OW", b"\0\0")
    image.PerFrameFunctionalGroupsSequence = [frame, frame, Dataset(), private, cyrillic, unknown, overlay]
    image.IconImageSequence = [icon]
    image.ReferencedImageSequence = [reference]
    image.ContentSequence = [
        make_item(ValueType="PNAME", PersonName="Dr Who", ConceptNameCodeSequence=[make_item(CodeValue="1")]),
        make_item(ValueType="CONTAINER", ContentSequence=[make_item(ValueType="TEXT", TextValue="Quill")]),
    ]
    image.OperatorIdentificationSequence = [make_item(PersonIdentificationCodeSequence=[make_item(CodeValue="4711")])]
    return image


def undefined(dataset: Dataset) -> Dataset:
    """Give all sequences and items undefined length."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                undefined(item)
    return dataset


PROFILES = {
    "basic": "",
    "kept sequence": "  - {name: k, codename: action.on.specific.tags, action: K, tags: [52009230, 0040A730]}",
    "kept private": "  - {name: p, codename: action.on.privatetags, action: K}",
    "removed inside": "  - {name: x, codename: action.on.specific.tags, action: X, tags: [0018XXXX, 00081150]}",
    "emptied inside": "  - {name: z, codename: action.on.specific.tags, action: Z, tags: [00209113, 00081155]}",
    "dummies": "  - {name: d, codename: action.on.specific.tags, action: DDum, tags: [52009230, 00080104]}",
    "uids of texts": "  - {name: u, codename: action.on.specific.tags, action: U, tags: [00204000, 52009230]}",
    "asked": "  - {name: e, codename: expression.on.tags, tags: [00209056], arguments: {expr: \"Replace('2')\"}}",
    "dates": "  - {name: t, codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 1}}",
}


@pytest.mark.parametrize(("implicit", "little"), ENCODINGS)
@pytest.mark.parametrize("form", ["defined", "undefined"])
@pytest.mark.parametrize("rules", PROFILES)
def test_both_ways_give_the_same(
    nested: Dataset,
    encode: Callable[..., bytes],
    make_profile: Callable[..., Profile],
    rules: str,
    form: str,
    implicit: bool,
    little: bool,
) -> None:
    value = encode(undefined(nested) if form == "undefined" else nested, implicit=implicit, little=little)
    profile = make_profile(PROFILES[rules], basic=True)
    first, second = both_ways(profile, value, implicit, little)
    assert isinstance(first, bytes)
    assert first == second
    if rules not in ("kept sequence", "uids of texts"):  # which keep texts in it
        for word in (b"Quill", b"PATIENT-1", b"Dr Who", b"4711"):
            assert word not in first or rules == "kept private"


def test_item_that_is_not_in_order_is_put_in_order(encode: Callable[..., bytes], image: Dataset) -> None:
    image.ReferencedImageSequence = [make_item(ReferencedSOPInstanceUID="1.2.3.1", PatientID="PATIENT-1")]
    value = encode(image)
    uid, patient_id = b"\x08\x00\x55\x11UI\x08\x001.2.3.1\0", b"\x10\x00\x20\x00LO\x0a\x00PATIENT-1 "
    assert uid + patient_id in value
    first, second = both_ways(basic_profile(), value.replace(uid + patient_id, patient_id + uid), False, True)
    assert first == second == both_ways(basic_profile(), value, False, True)[0]


def test_both_ways_refuse_what_is_cut_off_or_damaged(nested: Dataset, encode: Callable[..., bytes]) -> None:
    nested.PerFrameFunctionalGroupsSequence = nested.PerFrameFunctionalGroupsSequence[:1]
    value = encode(nested)
    start = value.index(b"\x00\x52\x30\x92SQ") + 12
    for position in range(start, len(value) - 8, 5):
        damaged = value[:position] + b"\xff\xfe\x7f" + value[position + 3 :]
        try:
            first, second = both_ways(basic_profile(), damaged, False, True)
        except DeidentificationError:
            continue  # not even a data set
        assert first == second


def test_both_ways_give_the_same_for_the_files_of_pydicom(sample_files: list[Path]) -> None:
    count = 0
    for path in sample_files:
        received = pydicom.dcmread(path)
        received.PatientID = "PID-1"
        implicit, little = received.original_encoding
        file = BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pydicom.dcmwrite(
                    file, received, implicit_vr=bool(implicit), little_endian=bool(little), enforce_file_format=False
                )
                value = file.getvalue()[132 if file.getvalue()[128:132] == b"DICM" else 0 :]
                decode_dataset(value, implicit=bool(implicit), little=bool(little))
            except (TypeError, DeidentificationError):
                continue
        count += 1
        first, second = both_ways(basic_profile(), value, bool(implicit), bool(little))
        assert first == second, path
    assert count > 150


def test_presence_is_known_without_taking_the_received_data_set_apart(
    nested: Dataset, encode: Callable[..., bytes], make_profile: Callable[..., Profile]
) -> None:
    profile = make_profile(
        "  - name: e\n    codename: expression.on.tags\n    tags: [XXXXXXXX]\n"
        '    arguments: {expr: "tagIsPresent(#Tag.FrameAcquisitionDateTime) && vr == #VR.PN ? Remove() : null"}\n'
    )
    received = decode_dataset(encode(nested), implicit=False)
    result = profile.morph(received, PROJECT)
    assert isinstance(result, Result)
    assert "PatientName" not in result.dataset
    assert received.get_item("PerFrameFunctionalGroupsSequence").is_raw
    assert received.get_item("PatientBirthDate").is_raw
