"""Where the frames of encapsulated pixel data lie (PS3.5 section A.4): found by seeking, only lengths are read."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import IO, Final

from karnak_core.pixels.errors import CannotDecode

ITEM: Final = 0xFFFEE000
SEQUENCE_END: Final = 0xFFFEE0DD
#: how a frame begins: JPEG and JPEG-LS, JPEG 2000 (codestream, JP2), JPEG XL (codestream, container)
BEGINNINGS: Final = (
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cjP  ",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
)
#: that of RLE: up to 15 segments, of which the first one is behind the header of 64 bytes (PS3.5 section G.5)
_RLE: Final = re.compile(rb"[\x01-\x0f]\x00\x00\x00\x40\x00\x00\x00")
#: one offset in the file and one length in bytes for each fragment of a frame
Fragments = Sequence[tuple[int, int]]


def frame_fragments(file: IO[bytes], offset: int, frames: int) -> tuple[list[Fragments], int]:
    """Return the fragments of every frame, and where the pixel data ends, behind the sequence delimitation item.

    Parameters
    ----------
    offset
        Where the value begins: at the item of the Basic Offset Table.
    frames
        How many frames there must be.

    Raises
    ------
    CannotDecode
        It is cut off, or it is not clear which fragment belongs to which frame.
    """
    table, fragments, end = _walk(file, offset, frames)
    if len(fragments) < frames:
        raise CannotDecode(f"the pixel data has {len(fragments)} fragments for {frames} frames")
    if frames == 1:
        if len(fragments) > 1 and len(_beginning_frames(file, fragments, rle=True)) > 1:
            raise CannotDecode("the pixel data has several frames, and Number of Frames says one")
        return [fragments], end
    if len(fragments) == frames:
        # no other way to distribute them, whatever a table says
        return [[fragment] for fragment in fragments], end
    grouped = _by_table(table, fragments, frames) or _by_beginnings(file, fragments, frames)
    if grouped is None:
        raise CannotDecode(
            f"it is not clear how {len(fragments)} fragments make {frames} frames: "
            "the Basic Offset Table is empty or wrong (DICOM PS3.5 section A.4)"
        )
    return grouped, end


def _walk(file: IO[bytes], offset: int, frames: int) -> tuple[tuple[int, ...], list[tuple[int, int]], int]:
    table: tuple[int, ...] | None = None
    fragments: list[tuple[int, int]] = []
    size = file.seek(0, 2)
    while True:
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            raise CannotDecode("the pixel data is cut off: there is no sequence delimitation item")
        group, element, length = struct.unpack("<HHI", head)
        tag = group << 16 | element
        offset += 8
        if tag == SEQUENCE_END:
            return table or (), fragments, offset
        if tag != ITEM or length == 0xFFFFFFFF:
            raise CannotDecode("the pixel data is no sequence of fragments (DICOM PS3.5 section A.4)")
        if offset + length > size:
            raise CannotDecode("the pixel data is cut off inside a fragment")
        if table is None:
            if length % 4:
                raise CannotDecode("the Basic Offset Table is no list of offsets (DICOM PS3.5 section A.4)")
            # of another length it is wrong, and may be of any
            table = struct.unpack(f"<{frames}I", file.read(length)) if length == 4 * frames else ()
        elif length:
            fragments.append((offset, length))
        offset += length


def _by_table(table: Sequence[int], fragments: Sequence[tuple[int, int]], frames: int) -> list[Fragments] | None:
    if len(table) != frames or table[0] != 0:
        return None
    first = fragments[0][0]
    index = {offset - first: number for number, (offset, _) in enumerate(fragments)}
    starts = [index.get(offset) for offset in table]
    return _grouped([start for start in starts if start is not None], fragments, frames)


def _by_beginnings(file: IO[bytes], fragments: Sequence[tuple[int, int]], frames: int) -> list[Fragments] | None:
    return _grouped(_beginning_frames(file, fragments), fragments, frames)


def _beginning_frames(file: IO[bytes], fragments: Sequence[tuple[int, int]], *, rle: bool = False) -> list[int]:
    """Return the numbers of the fragments that begin as a frame does."""
    starts = []
    for number, (offset, length) in enumerate(fragments):
        file.seek(offset)
        head = file.read(min(length, 8))
        if head.startswith(BEGINNINGS) or (rle and _RLE.fullmatch(head)):
            starts.append(number)
    return starts


def _grouped(starts: Sequence[int], fragments: Sequence[tuple[int, int]], frames: int) -> list[Fragments] | None:
    if len(starts) != frames or starts[0] != 0 or sorted(set(starts)) != list(starts):
        return None
    ends = [*starts[1:], len(fragments)]
    return [fragments[start:end] for start, end in zip(starts, ends, strict=True)]
