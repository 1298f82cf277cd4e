"""Frames of native pixel data: bytes to numbers and back (PS3.5 sections 7.3, 8.1 and annex D)."""

from __future__ import annotations

from typing import IO, Any, Final

import numpy as np

from karnak_core.pixels.errors import CannotDecode
from karnak_core.pixels.image import Frame, ImageDescription

#: bytes that are swapped together in Big Endian, by VR (PS3.5 section 7.3)
WORDS: Final = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OD": 8}


def word_size(vr: str, bits_allocated: int) -> int:
    """Return how many bytes are swapped together where pixel data is in Big Endian.

    A pixel cell of 32 or 64 bits in OW is one number, not words of 16 bits each: so everybody reads and writes it.
    """
    if vr == "OW" and bits_allocated in (32, 64):
        return bits_allocated // 8
    return WORDS.get(vr, 1)


def read_little_endian(file: IO[bytes], value: int, start: int, length: int, word: int) -> bytes | bytearray:
    """Return bytes ``start`` to ``start + length`` of a value as they are in Little Endian.

    Parameters
    ----------
    value
        Where the value begins in the file.
    word
        Bytes to swap together; 1: it is in Little Endian.
    """
    first = start - start % word
    last = start + length + -(start + length) % word
    file.seek(value + first)
    data: bytes | bytearray = file.read(last - first)
    if len(data) < last - first:
        raise CannotDecode("the pixel data is cut off: the file ends inside it")
    if word > 1:
        data = bytearray(data)
        np.frombuffer(data, dtype=f"u{word}").byteswap(inplace=True)
    return data if len(data) == length else data[start - first : start - first + length]


def frame_extent(image: ImageDescription, index: int) -> tuple[int, int, int]:
    """Return where a frame is in the value: first byte, length in bytes, and bits to skip there.

    Frames of one bit follow one another without a gap, inside bytes too (PS3.5 section 8.1.1).
    """
    first = image.frame_bits * index
    start = first // 8
    return start, -(-(first + image.frame_bits) // 8) - start, first % 8


def to_frame(data: bytes | bytearray, image: ImageDescription, skip_bits: int = 0) -> Frame:
    """Return the numbers of one frame of native pixel data in Little Endian, by pixel.

    Chroma of YBR_FULL_422 is repeated: the frame is in YBR_FULL.
    """
    if image.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, dtype="u1"), bitorder="little")
        return _by_pixel(bits[skip_bits : skip_bits + image.frame_bits], image)
    flat: Frame = np.frombuffer(data, dtype=image.dtype.newbyteorder("<"))
    if image.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        return _expand_422(flat, image)
    return meaningful_bits(_by_pixel(flat, image), image)


def _by_pixel(flat: Frame, image: ImageDescription) -> Frame:
    if image.samples_per_pixel > 1 and image.planar_configuration == 1:
        planes = flat.reshape(image.samples_per_pixel, image.rows, image.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return flat.reshape(image.shape)


def _expand_422(flat: Frame, image: ImageDescription) -> Frame:
    if image.columns % 2 or image.planar_configuration:
        raise CannotDecode("the pixels cannot be read: chroma at half width with odd columns or by plane")
    # Y1 Y2 Cb Cr make two pixels (PS3.3 section C.7.6.3.1.2)
    pairs = flat.reshape(image.rows, image.columns // 2, 4)
    frame: Frame = np.empty((image.rows, image.columns // 2, 2, 3), dtype=flat.dtype)
    frame[..., 0] = pairs[..., :2]
    frame[..., 1:] = pairs[..., None, 2:]
    return frame.reshape(image.shape)


def meaningful_bits(frame: Frame, image: ImageDescription) -> Frame:
    """Return a frame whose numbers have no bits but those stored, the sign extended (PS3.5 section 8.1.1).

    What is in the other bits may be anything: an overlay of old, or nothing that means something.
    """
    if image.kind != "pixel" or image.bits_stored == image.bits_allocated or image.bits_allocated == 1:
        return frame
    up = image.bits_allocated - 1 - image.high_bit
    down = image.bits_allocated - image.bits_stored
    shifted: Frame = np.left_shift(frame, up)
    return np.right_shift(shifted, down, out=shifted)


def to_bytes(frame: Frame) -> memoryview[Any] | bytes:
    """Return one frame of eight bits or more as native pixel data by pixel, in Little Endian."""
    data = np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<"))
    return data.reshape(-1).view("u1").data
