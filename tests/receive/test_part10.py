"""Preamble and file meta information: written as pydicom reads them, read or refused."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_preamble
from pydicom.uid import UID

from karnak_core.part10 import IMPLEMENTATION_CLASS_UID, Beginning, file_beginning, read_beginning, read_outgoing

CT = "1.2.840.10008.5.1.4.1.1.2"


def make_beginning(**changes: str) -> bytes:
    values = {
        "sop_class_uid": CT,
        "sop_instance_uid": "2.25.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "calling_ae_title": "CALLER",
    }
    return file_beginning(**{**values, **changes})


def is_read_or_refused(data: bytes) -> Beginning | None:
    try:
        return read_beginning(BytesIO(data))
    except ValueError:
        return None


@pytest.mark.parametrize("uid", ["2.25.1", "2.25.12", "1." * 31 + "22", "1." * 31 + "2"])
@pytest.mark.parametrize("title", ["A", "AB", "SIXTEEN-LETTERS-"])
def test_what_is_written_pydicom_reads(uid: str, title: str) -> None:
    data = make_beginning(sop_instance_uid=uid, calling_ae_title=title)
    file = BytesIO(data)
    assert read_preamble(file, False) == bytes(128)
    file.seek(0)
    ds = pydicom.dcmread(file)
    meta = ds.file_meta
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == uid
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.SourceApplicationEntityTitle == title
    assert len(data) == 144 + meta.FileMetaInformationGroupLength
    assert len(data) % 2 == 0


def test_our_implementation_class_uid_is_a_uid() -> None:
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid


def test_what_is_written_is_read_again() -> None:
    data = make_beginning()
    assert read_beginning(BytesIO(data + b"\x08\0\x16\0UI\0\0")) == Beginning(
        sop_class_uid=CT,
        sop_instance_uid="2.25.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        dataset_offset=len(data),
    )


def test_an_ae_title_that_is_no_ascii_or_empty_is_survived() -> None:
    for title in ("", "ÄÖÜ", " "):
        assert is_read_or_refused(make_beginning(calling_ae_title=title)) is not None


def test_a_file_cut_anywhere_is_read_or_refused() -> None:
    data = make_beginning()
    needed = data.index(b"1.2.840.10008.1.2.1\0") + 20
    for end in range(len(data) + 1):
        found = is_read_or_refused(data[:end])
        assert found is None if end < needed else found is None or found.dataset_offset <= end
    assert is_read_or_refused(data) is not None


@pytest.mark.parametrize("missing", ["sop_class_uid", "sop_instance_uid", "transfer_syntax_uid"])
def test_what_is_missing_is_named(missing: str) -> None:
    words = {"sop_class_uid": "Class", "sop_instance_uid": "Instance", "transfer_syntax_uid": "Transfer Syntax"}
    with pytest.raises(ValueError, match=f"{words[missing]}.*PS3.10"):
        read_beginning(BytesIO(make_beginning(**{missing: ""})))


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=200))
def test_random_bytes_behind_dicm_are_read_or_refused(data: bytes) -> None:
    is_read_or_refused(bytes(128) + b"DICM" + data)
    is_read_or_refused(data)


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(132, 330), st.integers(0, 255)), min_size=1, max_size=5))
def test_changed_bytes_are_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(make_beginning())
    for at, value in changes:
        data[at % len(data)] = value
    is_read_or_refused(bytes(data))


def test_pydicoms_files_begin_where_pydicom_says() -> None:
    compared, differences = 0, {}
    for module, folder in (("pydicom", "data/test_files"), ("data_store", "data")):
        spec = find_spec(module)
        assert spec
        assert spec.origin
        for path in sorted((Path(spec.origin).parent / folder).rglob("*")):
            if not path.is_file():
                continue
            with path.open("rb") as file:
                try:
                    found = read_beginning(file)
                except ValueError:
                    continue
                file.seek(0)
                read_preamble(file, False)
                meta = pydicom.filereader._read_file_meta_info(file)
                expected = Beginning(
                    sop_class_uid=meta.MediaStorageSOPClassUID,
                    sop_instance_uid=meta.MediaStorageSOPInstanceUID,
                    transfer_syntax_uid=meta.TransferSyntaxUID,
                    dataset_offset=file.tell(),
                )
            compared += 1
            if found != expected:
                differences[path.name] = (found, expected)
    assert differences == {}
    assert compared > 80


def test_a_file_is_ready_to_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(make_beginning() + b"data set")
    outgoing = read_outgoing(path)
    assert outgoing.size - outgoing.dataset_offset == len(b"data set")
    assert (outgoing.sop_class_uid, outgoing.sop_instance_uid) == (CT, "2.25.1")
    assert outgoing.path == path
