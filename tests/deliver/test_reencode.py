"""A data set in another transfer syntax is the same data set, and what cannot be the same is refused."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from karnak_core.deliver.reencode import reencoded
from karnak_core.errors import Permanent
from karnak_core.model import Outgoing
from karnak_core.part10 import file_beginning, read_beginning

CT = "1.2.840.10008.5.1.4.1.1.2"
SOURCES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
TARGETS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
PIXEL_DATA = 0x7FE00010


def beginning(syntax: str) -> bytes:
    return file_beginning(
        sop_class_uid=CT, sop_instance_uid="2.25.1", transfer_syntax_uid=syntax, calling_ae_title="CALLER"
    )


def read(data: bytes, syntax: str) -> Dataset:
    """Read a data set without file meta information."""
    ds = pydicom.dcmread(BytesIO(beginning(syntax) + data))
    assert ds.file_meta.TransferSyntaxUID == syntax
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
        data += b"\0" * (len(data) % 2)
    return data


def outgoing_of(path: Path, syntax: str, offset: int) -> Outgoing:
    return Outgoing(
        path=path,
        dataset_offset=offset,
        size=path.stat().st_size,
        sop_class_uid=CT,
        sop_instance_uid="2.25.1",
        study_instance_uid="2.25.2",
        series_instance_uid="2.25.3",
        transfer_syntax_uid=syntax,
    )


def convert(data: bytes, source: str, target: str, folder: Path) -> bytes:
    path = folder / "source.dcm"
    start = beginning(source)
    path.write_bytes(start + data)
    with reencoded(outgoing_of(path, source, len(start)), target, folder / "workspace") as (found, offset, length):
        result = found.read_bytes()[offset : offset + length]
    assert list((folder / "workspace").glob("*")) == []
    return result


def same(vr: str, value: Any, after: Any) -> bool:
    if value in (None, "", b""):
        return after in (None, "", b"")
    if vr in {"FL", "FD"}:
        return bool(np.array_equal(np.array(value, float), np.array(after, float), equal_nan=True))
    return bool(value == after)


def words(vr: str, value: Any) -> bytes:
    """A value of 16-bit words as it is encoded: the dictionary leaves open whether it is US, SS or OW."""
    if vr == "OW":
        return bytes(value)
    values = list(value) if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    return struct.pack(f"<{len(values)}{'h' if vr == 'SS' else 'H'}", *values)


def differences(source: Dataset, result: Dataset, *, implicit: bool, place: str = "") -> list[str]:
    """What is not the same; in Implicit VR the VR of what the dictionary does not know is lost, its bytes are not."""
    # retired group lengths may go
    before = {int(each.tag): each for each in source if each.tag.element != 0}
    after = {int(each.tag): each for each in result if each.tag.element != 0}
    found = [f"{place}{tag:08X} is missing" for tag in before.keys() - after.keys()]
    found += [f"{place}{tag:08X} is new" for tag in after.keys() - before.keys()]
    for tag in before.keys() & after.keys() - {PIXEL_DATA}:
        one, other = before[tag], after[tag]
        if implicit and one.VR != other.VR and ("UN" in (one.VR, other.VR) or one.tag.is_private):
            continue
        if implicit and one.VR != other.VR and {one.VR, other.VR} <= {"US", "SS", "OW"}:
            if words(one.VR, one.value) != words(other.VR, other.value):
                found.append(f"{place}{tag:08X} {one.VR}/{other.VR}: other words")
        elif one.VR == other.VR == "SQ":
            if len(one.value) != len(other.value):
                found.append(f"{place}{tag:08X}: {len(one.value)} items became {len(other.value)}")
            for number, (item, item_after) in enumerate(zip(one.value, other.value, strict=False)):
                inside = f"{place}{tag:08X}[{number}]."
                found += differences(item, item_after, implicit=implicit, place=inside)
        elif one.VR != other.VR or not same(one.VR, one.value, other.value):
            found.append(f"{place}{tag:08X} {one.VR}/{other.VR}: {str(one.value)[:40]!r}, {str(other.value)[:40]!r}")
    return found


def make_data_set() -> Dataset:
    """One of every VR, sequences and private elements, in a form that is the same in every encoding."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = "2.25.1"
    ds.PatientName = "Müller^Jürgen=山田"
    ds.PatientID = "P1"
    ds.StudyInstanceUID = "2.25.2"
    ds.SeriesInstanceUID = "2.25.3"
    ds.StudyDate = "20200229"
    ds.StudyTime = "120000.5"
    ds.AcquisitionDateTime = "20200229120000.000001+0100"
    ds.PatientAge = "030Y"
    ds.SliceThickness = "1.5"
    ds.ImagePositionPatient = ["-1.5", "2e3", "0.0"]
    ds.InstanceNumber = "7"
    ds.ImageComments = "x" * 10_000
    ds.FrameIncrementPointer = [0x00181063, 0x00181065]
    ds.ReferencePixelX0 = -(2**31)
    ds.DisplayedAreaTopLeftHandCorner = [-5, 2**31 - 1]
    ds.RecommendedDisplayFrameRateInFloat = 1.25
    ds.SelectorFDValue = [1.5, -2.5e-300]
    ds.SelectorFLValue = [1.5, -2.5]
    ds.SelectorULValue = [1, 2**32 - 1]
    ds.SelectorSSValue = [-1, 2**15 - 1]
    ds.SelectorSVValue = [-(2**63), 2**63 - 1]
    ds.SelectorUVValue = [2**64 - 1]
    ds.SelectorODValue = struct.pack("<2d", 1.5, -2.5)
    ds.SelectorOFValue = struct.pack("<2f", 1.5, -2.5)
    ds.SelectorOLValue = struct.pack("<2I", 1, 2**31)
    ds.SelectorOWValue = struct.pack("<3H", 1, 2, 0x1234)
    ds.SelectorOBValue = b"\1\2\3\4"
    ds.SelectorUCValue = ["long", "ä" * 70_000]
    ds.SelectorUTValue = "text"
    ds.Rows = 2
    ds.Columns = 3
    ds.BitsAllocated = 16
    ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.SmallestImagePixelValue = -300
    ds["SmallestImagePixelValue"].VR = "SS"
    ds.RedPaletteColorLookupTableDescriptor = [256, 0, 16]
    ds["RedPaletteColorLookupTableDescriptor"].VR = "US"
    ds.RedPaletteColorLookupTableData = struct.pack("<256H", *range(256))
    ds["RedPaletteColorLookupTableData"].VR = "OW"
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "2.25.9"
    inner.SelectorSSValue = -5
    inner.SelectorOWValue = struct.pack("<2H", 0x1234, 0x5678)
    empty = Dataset()
    outer = Dataset()
    outer.ReferencedImageSequence = [inner, empty]
    outer.SelectorFDValue = 2.5
    ds.ReferencedStudySequence = [outer, inner]
    ds.ReferencedImageSequence = []
    block = ds.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(0x01, "OB", b"\1\2\3\4")
    block.add_new(0x02, "LO", "privät")
    block.add_new(0x03, "US", 258)
    block.add_new(0x04, "FD", 1.5)
    block.add_new(0x05, "UN", b"\1\2\3\4")
    block.add_new(0x06, "SQ", [inner])
    ds.PixelData = np.array([[-300, 1, 2], [3, 4, 32767]], "<i2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.add(DataElement(0xFFFCFFFC, "OB", b"\0\0"))
    return ds


def in_order(ds: Dataset, order: str) -> Dataset:
    """The same data set with the values that pydicom does not swap by itself in another byte order."""
    if order == "<":
        return ds
    sizes = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
    for each in ds:
        if each.VR == "SQ":
            for item in each.value:
                in_order(item, order)
        elif each.VR in sizes:
            each.value = np.frombuffer(each.value, f"<u{sizes[each.VR]}").astype(f">u{sizes[each.VR]}").tobytes()
    return ds


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("undefined", [True, False])
def test_every_kind_of_element_is_carried_over(source: str, target: str, undefined: bool, tmp_path: Path) -> None:
    ds = make_data_set()
    for sequence in (ds["ReferencedStudySequence"], ds.ReferencedStudySequence[0]["ReferencedImageSequence"]):
        sequence.is_undefined_length = undefined
        for item in sequence.value:
            item.is_undefined_length_sequence_item = undefined
    data = encode(in_order(ds, ">" if source == ExplicitVRBigEndian else "<"), source)
    result = read(convert(data, source, target, tmp_path), target)
    expected = read(encode(make_data_set(), ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    implicit = ImplicitVRLittleEndian in (source, target)
    assert differences(expected, result, implicit=implicit) == []
    assert result.PixelData == make_data_set().PixelData
    assert result[0xFFFCFFFC].value == b"\0\0"
    assert result[0x00091001].value == b"\1\2\3\4"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_texts_that_are_not_in_their_character_set_keep_their_bytes(tmp_path: Path) -> None:
    """What was sent wrong is not to be made worse: it may still be read by who knows better."""
    for source in (ExplicitVRBigEndian, ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        order = ">" if source == ExplicitVRBigEndian else "<"

        def element(tag: int, vr: bytes, value: bytes, source: str = source, order: str = order) -> bytes:
            head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
            if source == ImplicitVRLittleEndian:
                return head + struct.pack("<I", len(value)) + value
            return head + vr + struct.pack(order + "H", len(value)) + value

        inner = (
            element(0x00080005, b"CS", b"ISO_IR 192")
            + element(0x00100010, b"PN", b"M\xfcller^J\xfcrgen ")
            + element(0x00104000, b"LT", b"gr\xf6\xdfe ")
            + element(0x00180050, b"DS", b"no number ")
        )
        item = struct.pack(order + "HHI", 0xFFFE, 0xE000, len(inner)) + inner
        data = inner + (
            struct.pack(order + "HH", 0x0020, 0x9116)
            + (b"" if source == ImplicitVRLittleEndian else b"SQ\0\0")
            + struct.pack(order + "I", len(item))
            + item
        )
        for target in TARGETS:
            if target == source:
                continue
            result = convert(data, source, target, tmp_path)
            for value in (b"M\xfcller^J\xfcrgen ", b"gr\xf6\xdfe ", b"no number "):
                assert result.count(value) == 2, (source, target)


@pytest.mark.parametrize("source", SOURCES)
def test_a_data_set_without_pixel_data_is_carried_over(source: str, tmp_path: Path) -> None:
    ds = make_data_set()
    del ds.PixelData
    del ds[0xFFFCFFFC]
    data = encode(in_order(ds, ">" if source == ExplicitVRBigEndian else "<"), source)
    result = read(convert(data, source, ExplicitVRLittleEndian, tmp_path), ExplicitVRLittleEndian)
    assert "PixelData" not in result
    assert result.PatientName == "Müller^Jürgen=山田"


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("source", SOURCES)
def test_pixels_of_any_size_are_the_same(bits: int, source: str, tmp_path: Path) -> None:
    ds = make_data_set()
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    pixels = np.array([[1, 2, 200], [3, 4, 2**bits - 2]], f"<u{bits // 8}")
    big = source == ExplicitVRBigEndian
    in_order(ds, ">" if big else "<")
    ds.PixelData = pixels.astype(f">u{bits // 8}" if big else f"<u{bits // 8}").tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    data = encode(ds, source)
    for target in TARGETS:
        result = read(convert(data, source, target, tmp_path), target)
        assert np.array_equal(result.pixel_array, pixels)


def test_a_large_pixel_data_passes_in_blocks(tmp_path: Path) -> None:
    ds = make_data_set()
    ds.Rows = ds.Columns = 1500
    pixels = np.arange(1500 * 1500, dtype=np.uint16).reshape(1500, 1500)
    ds.PixelRepresentation = 0
    in_order(ds, ">")
    ds.PixelData = pixels.astype(">u2").tobytes()
    result = read(
        convert(encode(ds, ExplicitVRBigEndian), ExplicitVRBigEndian, ExplicitVRLittleEndian, tmp_path),
        ExplicitVRLittleEndian,
    )
    assert np.array_equal(result.pixel_array, pixels)


@pytest.mark.parametrize("source", SOURCES)
def test_a_data_set_cut_anywhere_is_refused_or_as_pydicom_reads_it(source: str, tmp_path: Path) -> None:
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = "2.25.1"
    ds.BitsAllocated = 16
    ds.PixelData = b"\1\2" * 20
    ds["PixelData"].VR = "OW"
    data = encode(ds, source)
    for end in range(len(data)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with suppress(Permanent):
                convert(data[:end], source, ExplicitVRLittleEndian, tmp_path)
    with pytest.raises(Permanent):
        convert(data[:-4], source, ExplicitVRLittleEndian, tmp_path)


def test_compressed_pixel_data_is_refused(tmp_path: Path) -> None:
    data = (
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
        + b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    )
    with pytest.raises(Permanent):
        convert(data, ExplicitVRLittleEndian, ImplicitVRLittleEndian, tmp_path)


def test_the_reason_of_a_refusal_holds_no_value(tmp_path: Path) -> None:
    data = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 100) + b"SECRET"
    with pytest.raises(Permanent) as caught:
        convert(data, ExplicitVRLittleEndian, ImplicitVRLittleEndian, tmp_path)
    assert "SECRET" not in str(caught.value)


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(b"")
    outgoing = outgoing_of(path, ImplicitVRLittleEndian, 0)
    path.unlink()
    with pytest.raises(FileNotFoundError), reencoded(outgoing, ExplicitVRLittleEndian, tmp_path / "workspace"):
        pass


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_large_values_are_the_same_wherever_they_stand(source: str, target: str, tmp_path: Path) -> None:
    """Longer than what is held in memory: copied from the file, in the order of the elements."""

    def make() -> Dataset:
        ds = make_data_set()
        numbers = np.arange(300_000, dtype="<u8").tobytes()
        ds.SelectorOBValue = numbers
        ds.SelectorOWValue = numbers
        ds.SelectorOLValue = numbers
        ds.SelectorOVValue = numbers
        ds.SelectorODValue = numbers
        ds.SelectorUVValue = list(range(200_000))
        ds.SelectorUTValue = "ä" * 700_000
        ds.SelectorURValue = "https://example.org/" + "x" * 1_500_001
        ds.EncapsulatedDocument = numbers
        large = Dataset()
        large.SelectorOWValue = numbers
        large.PatientName = "Müller"
        ds.ReferencedStudySequence.append(large)
        ds.add(DataElement(0xFFFCFFFC, "OB", numbers))
        block = ds.private_block(0x0009, "SOMEBODY")
        block.add_new(0x07, "UN", numbers)
        return ds

    data = encode(in_order(make(), ">" if source == ExplicitVRBigEndian else "<"), source)
    result = read(convert(data, source, target, tmp_path), target)
    expected = read(encode(make(), ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert differences(expected, result, implicit=ImplicitVRLittleEndian in (source, target)) == []
    assert result.PixelData == make().PixelData
    assert list(result.keys()) == sorted(result.keys())
    assert result[0x00091007].value == make()[0x00091007].value
    assert result[0xFFFCFFFC].value == make()[0xFFFCFFFC].value


def test_a_large_value_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    ds = make_data_set()
    del ds.PixelData
    del ds[0xFFFCFFFC]
    data = encode(ds, ImplicitVRLittleEndian)
    data += struct.pack("<HHI", 0x7FDF, 0x1001, 3 << 20) + bytes(2 << 20)
    with pytest.raises(Permanent, match="ends inside an element"):
        convert(data, ImplicitVRLittleEndian, ExplicitVRLittleEndian, tmp_path)


def test_a_large_text_of_odd_length_is_padded(tmp_path: Path) -> None:
    text = b"x" * ((2 << 20) + 1)
    data = struct.pack("<HH2s2xI", 0x0072, 0x006E, b"UT", len(text)) + text
    result = convert(data, ExplicitVRLittleEndian, ImplicitVRLittleEndian, tmp_path)
    assert result == struct.pack("<HHI", 0x0072, 0x006E, len(text) + 1) + text + b" "


#: prints by how many bytes the most memory grew
MEASURED = """
import sys
from pathlib import Path
from karnak_core.deliver.reencode import reencoded
from karnak_core.model import Outgoing

def most():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

path, syntax, target, offset = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
outgoing = Outgoing(
    path=path, dataset_offset=offset, size=path.stat().st_size, sop_class_uid="1.2", sop_instance_uid="1.2.3",
    study_instance_uid="1.2", series_instance_uid="1.2", transfer_syntax_uid=syntax,
)
before = most()
with reencoded(outgoing, target, path.parent / "workspace") as (found, offset, length):
    assert length > 300 << 20
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("source", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_a_large_value_before_the_pixels_passes_in_blocks(source: str, tmp_path: Path) -> None:
    size = 300 << 20
    path, start = tmp_path / "large.dcm", beginning(source)
    order = ">" if source == ExplicitVRBigEndian else "<"
    head = struct.pack(order + "HH2s2xI", 0x0042, 0x0011, b"OW", size)
    with path.open("wb") as file:
        file.write(start)
        if source == DeflatedExplicitVRLittleEndian:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            file.write(deflater.compress(head))
            for _ in range(300):
                file.write(deflater.compress(bytes(1 << 20)))
            file.write(deflater.flush())
        else:
            file.write(head)
            file.truncate(len(start) + len(head) + size)
    command = [sys.executable, "-c", MEASURED, str(path), source, ImplicitVRLittleEndian, str(len(start))]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 150 << 20


def uncompressed_files() -> Iterator[tuple[Path, str, int]]:
    """Every uncompressed file of pydicom's: path, transfer syntax, offset of the data set."""
    for module, folder in (("pydicom", "data/test_files"), ("data_store", "data")):
        spec = find_spec(module)
        assert spec
        assert spec.origin
        for path in sorted((Path(spec.origin).parent / folder).rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    try:
                        start = read_beginning(file)
                    except ValueError:
                        continue
                if start.transfer_syntax_uid in SOURCES:
                    yield path, start.transfer_syntax_uid, start.dataset_offset


def pixels_of(ds: Dataset) -> Any:
    """The pixels, or where there is no way to decode them the bytes."""
    try:
        return ds.pixel_array
    except Exception:
        return np.frombuffer(ds.get("PixelData") or b"", "u1")


#: what pydicom's files hold that cannot be carried over, by file: and why
REFUSED = ("MR_truncated.dcm", "rtplan_truncated.dcm")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("target", TARGETS)
def test_pydicoms_files_are_the_same_in_the_other_syntax(target: str, tmp_path: Path) -> None:
    wrong: dict[str, Any] = {}
    compared = 0
    for path, syntax, offset in uncompressed_files():
        if syntax == target:
            continue
        try:
            source = pydicom.dcmread(path)
            assert len(list(source.iterall())) > 0
            pixels = pixels_of(source)
        except Exception:
            continue
        if syntax == ExplicitVRBigEndian:
            # pydicom gives these as they are in the file
            in_order(source, ">")
        compared += 1
        try:
            with reencoded(outgoing_of(path, syntax, offset), target, tmp_path) as (found, start, length):
                result = read(found.read_bytes()[start : start + length], target)
            implicit = ImplicitVRLittleEndian in (syntax, target)
            found_differences = differences(source, result, implicit=implicit)
            if not np.array_equal(pixels, pixels_of(result)):
                found_differences.append("pixels")
        except Permanent as error:
            found_differences = [error.reason + f" {error.__cause__}"]
        if found_differences and path.name not in REFUSED:
            wrong[path.name] = (syntax, found_differences)
    assert wrong == {}
    assert compared > 20


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian),
        (ExplicitVRBigEndian, ExplicitVRLittleEndian),
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    ],
)
def test_value_that_reaches_into_the_pixels_is_refused(source: str, target: str, tmp_path: Path) -> None:
    # pydicom would take all that is left for its value
    data = bytearray(encode(make_data_set(), source))
    order = ">" if source == ExplicitVRBigEndian else "<"
    at = data.index(struct.pack(order + "HH", 0x0028, 0x0101)) + (4 if source == ImplicitVRLittleEndian else 6)
    data[at : at + 2] = struct.pack(order + "H", 0xF000)
    if source == ImplicitVRLittleEndian:
        data[at + 2 : at + 4] = b"\xff\0"
    with pytest.raises(Permanent, match="cannot be read"):
        convert(bytes(data), source, target, tmp_path)


@pytest.mark.parametrize("source", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_second_pixel_data_is_not_lost_but_refused(source: str, tmp_path: Path) -> None:
    ds = make_data_set()
    alone = Dataset()
    alone.add_new(0x7FE00010, "OW", b"\0\1")
    data = encode(ds, source) + encode(alone, source)
    with pytest.raises(Permanent, match="more than one element Pixel Data"):
        convert(
            data,
            source,
            ImplicitVRLittleEndian if source == ExplicitVRLittleEndian else ExplicitVRLittleEndian,
            tmp_path,
        )


@pytest.mark.parametrize("depth", [100, 2000])
def test_sequences_nested_too_deeply_are_refused_in_little_memory(depth: int, tmp_path: Path) -> None:
    nested = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(nested)) + nested
        nested = struct.pack("<HH2s2xI", 0xFFFA, 0xFFFA, b"SQ", len(item)) + item
    path = tmp_path / "nested.dcm"
    path.write_bytes(nested)
    outgoing = outgoing_of(path, ExplicitVRLittleEndian, 0)
    with (
        pytest.raises(Permanent, match=r"nested more than 64 deep|cannot be written"),
        reencoded(outgoing, ImplicitVRLittleEndian, tmp_path / "workspace"),
    ):
        pass
