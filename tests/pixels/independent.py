"""Decoders that have nothing in common with the gateway's: DCMTK, gdcm, OpenJPEG's own program."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO

from karnak_core.part10 import file_beginning
from karnak_core.pixels import PixelSource, Transcoded
from karnak_core.pixels import syntaxes as ts

Frames = np.ndarray[Any, Any]

#: programs that make an uncompressed file of one in a syntax, the first one that can
PROGRAMS: dict[str, Sequence[Sequence[str]]] = {
    ts.RLE: (("dcmdrle",), ("gdcmconv", "--raw")),
    **dict.fromkeys((ts.JPEG_BASELINE, ts.JPEG_EXTENDED), (("dcmdjpeg",), ("gdcmconv", "--raw"))),
    # +cn: luminance and chroma stay as they are
    **dict.fromkeys((ts.JPEG_LOSSLESS, ts.JPEG_LOSSLESS_SV1), (("dcmdjpeg", "+cn"), ("gdcmconv", "--raw"))),
    **dict.fromkeys((ts.JPEG_LS, ts.JPEG_LS_NEAR), (("dcmdjpls",), ("gdcmconv", "--raw"))),
}
OPENJPEG = (ts.JPEG_2000_LOSSLESS, ts.JPEG_2000, ts.HTJ2K_LOSSLESS, ts.HTJ2K_RPCL, ts.HTJ2K)
NEEDED = ("dcmdrle", "dcmdjpeg", "dcmdjpls", "gdcmconv", "opj_decompress")


class CannotRead(Exception):
    """The program does not read such pixels."""


def need_programs(names: Sequence[str] = NEEDED) -> None:
    """Skip where a program is missing; in CI, fail."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        assert not os.environ.get("CI"), f"not installed: {missing}"
        pytest.skip(f"not installed: {missing}")


def part10(result: Transcoded, written: bytes) -> bytes:
    """Return a whole file of what was transcoded."""
    header = io.BytesIO()
    implicit = result.transfer_syntax_uid == ts.IMPLICIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(header, result.header, implicit_vr=implicit, little_endian=True)
    beginning = file_beginning(
        sop_class_uid=str(result.header.get("SOPClassUID") or "1.2.840.10008.5.1.4.1.1.7"),
        sop_instance_uid=str(result.header.get("SOPInstanceUID") or "2.25.1"),
        transfer_syntax_uid=result.transfer_syntax_uid,
        calling_ae_title="KARNAK",
    )
    return beginning + header.getvalue() + written


def decoded(result: Transcoded, written: bytes, folder: Path) -> Frames:
    """Return the frames that an independent decoder sees, (frames, rows, columns[, samples]).

    Raises
    ------
    CannotRead
        There is none that reads such pixels.
    """
    file = part10(result, written)
    if result.transfer_syntax_uid in OPENJPEG:
        return _by_openjpeg(result, file, folder)
    path, out = folder / "in.dcm", folder / "out.dcm"
    path.write_bytes(file)
    programs = PROGRAMS.get(result.transfer_syntax_uid)
    if programs is None:
        return _native(file)
    for program in programs:
        out.unlink(missing_ok=True)
        done = subprocess.run([*program, str(path), str(out)], capture_output=True, timeout=60)
        if done.returncode == 0 and out.exists():
            return _native(out.read_bytes())
    raise CannotRead(result.transfer_syntax_uid)


def _native(file: bytes) -> Frames:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(file), force=True)
        array = pydicom.pixels.pixel_array(ds, raw=True)
    return array if int(ds.get("NumberOfFrames") or 1) > 1 else array[None]


def _by_openjpeg(result: Transcoded, file: bytes, folder: Path) -> Frames:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = DicomBytesIO(file)
        from karnak_core.part10 import read_beginning

        source = PixelSource.open(stream, result.transfer_syntax_uid, read_beginning(stream).dataset_offset)
    image = source.image
    frames = []
    for index in range(image.number_of_frames):
        path, out = folder / "in.j2c", folder / "out.rawl"
        path.write_bytes(source.encoded_frame(index))
        out.unlink(missing_ok=True)
        done = subprocess.run(["opj_decompress", "-i", str(path), "-o", str(out)], capture_output=True, timeout=60)
        if done.returncode or not out.exists():
            raise CannotRead(done.stderr.decode("utf-8", "replace"))
        data = np.fromfile(out, "u1")
        width = len(data) // (image.rows * image.columns * image.samples_per_pixel)
        numbers = data.view(f"<u{width}").astype("i4")
        if image.pixel_representation:
            # the program writes the bits of the stream's precision without the sign
            bits = (source.encoded_frame(index)[42] & 0x7F) + 1
            numbers = (numbers ^ 1 << bits - 1) - (1 << bits - 1)
        planes = numbers.reshape(image.samples_per_pixel, image.rows, image.columns)
        frames.append(np.ascontiguousarray(planes.transpose(1, 2, 0)).reshape(image.shape).astype(image.dtype))
    return np.stack(frames)
