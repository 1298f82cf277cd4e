"""JPEG frames of which a part is missing: at the end of a scan, between restart markers, or whole scans."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pixel_objects import encapsulated, make_header

from karnak_core.pixels import CannotDecode, PixelSource
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.scans import probed

RNG = np.random.default_rng(11)
GRAY = np.clip(np.add.outer(np.arange(96), np.arange(120)) + RNG.normal(0, 6, (96, 120)), 0, 255).astype("u1")
COLOR = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)


def jpeg(frame: np.ndarray[Any, Any], **options: Any) -> bytes:
    """Return a frame as libjpeg writes it."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def lossless(frame: np.ndarray[Any, Any]) -> bytes:
    """Return a JPEG Lossless frame."""
    space = "RGB" if frame.ndim == 3 else "GRAYSCALE"
    return bytes(imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, colorspace=space, outcolorspace=space))


def decoded(encoded: bytes, frame: np.ndarray[Any, Any], syntax: str = ts.JPEG_BASELINE) -> np.ndarray[Any, Any]:
    """Decode a frame as the pixels of an object."""
    header = make_header(frame, PhotometricInterpretation="YBR_FULL_422" if frame.ndim == 3 else "MONOCHROME2")
    if syntax not in (ts.JPEG_BASELINE, ts.JPEG_PROGRESSIVE) and frame.ndim == 3:
        header.PhotometricInterpretation = "RGB"
    return PixelSource.open(encapsulated(header, [encoded]), syntax).frame(0)


WHOLE = {
    "gray": (jpeg(GRAY), GRAY, ts.JPEG_BASELINE),
    "color at half width": (jpeg(COLOR, subsampling="4:2:2"), COLOR, ts.JPEG_BASELINE),
    "color at half width and height": (jpeg(COLOR, subsampling="4:2:0"), COLOR, ts.JPEG_BASELINE),
    "restarts": (jpeg(GRAY, restart_marker_blocks=7), GRAY, ts.JPEG_BASELINE),
    "restarts in color": (jpeg(COLOR, subsampling="4:2:0", restart_marker_rows=1), COLOR, ts.JPEG_BASELINE),
    "optimized": (jpeg(GRAY, optimize=True), GRAY, ts.JPEG_BASELINE),
    "progressive": (jpeg(GRAY, progressive=True), GRAY, ts.JPEG_PROGRESSIVE),
    "progressive in color": (jpeg(COLOR, progressive=True), COLOR, ts.JPEG_PROGRESSIVE),
    "progressive with restarts": (
        jpeg(COLOR, progressive=True, restart_marker_blocks=5),
        COLOR,
        ts.JPEG_PROGRESSIVE,
    ),
    "lossless": (lossless(GRAY), GRAY, ts.JPEG_LOSSLESS_SV1),
    "lossless in color": (lossless(COLOR), COLOR, ts.JPEG_LOSSLESS_SV1),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_frame_is_decoded(name: str) -> None:
    encoded, frame, syntax = WHOLE[name]
    assert np.abs(decoded(encoded, frame, syntax).astype(int) - frame).mean() < 12


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("part", [0.35, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("behind", [b"", b"rest of another frame\xff\xd9"])
def test_frame_that_was_cut_in_the_middle_and_closed_again_is_refused(name: str, part: float, behind: bytes) -> None:
    encoded, frame, syntax = WHOLE[name]
    start = encoded.index(b"\xff\xda") + 14
    cut = encoded[: start + int((len(encoded) - start) * part)] + b"\xff\xd9"
    with pytest.raises(CannotDecode):
        decoded(cut + behind, frame, syntax)


def test_frame_that_was_cut_at_any_byte_is_refused() -> None:
    for name in ("restarts", "lossless", "progressive"):
        encoded, frame, syntax = WHOLE[name]
        start = encoded.index(b"\xff\xda") + 14
        for length in range(start, len(encoded) - 4, 97):
            with pytest.raises(CannotDecode):
                decoded(encoded[:length] + b"\xff\xd9", frame, syntax)


def test_frame_that_was_cut_behind_a_byte_like_that_of_a_marker_is_refused() -> None:
    encoded, frame, syntax = WHOLE["lossless"]
    start = encoded.index(b"\xff\xda") + 14
    length = encoded.index(b"\xff\x00", start) + 1
    with pytest.raises(CannotDecode, match="cut off"):
        decoded(encoded[:length] + b"\xff\xd9", frame, syntax)


def test_data_that_is_missing_before_a_restart_marker_is_missed() -> None:
    encoded, frame, syntax = WHOLE["restarts"]
    place = encoded.index(b"\xff\xd3")
    harmed = encoded[: place - 20].rstrip(b"\xff") + encoded[place:]
    with pytest.raises(CannotDecode, match="ends before its last pixel"):
        decoded(harmed, frame, syntax)


@pytest.mark.parametrize("intervals", [1, 8])
def test_restart_intervals_that_are_missing_are_missed(intervals: int) -> None:
    encoded, frame, syntax = WHOLE["restarts"]
    first = encoded.index(b"\xff\xd2")
    last = first
    for _ in range(intervals):
        last = next(
            at for at in range(last + 2, len(encoded)) if encoded[at] == 0xFF and encoded[at + 1] & 0xF8 == 0xD0
        )
    with pytest.raises(CannotDecode, match="restart markers"):
        decoded(encoded[:first] + encoded[last:], frame, syntax)


def test_restart_markers_in_another_order_are_refused() -> None:
    encoded, frame, syntax = WHOLE["restarts"]
    with pytest.raises(CannotDecode, match="not in their order"):
        decoded(encoded.replace(b"\xff\xd2", b"\xff\xd5", 1), frame, syntax)


def test_scans_that_are_missing_are_missed() -> None:
    for name in ("progressive", "progressive in color"):
        encoded, frame, syntax = WHOLE[name]
        last = encoded.rindex(b"\xff\xda")
        # without the tables in front of it
        tables = encoded.rfind(b"\xff\xc4", 0, last)
        scan = tables if encoded[tables + 2 :][:2] == (last - tables - 2).to_bytes(2) else last
        with pytest.raises(CannotDecode, match="scans of it are missing"):
            decoded(encoded[:scan] + b"\xff\xd9", frame, syntax)


def test_fill_bytes_in_front_of_markers_are_no_fault() -> None:
    encoded, frame, syntax = WHOLE["restarts"]
    filled = encoded[:-2] + b"\xff\xff\xff\xd9"
    filled = filled.replace(b"\xff\xd4", b"\xff\xff\xd4")
    assert np.array_equal(decoded(filled, frame, syntax), decoded(encoded, frame, syntax))


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x55\xff\xd9",
        b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x00\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x55\xff\xd9",
        b"\xff\xd8\xff\xc0\x00\x08\x08\x00\x08\x00\x08\x01\xff\xd9",
        b"\xff\xd8\xff\xdd\x00\x02\xff\xd9",
        b"\xff\xd8\xff\xd9",
    ],
)
def test_headers_that_say_nothing_are_refused(frame: bytes) -> None:
    with pytest.raises(CannotDecode):
        probed(frame)
