"""Data sets are read and written as pydicom does it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import (
    DeidentificationError,
    Project,
    Result,
    basic_profile,
    decode_dataset,
    encode_dataset,
)

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
PROJECT = Project(name="STUDY-A", secret=bytes(16))


def dataset_bytes(path: Path) -> tuple[bytes, bool, bool]:
    """Return a file's data set before its pixel data, as pydicom writes it, and its encoding."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    implicit, little = dataset.original_encoding
    file = BytesIO()
    pydicom.dcmwrite(
        file, Dataset(dict(dataset.items())), implicit_vr=bool(implicit), little_endian=bool(little),
        enforce_file_format=False,
    )  # fmt: skip
    return file.getvalue(), bool(implicit), bool(little)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "rtdose.dcm", "liver_1frame.dcm",
     "reportsi.dcm", "nested_priv_SQ.dcm"],
)  # fmt: skip
def test_data_set_is_what_pydicom_reads_and_writes(name: str) -> None:
    value, implicit, little = dataset_bytes(FILES / name)
    dataset = decode_dataset(value, implicit=implicit, little=little)
    assert encode_dataset(dataset, implicit=implicit, little=little) == value
    assert dataset == pydicom.dcmread(FILES / name, stop_before_pixels=True)


@pytest.mark.filterwarnings("ignore")
def test_result_is_written_as_pydicom_writes_it(encode: Callable[..., bytes]) -> None:
    value, _, _ = dataset_bytes(FILES / "CT_small.dcm")
    result = basic_profile().apply(decode_dataset(value, implicit=False), PROJECT, "PSN-1")
    assert isinstance(result, Result)
    assert encode_dataset(result.dataset, implicit=False) == encode(result.dataset)
    other = encode_dataset(result.dataset, implicit=True)
    assert pydicom.dcmread(BytesIO(other), force=True) == pydicom.dcmread(BytesIO(encode(result.dataset)), force=True)


def test_cut_off_data_set_is_refused(image: Dataset, encode: Callable[..., bytes]) -> None:
    value = encode(image)
    with pytest.raises(DeidentificationError, match="cannot be read: an element is cut off"):
        decode_dataset(value[:-1], implicit=False)
    with pytest.raises(DeidentificationError, match="cannot be read"):
        decode_dataset(value, implicit=True)


def test_value_that_cannot_be_encoded_is_refused_without_saying_it(image: Dataset) -> None:
    image["Rows"]._value = "secret"
    with pytest.raises(DeidentificationError, match="cannot be encoded") as error:
        encode_dataset(image, implicit=False)
    assert "secret" not in str(error.value)
