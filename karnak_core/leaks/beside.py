"""What stands beside pixels in their elements: comments in compressed frames, offset tables, what is behind the end.

Read on its own, as everything here: bytes in, bytes out, and of pixels nothing but what lies around them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

_PIXEL_GROUP: Final = 0x7FE0
_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN", b"UV"))
#: bytes that are read at the beginning and at the end of a fragment, and of a value without fragments
_HEAD, _TAIL = 8 << 10, 256
#: the same at both ends of data that is neither JPEG nor JPEG 2000
_MORE: Final = 64 << 10
#: bytes that are looked at in all
_MOST: Final = 4 << 20


@dataclass(kw_only=True)
class Beside:
    """What was found, put together; values are kept apart by a line end."""

    #: what frames say in words: comments and application data
    said: bytearray = field(default_factory=bytearray)
    #: what may be pixels or a table, too
    noise: bytearray = field(default_factory=bytearray)

    def _add(self, into: bytearray, value: bytes) -> None:
        if value and len(self.said) + len(self.noise) < _MOST:
            into += value[:_MORE] + b"\n"


def beside_pixels(file: BinaryIO, start: int, end: int, *, implicit: bool, little: bool) -> Beside:
    """Return what stands beside pixels.

    Parameters
    ----------
    start, end
        Where in the file the elements of group 7FE0 are. What cannot be read there is nobody's to look at.
    """
    found = Beside()
    order = "<" if little else ">"
    while start < end and len(head := _at(file, start, 12)) >= 8:
        group, _ = struct.unpack_from(order + "HH", head)
        if group != _PIXEL_GROUP:
            break
        if implicit:
            (length,) = struct.unpack_from(order + "I", head, 4)
            start += 8
        elif head[4:6] in _LONG and len(head) == 12:
            (length,) = struct.unpack_from(order + "I", head, 8)
            start += 12
        else:
            break
        if length == _UNDEFINED:
            start = _fragments(file, start, end, order, found)
        else:
            found._add(found.noise, _at(file, max(start, start + length - _TAIL), min(length, _TAIL)))
            start += length
    return found


def _fragments(file: BinaryIO, position: int, end: int, order: str, found: Beside) -> int:
    """Look at the fragments of a value (PS3.5 section A.4); return where the next element starts."""
    first = True
    last: tuple[int, int] | None = None
    while position < end and len(head := _at(file, position, 8)) == 8:
        group, number, length = struct.unpack(order + "HHI", head)
        position += 8
        if (group, number) != (0xFFFE, 0xE000) or length == _UNDEFINED:
            break
        if first:  # the table of offsets
            found._add(found.noise, _at(file, position, min(length, _MORE)))
        elif length:
            begin = _at(file, position, min(length, _HEAD))
            for said in _segments(begin):
                found._add(found.said, said)
            tail = _at(file, position + max(length - _TAIL, 0), min(length, _TAIL))
            found._add(found.noise, tail)
            if not begin.startswith((b"\xff\xd8", b"\xff\x4f")):
                found._add(found.noise, begin[:_TAIL] if last else _at(file, position, min(length, _MORE)))
                last = position, length
        first = False
        position += length
    if last is not None:
        at, length = last
        found._add(found.noise, _at(file, at + max(length - _MORE, 0), min(length, _MORE)))
    return position


def _segments(frame: bytes) -> Iterator[bytes]:
    """Yield comments and application data at the beginning of a JPEG or JPEG 2000 frame."""
    is_jpeg, offset = frame.startswith(b"\xff\xd8"), 2
    if not is_jpeg and not frame.startswith(b"\xff\x4f"):
        return
    while offset + 4 <= len(frame):
        mark, marker, length = struct.unpack_from(">BBH", frame, offset)
        if mark != 0xFF or marker in (0xDA, 0x90, 0xD9) or length < 2:
            return
        if marker in (0xFE, 0x64) or 0xE0 <= marker <= 0xEF:
            yield frame[offset + 4 : offset + 2 + length]
        offset += 2 + length


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    value = b""
    while len(value) < length and (more := file.read(length - len(value))):
        value += more
    return value
