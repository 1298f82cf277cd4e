"""What JPEG XL frames say of their size, before anything is decoded."""

from __future__ import annotations

import re
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pixel_objects import encapsulated, make_header

from karnak_core.pixels import CannotDecode, PixelSource
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.xl import read_jpeg_xl

SIZES = [(1, 1), (3, 5), (64, 80), (96, 80), (90, 160), (300, 200), (599, 799), (1000, 1500), (4000, 16)]


def encoded(frame: np.ndarray[Any, Any], **options: Any) -> bytes:
    """Return a frame in JPEG XL."""
    return bytes(imagecodecs.jpegxl_encode(frame, lossless=True, effort=1, numthreads=1, **options))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_size_is_read(size: tuple[int, int], container: bool, dtype: str) -> None:
    for shape in (size, (*size, 3)):
        read = read_jpeg_xl(encoded(np.zeros(shape, dtype), usecontainer=container))
        assert (read.rows, read.columns) == size


def test_frame_of_another_size_is_refused_before_memory_is_taken_for_it() -> None:
    # 19 bytes of a small image, and the header of one of 2**30 by 2**30 pixels
    small = np.zeros((64, 80), "u1")
    huge = b"\xff\x0a" + sum(
        number << place for number, place in ((0b110, 0), ((1 << 30) - 1, 3), (0, 33), (0b11, 36), ((1 << 30) - 1, 38))
    ).to_bytes(40, "little")
    assert read_jpeg_xl(huge).rows == 1 << 30
    source = PixelSource.open(encapsulated(make_header(small), [huge]), ts.JPEG_XL_LOSSLESS)
    message = f"{1 << 30} columns and {1 << 30} rows, but its data set says 80 and 64"
    with pytest.raises(CannotDecode, match=re.escape(message)):
        source.frame(0)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.zeros((3, 64, 80), "u1"), "more than an image"),
        (np.zeros((64, 80, 4), "u1"), "no samples of pixels"),
        (np.zeros((64, 80, 2), "u1"), "no samples of pixels"),
    ],
)
def test_more_than_an_image_is_refused(frame: np.ndarray[Any, Any], reason: str) -> None:
    with pytest.raises(CannotDecode, match=reason):
        read_jpeg_xl(encoded(frame))


def test_codestream_in_several_boxes_is_read() -> None:
    whole = encoded(np.zeros((599, 799), "u1"), usecontainer=False)
    container = encoded(np.zeros((599, 799), "u1"), usecontainer=True)
    head = container[: container.index(b"ftyp") + 16]
    parts = [b"\0\0\0\0" + whole[:3], b"\0\0\0\1" + whole[3:5], b"\x80\0\0\2" + whole[5:]]
    boxes = [(8 + len(part)).to_bytes(4) + b"jxlp" + part for part in parts]
    long = (1).to_bytes(4) + b"free" + (20).to_bytes(8) + b"free"
    read = read_jpeg_xl(head + long + b"".join(boxes))
    assert (read.rows, read.columns) == (599, 799)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\x0a",
        b"\xff\x0a\x06",
        b"\xff\xd8\xff\xd9",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\4jxlc\xff\x0a",
        b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\1jxlc\0\0\0\0\0\0\0\0",
    ],
)
def test_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(CannotDecode):
        read_jpeg_xl(frame)
