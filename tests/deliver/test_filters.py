"""Filters look at a header without holding what is large, and see what any other reader sees."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from karnak_core.deliver.filters import Filters
from karnak_core.errors import DeliveryError, Excluded, Permanent
from karnak_core.expressions import Condition
from karnak_core.model import Instance
from karnak_core.original import LazyHeader
from karnak_core.part10 import file_beginning, plain_dataset
from karnak_core.plugins import load

SYNTAXES = (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
LARGE = 300 << 20
#: bytes of memory that reading may take beyond what the process had before
ALLOWED = 150 << 20
ENCAPSULATED_DOCUMENT = struct.pack("<HH2s2xI", 0x0042, 0x0011, b"OB", LARGE)


def header_of(**elements: object) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = PDF
    ds.SOPInstanceUID = "2.25.1"
    ds.Modality = "DOC"
    ds.PatientName = "Müller^Jürgen"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset) -> bytes:
    sink = DicomBytesIO()
    sink.is_implicit_VR, sink.is_little_endian = False, True
    write_dataset(sink, ds)
    return sink.getvalue()


def write_instance(path: Path, syntax: str, data: bytes, zeros: int = 0) -> Instance:
    """Write an instance with zeros behind its data set, which take no room on the disk."""
    start = file_beginning(
        sop_class_uid=PDF, sop_instance_uid="2.25.1", transfer_syntax_uid=syntax, calling_ae_title="CALLER"
    )
    with open(path, "wb") as file:
        file.write(start)
        if syntax == DeflatedExplicitVRLittleEndian:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            file.write(deflater.compress(data))
            block = bytes(1 << 20)
            for _ in range(zeros // len(block)):
                file.write(deflater.compress(block))
            file.write(deflater.flush())
        else:
            file.write(data)
            file.truncate(len(start) + len(data) + zeros)
    return Instance(
        id=1,
        forward_node="FWD",
        calling_ae_title="CALLER",
        peer_host="127.0.0.1",
        received_at=0,
        sop_class_uid=PDF,
        sop_instance_uid="2.25.1",
        study_instance_uid="2.25.2",
        series_instance_uid="2.25.3",
        transfer_syntax_uid=syntax,
        path=path,
        dataset_offset=len(start),
        size=path.stat().st_size,
    )


#: prints by how many bytes the most memory grew
MEASURED = """
import sys
from pathlib import Path
from karnak_core.model import Instance
from karnak_core.original import LazyHeader

def most():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

path, syntax, offset = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
instance = Instance(
    id=1, forward_node="FWD", calling_ae_title="CALLER", peer_host="127.0.0.1", received_at=0, sop_class_uid="1.2",
    sop_instance_uid="1.2.3", study_instance_uid="1.2", series_instance_uid="1.2", transfer_syntax_uid=syntax,
    path=path, dataset_offset=offset, size=path.stat().st_size,
)
before = most()
with LazyHeader(instance) as header:
    assert header.dataset.Modality == "DOC"
    assert "EncapsulatedDocument" in header.dataset
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_large_value_before_the_pixels_is_not_held_in_memory(syntax: str, tmp_path: Path) -> None:
    data = encoded(header_of()) + ENCAPSULATED_DOCUMENT
    instance = write_instance(tmp_path / "large.dcm", syntax, data, LARGE)
    command = [sys.executable, "-c", MEASURED, str(instance.path), syntax, str(instance.dataset_offset)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < ALLOWED


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_are_what_they_are_whether_they_were_left_in_the_file_or_not(syntax: str, tmp_path: Path) -> None:
    text = "ä" * 60_000
    document = bytes(range(256)) * 1000
    ds = header_of(SelectorUTValue=text, EncapsulatedDocument=document)
    ds.PixelData = b"\1\2"
    ds["PixelData"].VR = "OB"
    instance = write_instance(tmp_path / "instance.dcm", syntax, encoded(ds))
    with LazyHeader(instance) as header:
        assert header.dataset.PatientName == "Müller^Jürgen"
        assert header.dataset.EncapsulatedDocument == document
        assert header.dataset.SelectorUTValue == text
        assert header.dataset.file_meta.TransferSyntaxUID == syntax
        assert "PixelData" not in header.dataset
        assert header.dataset is header.dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_condition_is_decided_from_the_header(syntax: str, tmp_path: Path) -> None:
    instance = write_instance(tmp_path / "instance.dcm", syntax, encoded(header_of()))
    plugins = load(entries=())

    def check(text: str) -> None:
        Filters("pacs", frozenset(), Condition.parse(text), plugins).check(instance)

    check("tagValueContains(#Tag.Modality, 'DOC')")
    with pytest.raises(Excluded):
        check("tagValueContains(#Tag.Modality, 'CT')")


def test_a_file_without_another_name_can_be_read(tmp_path: Path) -> None:
    """As a helper process gives one to another: by its number in /proc."""
    for syntax in SYNTAXES:
        named = write_instance(
            tmp_path / "instance.dcm", syntax, encoded(header_of(EncapsulatedDocument=b"x" * 100_000))
        )
        with open(named.path, "rb") as file:
            named.path.unlink()
            path = Path(f"/proc/self/fd/{file.fileno()}")
            with LazyHeader(dataclasses.replace(named, path=path)) as header:
                assert header.dataset.EncapsulatedDocument == b"x" * 100_000


def test_nothing_is_left_of_an_inflated_data_set(tmp_path: Path) -> None:
    instance = write_instance(tmp_path / "instance.dcm", DeflatedExplicitVRLittleEndian, encoded(header_of()))
    with LazyHeader(instance) as header:
        assert header.dataset.Modality == "DOC"
    assert list(tmp_path.iterdir()) == [instance.path]
    with plain_dataset(instance.path, instance.transfer_syntax_uid, instance.dataset_offset) as (plain, _):
        assert not plain.closed
    assert plain.closed


def test_a_data_set_that_would_become_too_large_is_refused(tmp_path: Path) -> None:
    syntax = DeflatedExplicitVRLittleEndian
    instance = write_instance(tmp_path / "bomb.dcm", syntax, encoded(header_of()), 8 << 20)
    with (
        pytest.raises(Permanent, match="is larger than 4194304 bytes when inflated"),
        plain_dataset(instance.path, syntax, instance.dataset_offset, largest=4 << 20),
    ):
        pass
    assert list(tmp_path.iterdir()) == [instance.path]


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_deflated_data_set_that_is_cut_off_is_refused(kept: int, tmp_path: Path) -> None:
    instance = write_instance(tmp_path / "cut.dcm", DeflatedExplicitVRLittleEndian, encoded(header_of()))
    with open(instance.path, "r+b") as file:
        file.truncate(instance.dataset_offset + kept)
    with pytest.raises(Permanent, match="cut off"), LazyHeader(instance) as header:
        assert header.dataset


def test_a_deflated_data_set_that_is_none_is_refused(tmp_path: Path) -> None:
    instance = write_instance(tmp_path / "wrong.dcm", DeflatedExplicitVRLittleEndian, b"")
    with open(instance.path, "r+b") as file:
        file.seek(instance.dataset_offset)
        file.write(b"\xff" * 100)
    with pytest.raises(Permanent, match="cannot be inflated"), LazyHeader(instance) as header:
        assert header.dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_missing_file_is_told_as_such(syntax: str, tmp_path: Path) -> None:
    instance = write_instance(tmp_path / "missing.dcm", syntax, encoded(header_of()))
    instance.path.unlink()
    with pytest.raises(FileNotFoundError) as caught, LazyHeader(instance) as header:
        assert header.dataset
    assert not isinstance(caught.value, DeliveryError)
