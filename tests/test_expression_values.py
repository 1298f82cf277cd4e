"""How the text of data elements is read: still encoded or not, and without touching anything else."""

import struct
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from karnak_core.expressions import (
    Condition,
    Expression,
    ExpressionError,
    Keep,
    Remove,
    Template,
    first_value,
    parse_tag,
)
from karnak_core.expressions.values import text_values

#: pydicom warns of its own accord when it reads such data sets.
odd_character_sets = pytest.mark.filterwarnings("ignore:.*Specific Character Set", "ignore:Unknown encoding")


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Encode in Explicit VR Little Endian."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in ("OB", "OW", "SQ", "UC", "UN", "UR", "UT"):
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def read(*elements: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(b"".join(elements)), force=True, stop_before_pixels=True)


def texts_of(tag: int, vr: str, value: bytes, character_set: bytes = b"") -> tuple[str, ...]:
    elements = [element(0x00080005, "CS", character_set)] if character_set else []
    return text_values(read(*elements, element(tag, vr, value)), tag)


@pytest.mark.parametrize(
    ("tag", "vr", "value", "expected"),
    [
        (0x00081030, "LO", b" a b \\c ", ("a b", "c")),
        (0x00080008, "CS", b"ORIGINAL\\PRIMARY", ("ORIGINAL", "PRIMARY")),
        (0x00080008, "CS", b"\\PRIMARY", ("", "PRIMARY")),
        (0x00080018, "UI", b"1.2.3\0", ("1.2.3",)),
        (0x00081030, "LO", b"  ", ()),
        (0x00081030, "LO", b"", ()),
        (0x00104000, "LT", b"  a\\b  ", ("  a\\b",)),
        (0x00180050, "DS", b"1.50 \\ 02", ("1.50", "02")),
        (0x00200013, "IS", b"007 ", ("007",)),
        (0x00200013, "IS", b"1.5 ", ("1.5",)),
        (0x00280010, "US", struct.pack("<H", 512), ("512",)),
        (0x00280010, "US", struct.pack("<2H", 1, 2), ("1", "2")),
        (0x00189074, "DT", b"20200101", ("20200101",)),
        (0x00189087, "FD", struct.pack("<d", 0.1), ("0.1",)),
        (0x00189087, "FD", struct.pack("<d", 1000), ("1000",)),
        (0x00089459, "FL", struct.pack("<f", 0.1), ("0.1",)),
        (0x00089459, "FL", struct.pack("<f", 16777217), ("16777216",)),
        (0x00280009, "AT", struct.pack("<2H", 0x0018, 0x1063), ("00181063",)),
        (0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2 ")), ()),
    ],
)
def test_values_are_text_without_padding(tag: int, vr: str, value: bytes, expected: tuple[str, ...]) -> None:
    assert texts_of(tag, vr, value) == expected


def test_values_set_in_memory_read_as_encoded_ones_do() -> None:
    dataset = Dataset()
    dataset.PatientName = "Doe^John "
    dataset.OtherPatientIDs = ["a", "b"]
    dataset.SliceThickness = "1.50"
    dataset.SeriesNumber = "007"
    dataset.Rows = 512
    dataset.FrameIncrementPointer = 0x00181063
    dataset.StudyDescription = None
    dataset.ReferencedImageSequence = Sequence([Dataset()])
    tags = [data_element.tag for data_element in dataset]
    before = [text_values(dataset, tag) for tag in tags]
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    assert ("Doe^John",) in before
    assert ("1.50",) in before
    assert ("00181063",) in before
    assert [text_values(read(file.getvalue()), tag) for tag in tags] == before


@odd_character_sets
@pytest.mark.parametrize(
    ("character_set", "value", "expected"),
    [
        (b"ISO_IR 100", b"M\xfcller", "Müller"),
        (b"ISO_IR 192", "Müller".encode(), "Müller"),
        (b"ISO IR 100", b"M\xfcller", "Müller"),
        (b"ISO_IR 144", "Иванов".encode("iso8859-5"), "Иванов"),
        (b"", b"M\xfcller", "Müller"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (b"GB18030 ", "王^小东".encode("gb18030"), "王^小东"),
        (b"NOT KNOWN", b"Mueller", "Mueller"),
    ],
)
def test_text_is_decoded_by_the_specific_character_set(character_set: bytes, value: bytes, expected: str) -> None:
    assert texts_of(0x00100010, "PN", value, character_set) == (expected,)


@odd_character_sets
@pytest.mark.parametrize(
    ("tag", "vr", "value", "character_set"),
    [
        (0x00100010, "PN", b"M\xfcller", b"ISO_IR 192"),
        (0x00100010, "PN", b"M\xfcller", b"NOT KNOWN"),
        (0x00280010, "US", b"abc", b""),
        (0x00091001, "UN", b"Muller", b""),
        (0x00282000, "OB", b"Muller", b""),
    ],
)
def test_condition_on_what_cannot_be_read_cannot_be_decided_and_tells_no_value(
    tag: int, vr: str, value: bytes, character_set: bytes
) -> None:
    elements = [element(0x00080005, "CS", character_set)] if character_set else []
    dataset = read(*elements, element(tag, vr, value))
    condition = Condition.parse(f"!tagValueContains({tag}, 'x')")
    with pytest.raises(ExpressionError) as caught:
        condition.holds(dataset)
    assert f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {vr}: " in str(caught.value)
    assert "ller" not in str(caught.value)
    assert "abc" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(ExpressionError):
        first_value(dataset, tag)


def test_binary_element_is_present_although_it_has_no_text() -> None:
    dataset = read(element(0x00282000, "OB", b"ab"), element(0x00283006, "OW", b""))
    assert Condition.parse("tagIsPresent(#Tag.ICCProfile)").holds(dataset)
    assert not Condition.parse("tagIsPresent(#Tag.LUTData)").holds(dataset)


def test_first_value_is_null_when_there_is_none() -> None:
    dataset = read(element(0x00080008, "CS", b"\\PRIMARY"), element(0x00100010, "PN", b"Doe^John"))
    assert first_value(dataset, 0x00080008) is None
    assert first_value(dataset, 0x00100020) is None
    assert first_value(dataset, 0x00100010) == "Doe^John"
    assert not Condition.parse("tagIsPresent(#Tag.ImageType)").holds(dataset)
    assert Condition.parse("tagValueContains(#Tag.ImageType, 'PRIMARY')").holds(dataset)


def test_element_without_vr_has_that_of_the_dictionaries() -> None:
    implicit = struct.pack("<HHI", 0x0010, 0x0010, 8) + b"Doe^John" + struct.pack("<HHI", 0x0028, 0x0010, 2) + b"\0\2"
    dataset = read(implicit)
    assert text_values(dataset, 0x00100010) == ("Doe^John",)
    assert text_values(dataset, 0x00280010) == ("512",)
    assert text_values(read(element(0x00100010, "UN", b"Doe^John")), 0x00100010) == ("Doe^John",)


def test_private_element_without_vr_has_that_of_its_creator() -> None:
    creator = element(0x00190010, "LO", b"SIEMENS CT VA0  COAD")
    assert text_values(read(creator, element(0x00191022, "UN", b"1.5 ")), 0x00191022) == ("1.5",)
    with pytest.raises(ValueError, match="UN: this VR has no text"):
        text_values(read(element(0x00191022, "UN", b"1.5 ")), 0x00191022)


def test_only_the_element_asked_for_is_read() -> None:
    dataset = read(
        element(0x00081030, "LO", b"HEAD"),
        element(0x00100010, "PN", b"Doe^John"),
        element(0x00280010, "US", b"\0\2"),
    )
    assert Condition.parse("tagValueIsPresent(#Tag.StudyDescription, 'HEAD')").holds(dataset)
    assert Template.parse("{{getString(#Tag.Rows)}}").render(dataset) == "512"
    assert isinstance(dataset.get_item(0x00081030), RawDataElement)
    assert isinstance(dataset.get_item(0x00100010), RawDataElement)


def test_presence_is_looked_for_in_nested_items_without_decoding_values() -> None:
    inner = item(element(0x00081155, "UI", b"1.2 "))
    outer = item(element(0x00100010, "PN", b"Doe^John") + element(0x00081140, "SQ", inner))
    dataset = read(element(0x00081030, "LO", b"HEAD"), element(0x00081115, "SQ", outer))
    expression = Expression.parse("tagIsPresent(#Tag.ReferencedSOPInstanceUID) ? Remove() : Keep()")
    assert expression.action(dataset, 0x00081030, "LO", "HEAD") == Remove()
    assert isinstance(dataset.get_item(0x00081030), RawDataElement)
    assert isinstance(dataset[0x00081115].value[0].get_item(0x00100010), RawDataElement)
    absent = Expression.parse("tagIsPresent(#Tag.PatientID) ? Remove() : Keep()")
    assert absent.action(dataset, 0x00081030, "LO", "HEAD") == Keep()


def test_expression_on_a_sequence_that_cannot_be_decoded_is_an_error() -> None:
    dataset = read(element(0x00081140, "SQ", b"abc"))
    expression = Expression.parse("tagIsPresent(#Tag.PatientID) ? Remove() : Keep()")
    with pytest.raises(ExpressionError, match=r"\(0008,1140\) SQ: its items cannot be decoded"):
        expression.action(dataset, 0x00081140, "SQ", None)


def test_very_deep_items_do_not_exhaust_the_stack() -> None:
    dataset = Dataset()
    dataset.PatientID = "x"
    for _ in range(3000):
        outer = Dataset()
        outer.add_new(Tag(0x00081140), "SQ", [dataset])
        dataset = outer
    expression = Expression.parse("tagIsPresent(#Tag.PatientID) ? Remove() : Keep()")
    assert expression.action(dataset, 0x00081140, "SQ", None) == Remove()
    unwind: Any = dataset  # Python frees nested data sets by recursion: take them apart from the outside
    while "ReferencedImageSequence" in unwind:
        unwind = unwind.ReferencedImageSequence.pop()


@pytest.mark.parametrize("text", ["0008,1030", "(0008,1030)", "00081030", "(0008, 1030)", " 0008,1030 ", "(00081030)"])
def test_tag_is_read_in_every_usual_form(text: str) -> None:
    assert parse_tag(text) == 0x00081030


@pytest.mark.parametrize("text", ["", "0008", "0008,103", "0008,10300", "(0008,1030", "0008,1030)", "0008-1030", "x"])
def test_malformed_tag_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="is not a tag"):
        parse_tag(text)


def test_tag_is_hexadecimal() -> None:
    assert parse_tag("7fe0,0010") == 0x7FE00010
    with pytest.raises(ExpressionError):
        parse_tag("00G0,0010")
