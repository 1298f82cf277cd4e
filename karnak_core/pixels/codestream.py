"""What compressed frames say of themselves: JPEG (ITU T.81), JPEG-LS (T.87), JPEG 2000 (T.800) and HTJ2K (T.814)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from karnak_core.pixels.errors import CannotDecode

END: Final = b"\xff\xd9"
#: what may stand behind it
_FILLING: Final = END + b"\0\xff \n\r"
#: the next frame, perhaps, which decoders would leave out without a word
_GOES_ON: Final = "a compressed frame goes on behind its end marker"
#: start of frame: every process of ITU T.81, and JPEG-LS
_START_OF_LS: Final = 0xF7
FRAME_MARKERS: Final = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))


def _ends_scan(inside: Iterable[int]) -> NDArray[np.bool_]:
    """Return whether 0xFF and a byte are the marker behind a scan, by that byte."""
    table = np.ones(256, dtype=np.bool_)
    # restart markers, and fill bytes in front of a marker
    table[[*inside, *range(0xD0, 0xD8), 0xFF]] = False
    return table


#: inside a scan a zero is stuffed behind 0xFF
_ENDS_SCAN: Final = _ends_scan([0])
#: and in JPEG-LS a bit: no byte from 0x80 on follows (ITU T.87 section 8.2)
_ENDS_SCAN_LS: Final = _ends_scan(range(0x80))


@dataclass(frozen=True, kw_only=True)
class Codestream:
    """The size of a compressed image and how its numbers are stored."""

    rows: int
    columns: int
    samples: int
    #: bits of a sample
    precision: int
    signed: bool = False
    #: true: three colours without a transform: the components are called R, G and B, or Adobe's marker says so
    is_rgb: bool = False
    #: true: the components are marked as luminance and chroma (JFIF, or Adobe's marker)
    is_ycc: bool = False


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A marker segment of a JPEG frame."""

    #: the byte behind 0xFF
    marker: int
    #: without marker and length
    body: bytes
    #: where it is over, and where the next marker stands: the data of a scan is between them
    start: int
    end: int


def trimmed(frame: bytes) -> bytes:
    """Return a frame without what fills it to an even length.

    Raises
    ------
    CannotDecode
        It does not end as JPEG and JPEG 2000 do: it is cut off, and decoders would make up the rest.
    """
    if frame.endswith(END):
        return frame
    end = frame.rstrip(b"\0\xff \n\r")
    if not end.endswith(b"\xd9") or frame[len(end) - 2 : len(end)] != END:
        raise CannotDecode("a compressed frame is cut off: it has no end marker")
    return end


def read_jpeg(frame: bytes) -> Codestream:
    """Return what the start of frame of a JPEG or JPEG-LS frame says, and check that scans lead to the end.

    Raises
    ------
    CannotDecode
        As `jpeg_segments`; or there is no start of frame.
    """
    found: Codestream | None = None
    adobe: int | None = None
    jfif = False
    for segment in jpeg_segments(frame):
        marker, body = segment.marker, segment.body
        if marker in FRAME_MARKERS:
            found = _frame(body)
        elif marker == 0xE0 and body.startswith(b"JFIF"):
            jfif = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
    if found is None:
        raise CannotDecode("a compressed frame is corrupt: it has no start of frame")
    return Codestream(
        rows=found.rows,
        columns=found.columns,
        samples=found.samples,
        precision=found.precision,
        is_rgb=found.is_rgb or adobe == 0,
        is_ycc=not found.is_rgb and (jfif or adobe == 1),
    )


