"""Images for the tests of pixels: those of pydicom's test data, and ones made here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydicom.data
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from karnak_core.part10 import read_beginning
from karnak_core.pixels import PixelSource

#: what pydicom itself brings; pydicom-data is the rest
CORPUS = Path(pydicom.data.__file__).parent / "test_files"
UNDEFINED = 0xFFFFFFFF


def corpus() -> list[Path]:
    """Return pydicom's test files that are Part 10 files with pixels."""
    import data_store

    folders = (CORPUS, *(Path(folder) / "data" for folder in data_store.__path__))
    return [path for folder in folders for path in sorted(folder.glob("*.dcm")) if _has_pixels(path)]


def _has_pixels(path: Path) -> bool:
    try:
        with opened(path) as (file, syntax, offset):
            return pydicom.dcmread(path).keys() >= {0x00280010} and _element_of(file, syntax, offset)
    except Exception:
        return False


def _element_of(file: IO[bytes], syntax: str, offset: int) -> bool:
    from karnak_core.pixels import read_header

    return read_header(file, syntax, offset)[1] is not None


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], str, int]]:
    """Give a file, the transfer syntax of its data set, inflated if need be, and where that begins."""
    with open(path, "rb") as file:
        beginning = read_beginning(file)
        if beginning.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            file.seek(beginning.dataset_offset)
            yield io.BytesIO(zlib.decompress(file.read(), -15)), ExplicitVRLittleEndian, 0
        else:
            yield file, beginning.transfer_syntax_uid, beginning.dataset_offset


@contextmanager
def source_of(path: Path) -> Iterator[PixelSource]:
    """Give the pixels of a Part 10 file."""
    with opened(path) as (file, syntax, offset):
        yield PixelSource.open(file, syntax, offset)


def make_header(frame: np.ndarray[Any, Any], frames: int = 1, **changes: Any) -> Dataset:
    """Return the header of a secondary capture with frames like ``frame``."""
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = "2.25.111"
    ds.StudyInstanceUID = "2.25.112"
    ds.SeriesInstanceUID = "2.25.113"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SamplesPerPixel = frame.shape[2] if frame.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if frame.ndim == 3 else "MONOCHROME2"
    if frame.ndim == 3:
        ds.PlanarConfiguration = 0
    if frames > 1:
        ds.NumberOfFrames = frames
    ds.Rows, ds.Columns = frame.shape[:2]
    ds.BitsAllocated = 8 * frame.dtype.itemsize
    ds.BitsStored = ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(frame.dtype.kind == "i")
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    if "BitsStored" in changes and "HighBit" not in changes:
        ds.HighBit = ds.BitsStored - 1
    return ds


def native(
    header: Dataset, value: bytes, syntax: str = ExplicitVRLittleEndian, vr: str = "OW", tag: int = 0x7FE00010
) -> io.BytesIO:
    """Return a data set with native pixel data."""
    file = _written(header, syntax)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    file.write(struct.pack(order + "HH", tag >> 16, tag & 0xFFFF))
    file.write(
        struct.pack("<I", len(value))
        if syntax == ImplicitVRLittleEndian
        else struct.pack(order + "2s2xI", vr.encode(), len(value))
    )
    file.write(value)
    return file


def encapsulated(
    header: Dataset, fragments: Sequence[bytes], table: Sequence[int] = (), end: bool = True
) -> io.BytesIO:
    """Return a data set with encapsulated pixel data."""
    file = _written(header, ExplicitVRLittleEndian)
    file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", UNDEFINED))
    for fragment in (struct.pack(f"<{len(table)}I", *table), *fragments):
        padded = fragment + b"\0" * (len(fragment) % 2)
        file.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(padded)) + padded)
    if end:
        file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    return file


def _written(header: Dataset, syntax: str) -> io.BytesIO:
    file = io.BytesIO()
    pydicom.dcmwrite(
        file,
        header,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )
    file.seek(0, 2)
    return file


def decoded_frames(header: Dataset, written: bytes, syntax: str) -> np.ndarray[Any, Any]:
    """Return all frames of what :func:`karnak_core.pixels.transcode` wrote and said."""
    implicit = syntax == ImplicitVRLittleEndian
    file = io.BytesIO()
    pydicom.dcmwrite(file, header, implicit_vr=implicit, little_endian=True)
    source = PixelSource.open(io.BytesIO(file.getvalue() + written), syntax)
    return np.stack([source.frame(index) for index in range(source.image.number_of_frames)])
