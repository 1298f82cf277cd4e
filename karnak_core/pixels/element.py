"""The element Pixel Data, written frame by frame: native, or encapsulated with the offsets of its frames."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from typing import IO, Final

from karnak_core.pixels.errors import CannotTranscode
from karnak_core.pixels.fragments import ITEM, SEQUENCE_END
from karnak_core.pixels.image import PIXEL_DATA

_UNDEFINED: Final = 0xFFFFFFFF
_LARGEST: Final = 0xFFFFFFFE
_EXTENDED_OFFSETS: Final = 0x7FE00001
_EXTENDED_LENGTHS: Final = 0x7FE00002


def write_native(
    file: IO[bytes], tag: int, vr: str, length: int, parts: Iterable[bytes | bytearray | memoryview], *, implicit: bool
) -> None:
    """Write an element of a known length; a byte is added to an odd one.

    Raises
    ------
    CannotTranscode
        It is too long for the 32 bits of a length.
    """
    padding = length % 2
    if length + padding > _LARGEST:
        raise CannotTranscode(f"{length} bytes are too many for uncompressed pixel data: a length has 32 bits")
    file.write(_head(tag, vr, length + padding, implicit=implicit))
    for part in parts:
        file.write(part)
    file.write(b"\0" * padding)


def write_encapsulated(file: IO[bytes], frames: int, encoded: Iterable[bytes], *, extended: bool) -> int:
    """Write encapsulated pixel data, a fragment for each frame (PS3.5 section A.4); return bytes of the frames.

    Parameters
    ----------
    file
        It is written to at its position, and tables in front of the frames when these are known.
    extended
        True: with an Extended Offset Table of 64 bits, in elements of its own; False: with a Basic one.
    """
    start = file.tell()
    # what the tables will take
    size = 8 * frames if extended else 4 * frames
    if extended:
        file.write((_head(_EXTENDED_OFFSETS, "OV", size) + bytes(size)) + _head(_EXTENDED_LENGTHS, "OV", size))
        file.write(bytes(size))
    file.write(_head(PIXEL_DATA, "OB", _UNDEFINED))
    file.write(_item(0 if extended else size) + (b"" if extended else bytes(size)))
    offsets, lengths, written = array("Q"), array("Q"), 0
    position = 0
    for frame in encoded:
        padding = len(frame) % 2
        if len(frame) + padding > _LARGEST:
            raise CannotTranscode("a compressed frame is too long: a length has 32 bits")
        file.write(_item(len(frame) + padding))
        file.write(frame)
        file.write(b"\0" * padding)
        offsets.append(position)
        lengths.append(len(frame) + padding)
        position += 8 + len(frame) + padding
        written += len(frame)
    file.write(struct.pack("<HHI", SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF, 0))
    end = file.tell()
    if extended:
        file.seek(start + 12)
        file.write(struct.pack(f"<{frames}Q", *offsets))
        file.seek(start + 12 + size + 12)
        file.write(struct.pack(f"<{frames}Q", *lengths))
    elif offsets[-1] > _LARGEST:
        raise CannotTranscode("compressed frames are too long for a Basic Offset Table of 32 bits")
    else:
        file.seek(start + 12 + 8)
        file.write(struct.pack(f"<{frames}I", *offsets))
    file.seek(end)
    return written


def _head(tag: int, vr: str, length: int, *, implicit: bool = False) -> bytes:
    number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return number + (struct.pack("<I", length) if implicit else struct.pack("<2s2xI", vr.encode(), length))


def _item(length: int) -> bytes:
    return struct.pack("<HHI", ITEM >> 16, ITEM & 0xFFFF, length)
