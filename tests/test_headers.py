"""Headers are read from whatever arrives: found as pydicom finds them, or refused, and nothing else."""

from __future__ import annotations

import json
import mmap
import struct
import warnings
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from karnak_core.elements import DEEPEST_NESTING, UnreadableDataSet
from karnak_core.headers import read_header
from karnak_core.model import Header
from karnak_core.part10 import read_beginning

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def make_data_set(**elements: Any) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = "2.25.1"
    ds.StudyInstanceUID = "2.25.2"
    ds.SeriesInstanceUID = "2.25.3"
    ds.Modality = "CT"
    ds.PatientID = "P1"
    ds.Rows = 7
    ds.PixelData = b"\0\1" * 10
    ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def encode(ds: Dataset, syntax: str) -> bytes:
    sink = DicomBytesIO()
    sink.is_implicit_VR = syntax == ImplicitVRLittleEndian
    sink.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(sink, ds)
    data = sink.getvalue()
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
    return data


def uids(header: Header) -> tuple[str, str, str, str]:
    return (
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        header.series_instance_uid,
    )


def is_found_or_refused(data: bytes, syntax: str) -> Header | None:
    """Read; None: refused. Anything but a header or a refusal fails the test, and so does what cannot be stored."""
    try:
        header = read_header(data, syntax)
    except UnreadableDataSet:
        return None
    for text in (*uids(header), *header.facts.values()):
        assert "\0" not in text
        text.encode("utf-8")
    assert all(len(uid) <= 64 for uid in uids(header))
    json.dumps(dict(header.facts))
    return header


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in Explicit VR Little Endian."""
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OD", b"OF", b"OL", b"OV", b"SV", b"UV"):
        return head + struct.pack("<HI", 0, length) + value
    return head + struct.pack("<H", length) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length) + value


def item(value: bytes, *, undefined: bool) -> bytes:
    if undefined:
        return implicit(0xFFFEE000, value, 0xFFFFFFFF) + implicit(0xFFFEE00D, b"")
    return implicit(0xFFFEE000, value)


UNDEFINED = 0xFFFFFFFF
SEQUENCE_END = implicit(0xFFFEE0DD, b"")
STUDY = element(0x0020000D, b"UI", b"2.25.2\0\0"[:8])


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_uids_and_facts_are_found(syntax: str) -> None:
    header = read_header(encode(make_data_set(StudyDescription="Head"), syntax), syntax)
    assert uids(header) == (CT, "2.25.1", "2.25.2", "2.25.3")
    assert header.facts == {"Modality": "CT", "PatientID": "P1", "StudyDescription": "Head"}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: Callable[[bytes], Any]) -> None:
    assert uids(read_header(kind(encode(make_data_set(), ExplicitVRLittleEndian)), ExplicitVRLittleEndian))[0] == CT


def test_a_compressed_syntax_is_explicit_little_endian() -> None:
    assert uids(read_header(encode(make_data_set(), ExplicitVRLittleEndian), JPEGBaseline8Bit))[1] == "2.25.1"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_before_the_uids_are_passed_however_deep(syntax: str, undefined: bool) -> None:
    inner = Dataset()
    inner.StudyInstanceUID = "9.9.9"
    inner.SOPInstanceUID = "9.9.8"
    inner.PatientID = "wrong"
    for _ in range(5):
        outer = Dataset()
        outer.SeriesInstanceUID = "9.9.7"
        outer.ReferencedStudySequence = Sequence([inner, Dataset(), inner])
        outer["ReferencedStudySequence"].is_undefined_length = undefined
        for each in outer.ReferencedStudySequence:
            each.is_undefined_length_sequence_item = undefined
        inner = outer
    ds = make_data_set(ReferencedStudySequence=Sequence([inner]), ReferencedImageSequence=Sequence([]))
    ds["ReferencedStudySequence"].is_undefined_length = undefined
    ds["ReferencedImageSequence"].is_undefined_length = undefined
    header = read_header(encode(ds, syntax), syntax)
    assert uids(header) == (CT, "2.25.1", "2.25.2", "2.25.3")
    assert header.facts["PatientID"] == "P1"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_private_elements_and_large_values_before_the_uids_are_passed(syntax: str) -> None:
    ds = make_data_set()
    block = ds.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(0x01, "OB", b"\1\2\3\4" * 20_000)
    block.add_new(0x02, "UN", b"\1\2")
    block.add_new(0x03, "LO", "text")
    block.add_new(0x04, "SQ", [make_data_set(SOPInstanceUID="9.9")])
    assert uids(read_header(encode(ds, syntax), syntax)) == (CT, "2.25.1", "2.25.2", "2.25.3")


def test_un_of_undefined_length_holds_implicit_items() -> None:
    inside = implicit(0x00080018, b"9.9 ") + implicit(
        0x00081110, item(implicit(0x0020000D, b"9.8 "), undefined=True) + SEQUENCE_END, UNDEFINED
    )
    for undefined in (True, False):
        data = (
            element(0x00080018, b"UI", b"2.25.1\0\0"[:6])
            + element(0x00091001, b"UN", item(inside, undefined=undefined) + SEQUENCE_END, UNDEFINED)
            + STUDY
        )
        header = read_header(data, ExplicitVRLittleEndian)
        assert (header.sop_instance_uid, header.study_instance_uid) == ("2.25.1", "2.25.2")


def test_fragments_inside_an_item_are_passed() -> None:
    icon = element(0x7FE00010, b"OB", item(b"", undefined=False) + item(b"\xff\xd8" * 9, undefined=False), UNDEFINED)
    sequence = item(icon + SEQUENCE_END, undefined=True) + SEQUENCE_END
    data = element(0x00091001, b"SQ", sequence, UNDEFINED) + STUDY
    assert read_header(data, ExplicitVRLittleEndian).study_instance_uid == "2.25.2"


@pytest.mark.parametrize(
    ("charset", "python", "text"),
    [
        ("ISO_IR 100", "latin-1", "Müller^Jürgen"),
        ("ISO_IR 192", "utf-8", "Müller^山田"),
        ("GB18030", "gb18030", "王^小东"),
        ("GBK", "gbk", "王^小东"),
        ("ISO_IR 144", "iso8859_5", "Люкceмбypг"),
        ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ],
)
def test_texts_are_decoded(charset: str, python: str, text: str) -> None:
    ds = make_data_set(PatientName="x")
    data = encode(ds, ExplicitVRLittleEndian)
    name = text.encode(python)
    name += b" " * (len(name) % 2)
    cs = charset.encode() + b" " * (len(charset) % 2)
    data = element(0x00080005, b"CS", cs) + data.replace(
        element(0x00100010, b"PN", b"x "), element(0x00100010, b"PN", name)
    )
    assert read_header(data, ExplicitVRLittleEndian).facts["PatientName"] == text


def test_iso_2022_is_decoded() -> None:
    name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    data = element(0x00080005, b"CS", b"\\ISO 2022 IR 87") + element(0x00100010, b"PN", name + b" " * (len(name) % 2))
    assert read_header(data, ExplicitVRLittleEndian).facts["PatientName"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize(
    "charset",
    [
        b"nonsense",
        b"ISO IR 100",
        b"ISO-IR 100",
        b"ISO_IR 192\\ISO_IR 100",
        b"\\\\\\",
        b"ISO 2022 IR 87\\ISO_IR 192",
        b"\xff\xfe",
        b"hex",
        b"zlib",
        b"unicode_escape",
        b"utf_7",
        b"utf_16",
        b"idna",
        b"undefined",
        b"ISO 2022 IR 999\\ISO 2022 IR 149",
        b"ISO_IR 192\0",
    ],
)
def test_an_odd_character_set_is_survived(charset: bytes) -> None:
    for value in (b"M\xfcller", b"\xff\xfe\xfd", b"\x1b$B\x00\x1b", b"\x1b", b"\\ud800\xfc", b"\xed\xa0\x80"):
        data = element(0x00080005, b"CS", charset) + element(0x00100010, b"PN", value) + STUDY
        header = is_found_or_refused(data, ExplicitVRLittleEndian)
        assert header is not None
        assert header.study_instance_uid == "2.25.2"


def test_values_are_cut_and_uids_cleaned() -> None:
    data = (
        element(0x00080018, b"UI", b" 1.2.3 \0")
        + element(0x00100010, b"PN", b"x" * 5000)
        + element(0x0020000D, b"UI", b"1" * 5000)
    )
    header = read_header(data, ExplicitVRLittleEndian)
    assert header.sop_instance_uid == "1.2.3"
    assert len(header.facts["PatientName"]) == 1024
    assert len(header.study_instance_uid) == 64


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_empty_values_are_empty(syntax: str) -> None:
    ds = make_data_set(StudyInstanceUID="", PatientID="", PatientName="", StudyDate="", AccessionNumber=None)
    header = read_header(encode(ds, syntax), syntax)
    assert header.study_instance_uid == ""
    assert header.facts["PatientID"] == ""


def test_an_empty_data_set_has_an_empty_header() -> None:
    for syntax in SYNTAXES[:3]:
        assert read_header(b"", syntax) == Header()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_data_set_cut_anywhere_is_read_or_refused(syntax: str) -> None:
    ds = make_data_set(ReferencedStudySequence=Sequence([make_data_set()]), PatientName="Müller")
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds["ReferencedStudySequence"].is_undefined_length = True
    whole = encode(ds, syntax)
    refused = 0
    for end in range(len(whole)):
        refused += is_found_or_refused(whole[:end], syntax) is None
    assert refused > 20
    assert read_header(whole, syntax).series_instance_uid == "2.25.3"


def test_a_value_that_is_cut_is_refused_and_not_read_short() -> None:
    data = encode(make_data_set(), ExplicitVRLittleEndian)
    at = data.index(b"2.25.2")
    with pytest.raises(UnreadableDataSet):
        read_header(data[: at + 3], ExplicitVRLittleEndian)


def test_a_large_broken_data_set_is_refused_where_it_is_mapped(tmp_path: Path) -> None:
    """As the receiver does with what is too large for memory."""
    path = tmp_path / "broken"
    for data in (
        element(0x00080018, b"UI", b"1.2 ") + element(0x00100010, b"PN", b"x", 5000),
        element(0x00081110, b"SQ", item(b"\0" * 7, undefined=True), UNDEFINED),
        element(0x00081110, b"SQ", b"\0\0", UNDEFINED),
        b"\x08\x00\x18\x00??\x00\x00" * 4,
    ):
        path.write_bytes(data)
        with path.open("r+b") as file, pytest.raises(UnreadableDataSet):  # noqa: SIM117
            with mmap.mmap(file.fileno(), 0) as mapped, memoryview(mapped) as view, view[0:] as part:
                read_header(part, ExplicitVRLittleEndian)


def test_sequences_nested_too_deep_are_refused() -> None:
    for explicit in (True, False):
        deep = b""
        for _ in range(5000):
            inner = item(deep, undefined=True)[:-8] if not deep else implicit(0xFFFEE000, deep, UNDEFINED)
            deep = element(0x00081110, b"SQ", inner, UNDEFINED) if explicit else implicit(0x00081110, inner, UNDEFINED)
        syntax = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
        with pytest.raises(UnreadableDataSet, match=str(DEEPEST_NESTING)):
            read_header(deep, syntax)


def test_what_is_no_data_set_is_refused() -> None:
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(20), b"<html>" * 20, b"DICM" * 50):
        for syntax in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
            is_found_or_refused(data, syntax)
    with pytest.raises(UnreadableDataSet):
        read_header(b"no deflate stream", DeflatedExplicitVRLittleEndian)


def test_a_bomb_is_not_inflated_as_a_whole() -> None:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = encode(make_data_set(), ExplicitVRLittleEndian)
    data = deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(300)) + deflater.flush()
    assert uids(read_header(data, DeflatedExplicitVRLittleEndian))[3] == "2.25.3"


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.binary(max_size=300), syntax=st.sampled_from(SYNTAXES))
@example(data=b"\xfe\xff\x00\xe0" * 10, syntax=ImplicitVRLittleEndian)
def test_random_bytes_are_read_or_refused(data: bytes, syntax: str) -> None:
    is_found_or_refused(data, syntax)


@settings(max_examples=300, deadline=None, database=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=6),
    syntax=st.sampled_from(SYNTAXES[:3]),
)
def test_a_data_set_with_changed_bytes_is_read_or_refused(changes: list[tuple[int, int]], syntax: str) -> None:
    ds = make_data_set(ReferencedStudySequence=Sequence([make_data_set()]), PatientName="Müller")
    ds.SpecificCharacterSet = "ISO_IR 192"
    data = bytearray(encode(ds, syntax))
    for at, value in changes:
        data[at % len(data)] = value
    is_found_or_refused(bytes(data), syntax)


def sample_files() -> list[Path]:
    """Every file of pydicom's that is there, with a data set in it."""
    found: list[Path] = []
    for module, folder in (("pydicom", "data/test_files"), ("data_store", "data")):
        spec = find_spec(module)
        assert spec
        assert spec.origin
        found += [path for path in sorted((Path(spec.origin).parent / folder).rglob("*")) if path.is_file()]
    return found


def test_pydicoms_files_are_read_as_pydicom_reads_them() -> None:
    compared, differences = 0, {}
    for path in sample_files():
        try:
            with path.open("rb") as file:
                beginning = read_beginning(file)
        except ValueError:
            continue
        data = path.read_bytes()[beginning.dataset_offset :]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ds = pydicom.dcmread(BytesIO(path.read_bytes()), stop_before_pixels=True)
                expected: Any = tuple(str(ds.get(keyword) or "").strip() for keyword in UIDS)
        except Exception as error:
            expected = type(error).__name__
        header = is_found_or_refused(data, beginning.transfer_syntax_uid)
        compared += 1
        if header is None or uids(header) != expected:
            differences[path.name] = (expected, header and uids(header))
    assert compared > 80
    assert differences == {}


@pytest.mark.parametrize(("written", "agreed"), [SYNTAXES[:2], SYNTAXES[1::-1]])
def test_elements_with_and_without_vr_are_told_apart_whatever_was_agreed(written: str, agreed: str) -> None:
    assert written != agreed
    data = encode(make_data_set(), written)
    assert uids(read_header(data, agreed)) == uids(read_header(data, written)) == (CT, "2.25.1", "2.25.2", "2.25.3")
