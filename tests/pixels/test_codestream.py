"""What compressed frames say of themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pixel_objects import CORPUS, source_of

from karnak_core.pixels import CannotDecode
from karnak_core.pixels.codestream import read_jpeg, read_jpeg_2000, trimmed, without_color_marks

COLOR = np.arange(32 * 40 * 3, dtype="u1").reshape(32, 40, 3)


def lossless() -> bytes:
    """Return a JPEG Lossless frame of RGB."""
    spaces = {"colorspace": "RGB", "outcolorspace": "RGB"}
    return bytes(imagecodecs.jpeg8_encode(COLOR, lossless=True, predictor=1, **spaces))


def encoded(name: str) -> bytes:
    """Return the first frame of one of pydicom's images."""
    with source_of(CORPUS / name) as source:
        return source.encoded_frame(0)


@pytest.mark.parametrize(
    ("name", "size", "precision"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100, 3), 8),
        ("JPGExtended.dcm", (1024, 256, 1), 12),
        ("MR_small_jpeg_ls_lossless.dcm", (64, 64, 1), 16),
    ],
)
def test_size_and_precision_are_read(name: str, size: tuple[int, int, int], precision: int) -> None:
    stream = read_jpeg(trimmed(encoded(name)))
    assert (stream.rows, stream.columns, stream.samples) == size
    assert stream.precision == precision


@pytest.mark.parametrize(
    ("name", "precision", "signed"), [("693_J2KI.dcm", 16, True), ("J2K_pixelrep_mismatch.dcm", 13, False)]
)
def test_jpeg_2000_knows_its_sign(name: str, precision: int, signed: bool) -> None:
    _, stream = read_jpeg_2000(encoded(name))
    assert (stream.precision, stream.signed) == (precision, signed)


def test_boxes_of_jp2_are_taken_off() -> None:
    frame = COLOR[..., 0].copy()
    boxed = bytes(imagecodecs.jpeg2k_encode(frame, reversible=True, codecformat="JP2"))
    codestream, stream = read_jpeg_2000(boxed)
    assert codestream.startswith(b"\xff\x4f\xff\x51")
    assert (stream.rows, stream.columns) == (32, 40)


def test_color_marks_are_read_and_taken_off() -> None:
    marked = lossless()
    assert read_jpeg(marked).is_rgb
    plain = without_color_marks(marked)
    stream = read_jpeg(plain)
    assert not stream.is_rgb
    assert not stream.is_ycc
    assert b"Adobe" not in plain
    read: Any = imagecodecs.jpeg8_decode(plain, colorspace="RGB", outcolorspace="RGB")
    assert np.array_equal(read, COLOR)


@pytest.mark.parametrize("fill", [b"", b"\0", b"\xff", b"\0\0\0"])
def test_what_fills_a_frame_up_is_no_part_of_it(fill: bytes) -> None:
    assert trimmed(lossless() + fill) == lossless()


@pytest.mark.parametrize("cut", [lambda frame: frame[:-2], lambda frame: frame[: len(frame) // 2], lambda _: b""])
def test_frame_without_its_end_is_cut_off(cut: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CannotDecode, match="no end marker"):
        trimmed(cut(lossless()))


@pytest.mark.parametrize("length", [10, 5000, 60000])
def test_long_application_data_does_not_make_another_process_of_a_frame(length: int) -> None:
    # what begins a frame of JPEG-LS, in the data of another one; and in front of one of its own
    said = b"\xff\xe5" + (length + 2).to_bytes(2) + b"\xff\xf7" * (length // 2)
    for frame in (lossless(), bytes(imagecodecs.jpegls_encode(COLOR))):
        more = frame[:2] + said + frame[2:]
        assert read_jpeg(more) == read_jpeg(frame)


@pytest.mark.parametrize("behind", [b"and so on", b"\0\0and so on\xff\xd9", lossless()])
def test_frame_that_goes_on_behind_its_end_is_refused(behind: bytes) -> None:
    frames = (lossless(), bytes(imagecodecs.jpegls_encode(COLOR)))
    for frame in frames:
        with pytest.raises(CannotDecode, match="goes on behind its end"):
            read_jpeg(frame + behind)
    wavelet = bytes(imagecodecs.jpeg2k_encode(COLOR, codecformat="J2K", reversible=True))
    with pytest.raises(CannotDecode, match="goes on behind its end"):
        read_jpeg_2000(wavelet + behind)
    for filling in (b"", b"\0", b"\xff\xd9"):
        assert read_jpeg_2000(wavelet + filling)[1] == read_jpeg_2000(wavelet)[1]
        assert read_jpeg(frames[0] + filling) == read_jpeg(frames[0])


def test_marker_inside_a_scan_is_found() -> None:
    harmed = bytearray(lossless())
    harmed[-60:-58] = b"\xff\x3f"
    with pytest.raises(CannotDecode):
        read_jpeg(bytes(harmed))


@pytest.mark.parametrize("read", [read_jpeg, read_jpeg_2000])
@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xd9", bytes(500)])
def test_no_frame_is_refused(read: Callable[[bytes], Any], frame: bytes) -> None:
    with pytest.raises(CannotDecode):
        read(frame)