def jpeg_segments(frame: bytes, *, alone: bool = True) -> Iterator[Segment]:
    """Yield the marker segments of a JPEG or JPEG-LS frame between its start and its end.

    Parameters
    ----------
    alone
        False: something may follow on its end.

    Raises
    ------
    CannotDecode
        It is none, a marker stands where none can be, or something follows on its end.
    """
    if not frame.startswith(b"\xff\xd8"):
        raise CannotDecode("a compressed frame is no JPEG")
    offset, is_ls = 2, False
    try:
        while frame[offset : offset + 2] != END:
            while frame[offset + 1] == 0xFF:
                offset += 1
            marker, length = struct.unpack_from(">xBH", frame, offset)
            if frame[offset] != 0xFF or marker == 0 or 0xD0 <= marker <= 0xD9 or length < 2:
                raise CannotDecode("a compressed frame is corrupt: a JPEG marker is missing")
            body = frame[offset + 4 : offset + 2 + length]
            offset = start = offset + 2 + length
            is_ls = is_ls or marker == _START_OF_LS
            if marker == 0xDA:
                offset = _end_of_scan(frame, offset, is_ls=is_ls)
            yield Segment(marker=marker, body=body, start=start, end=offset)
        if alone and frame[offset:].strip(_FILLING):
            raise CannotDecode(_GOES_ON)
    except (struct.error, IndexError) as error:
        raise CannotDecode("a compressed frame is cut off inside a JPEG marker") from error


def without_color_marks(frame: bytes) -> bytes:
    """Return a JPEG frame of three components that says nothing of their colour space: the data set does.

    Adobe's marker goes, and components called R, G and B become 1, 2 and 3: there are readers that believe these more.
    """
    parts = [frame[:2]]
    offset = 2
    while True:
        marker, length = struct.unpack_from(">xBH", frame, offset)
        segment = bytearray(frame[offset : offset + 2 + length])
        offset += 2 + length
        if marker in FRAME_MARKERS:
            segment[10:19:3] = b"\1\2\3"
        elif marker == 0xDA:
            segment[5:11:2] = b"\1\2\3"
        if marker != 0xEE:
            parts.append(bytes(segment))
        if marker == 0xDA:
            return b"".join((*parts, frame[offset:]))


def _frame(body: bytes) -> Codestream:
    if len(body) < 6:
        raise CannotDecode("a compressed frame is corrupt: its start of frame is too short")
    precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
    names = body[6 : 6 + 3 * samples : 3]
    return Codestream(
        rows=rows, columns=columns, samples=samples, precision=precision, is_rgb=names in (b"RGB", b"rgb")
    )


def _end_of_scan(frame: bytes, offset: int, *, is_ls: bool) -> int:
    codes = np.frombuffer(frame, dtype="u1", offset=offset)
    starts = np.flatnonzero(codes[:-1] == 0xFF)
    table = _ENDS_SCAN_LS if is_ls else _ENDS_SCAN
    ends = starts[table[codes[starts + 1]]]
    if not len(ends):
        raise CannotDecode("a compressed frame is cut off inside a scan")
    return offset + int(ends[0])


def read_jpeg_2000(frame: bytes) -> tuple[bytes, Codestream]:
    """Return a codestream without the boxes of JP2 that some put around it, and what its header says.

    Raises
    ------
    CannotDecode
        It is none.
    """
    if frame.startswith(b"\0\0\0\x0cjP  "):
        # JP2 is not allowed (PS3.5 section A.4.4), but there
        start = frame.find(b"jp2c")
        frame = frame[start + 4 :] if start > 0 else b""
    if not frame.startswith(b"\xff\x4f\xff\x51") or len(frame) < 43:
        raise CannotDecode("a compressed frame is no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    (samples,) = struct.unpack_from(">H", frame, 40)
    depths = {frame[42 + 3 * number] for number in range(samples)} if len(frame) > 42 + 3 * samples else set()
    if len(depths) != 1:
        raise CannotDecode("a compressed frame has samples of different depths")
    if _end_of_codestream(frame) < len(frame):
        raise CannotDecode(_GOES_ON)
    (depth,) = depths
    return frame, Codestream(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
    )


def _end_of_codestream(frame: bytes) -> int:
    """Return where a JPEG 2000 codestream ends by the lengths of its tile-parts; its length where they lead nowhere."""
    offset = 2
    while frame[offset : offset + 2] != b"\xff\x90":
        length = int.from_bytes(frame[offset + 2 : offset + 4])
        if length < 2:
            return len(frame)
        offset += 2 + length
    while frame[offset : offset + 2] == b"\xff\x90":
        length = int.from_bytes(frame[offset + 6 : offset + 10])
        if length < 14:  # 0: up to the end
            return len(frame)
        offset += length
    return offset + 2 if frame[offset : offset + 2] == END and frame[offset:].strip(_FILLING) else len(frame)
