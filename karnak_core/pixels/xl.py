"""What a JPEG XL frame says of its size (ISO/IEC 18181-1 annexes B and D, and 18181-2), read before it is decoded.

Its numbers are coded: a few bytes can be an image of gigabytes, and the decoder takes memory for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from karnak_core.pixels.errors import CannotDecode

_SIGNATURE: Final = b"\xff\x0a"
_CONTAINER: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
#: bytes of a codestream that hold all that is read here
_BEGINNING: Final = 64
#: bits of a length by its selector, where it is not one of eight pixels
_LENGTHS: Final = (9, 13, 18, 30)
#: columns by rows, as a fraction; 0: columns are said
_RATIOS: Final = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, kw_only=True)
class XLSize:
    """What a decoder makes of a codestream: nothing but one image of this size, of one or three samples."""

    rows: int
    columns: int


def read_jpeg_xl(frame: bytes) -> XLSize:
    """Return the size that a frame says it has.

    Raises
    ------
    CannotDecode
        It is no JPEG XL, or more than one image: with a preview, an animation, or further channels; or it is turned.
    """
    stream = _codestream(frame)
    if not stream.startswith(_SIGNATURE):
        raise CannotDecode("a compressed frame is no JPEG XL")
    bits = _Bits(stream[len(_SIGNATURE) :])
    size = _size(bits)
    if bits.take(1):  # all defaults
        return size
    if bits.take(1):  # extra fields
        orientation, intrinsic, preview, animation = bits.take(3), bits.take(1), 0, 0
        if intrinsic:
            _size(bits)
        preview = bits.take(1)
        animation = 0 if preview else bits.take(1)
        if orientation or preview or animation:
            raise CannotDecode(
                "a compressed frame is more than an image: JPEG XL that is turned, moves or has a preview"
            )
    _skip_depth(bits)
    if bits.take(2):  # number of further channels: none, one, or some
        raise CannotDecode("a compressed frame has channels of JPEG XL that are no samples of pixels")
    return size


def _size(bits: _Bits) -> XLSize:
    in_eights = bits.take(1)
    rows = _length(bits, in_eights)
    ratio = _RATIOS[bits.take(3)]
    columns = _length(bits, in_eights) if ratio is None else rows * ratio[0] // ratio[1]
    return XLSize(rows=rows, columns=columns)


def _length(bits: _Bits, in_eights: int) -> int:
    if in_eights:
        return 8 * (bits.take(5) + 1)
    return bits.take(_LENGTHS[bits.take(2)]) + 1


def _skip_depth(bits: _Bits) -> None:
    is_float = bits.take(1)
    if bits.take(2) == 3:
        bits.take(6)
    if is_float:
        bits.take(4)
    bits.take(1)  # whether 16 bits are enough to decode it


def _codestream(frame: bytes) -> bytes:
    """Return the first bytes of the codestream, of a container those of the boxes that have it."""
    if not frame.startswith(_CONTAINER):
        return frame[:_BEGINNING]
    found = b""
    offset = len(_CONTAINER)
    while offset + 8 <= len(frame) and len(found) < _BEGINNING:
        length, kind, head = int.from_bytes(frame[offset : offset + 4]), frame[offset + 4 : offset + 8], 8
        if length == 1:
            length, head = int.from_bytes(frame[offset + 8 : offset + 16]), 16
        if length and length < head:
            raise CannotDecode("a compressed frame is corrupt: a box of JPEG XL is shorter than its head")
        end = offset + length if length else len(frame)
        if kind == b"jxlc":
            return frame[offset + head : min(end, offset + head + _BEGINNING)]
        if kind == b"jxlp":
            # a number goes in front
            found += frame[offset + head + 4 : min(end, offset + head + 4 + _BEGINNING)]
        offset = end
    return found


class _Bits:
    """Numbers of some bits, the lowest bit of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise CannotDecode("a compressed frame is cut off inside the header of JPEG XL")
        taken = self._number & ((1 << count) - 1)
        self._number >>= count
        return taken
