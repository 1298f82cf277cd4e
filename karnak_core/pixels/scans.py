"""Whether the scans of a JPEG frame (ITU T.81) say every pixel: decoders make up what is missing, and say nothing.

What is missing in front of a restart marker or at the end of a scan is found by decoding twice (`probed`); restart
intervals and scans that are missing as a whole are counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from karnak_core.pixels.codestream import FRAME_MARKERS, Segment, jpeg_segments
from karnak_core.pixels.errors import CannotDecode

#: entropy-coded data that no frame needs, without a marker in it
MORE: Final = b"\x55\xaa" * 32
_PROGRESSIVE, _LOSSLESS = 0xC2, 0xC3
_SCAN, _RESTART_INTERVAL = 0xDA, 0xDD
#: coefficients of a block
_COEFFICIENTS: Final = 64


@dataclass(kw_only=True)
class _Frame:
    """What is known of a frame once its header was read, and which of its data was found."""

    process: int
    rows: int
    columns: int
    #: samples across and down a unit, by component
    sampling: dict[int, tuple[int, int]]
    #: lowest bit that was said of each coefficient, by component; none: nothing was
    said: dict[int, list[int | None]] = field(default_factory=dict)

    def units(self, components: list[int]) -> int:
        """Return how many coded units a scan has: blocks or samples of one component, or of several together."""
        side = 1 if self.process == _LOSSLESS else 8
        widest = max(across for across, _ in self.sampling.values())
        highest = max(down for _, down in self.sampling.values())
        columns, rows = self.columns, self.rows
        if len(components) == 1:
            across, down = self.sampling[components[0]]
            columns, rows = _parts(columns * across, widest), _parts(rows * down, highest)
            return _parts(columns, side) * _parts(rows, side)
        return _parts(columns, side * widest) * _parts(rows, side * highest)

    def note(self, components: list[int], first: int, last: int, lowest_bit: int) -> None:
        """Note what a scan says."""
        if self.process != _PROGRESSIVE:
            first, last, lowest_bit = 0, _COEFFICIENTS - 1, 0
        for component in components:
            bits = self.said.setdefault(component, [None] * _COEFFICIENTS)
            bits[first : last + 1] = [lowest_bit] * len(bits[first : last + 1])

    def is_whole(self) -> bool:
        """Say whether every bit of every component was said."""
        return all(not any(bit != 0 for bit in self.said.get(one, [None])) for one in self.sampling)


def probed(frame: bytes) -> bytes:
    """Return a JPEG frame with more data at the end of all its scans and restart intervals.

    It is decoded to the same image if nothing is missing there: of what is whole no decoder reads further.

    Raises
    ------
    CannotDecode
        Restart intervals or scans are missing, or a header cannot be read.
    """
    try:
        return _probed(frame)
    except (struct.error, LookupError, ValueError, ZeroDivisionError) as error:
        raise CannotDecode("a compressed frame is corrupt: the header of a JPEG scan cannot be read") from error


def _probed(frame: bytes) -> bytes:
    known: _Frame | None = None
    interval = 0
    parts, position = [], 0
    for segment in jpeg_segments(frame):
        if segment.marker in FRAME_MARKERS:
            known = _frame_of(segment)
        elif segment.marker == _RESTART_INTERVAL:
            (interval,) = struct.unpack_from(">H", segment.body)
        elif segment.marker == _SCAN:
            if known is None:
                raise CannotDecode("a compressed frame is corrupt: a JPEG scan comes before the start of frame")
            components = _read_scan(segment, known)
            restarts = _restarts(frame, segment)
            _check_restarts(frame, restarts, known.units(components), interval)
            for marker in (*restarts, segment.end):
                stop = _without_fill(frame, marker)
                parts += [frame[position:stop], MORE]
                position = stop
    if known is None or not known.is_whole():
        raise CannotDecode("a compressed frame is cut off: scans of it are missing")
    return b"".join((*parts, frame[position:]))


def _frame_of(segment: Segment) -> _Frame:
    rows, columns, count = struct.unpack_from(">xHHB", segment.body)
    components = [struct.unpack_from("BB", segment.body, 6 + 3 * number) for number in range(count)]
    return _Frame(
        process=segment.marker,
        rows=rows,
        columns=columns,
        sampling={name: (factors >> 4, factors & 15) for name, factors in components},
    )


def _read_scan(segment: Segment, frame: _Frame) -> list[int]:
    """Return the components of a scan, and note what it says of them."""
    count = segment.body[0]
    components = [segment.body[1 + 2 * number] for number in range(count)]
    first, last, bits = struct.unpack_from("BBB", segment.body, 1 + 2 * count)
    frame.note(components, first, last, bits & 15)
    return components


def _restarts(frame: bytes, segment: Segment) -> list[int]:
    """Return where the restart markers of a scan are."""
    codes = np.frombuffer(frame, dtype="u1", offset=segment.start, count=segment.end - segment.start)
    found = np.flatnonzero((codes[:-1] == 0xFF) & (codes[1:] & 0xF8 == 0xD0))
    return [segment.start + place for place in found.tolist()]


def _without_fill(frame: bytes, marker: int) -> int:
    """Return where the fill bytes in front of a marker begin: what is 0xFF inside data has a zero behind it."""
    while frame[marker - 1] == 0xFF:
        marker -= 1
    return marker


def _check_restarts(frame: bytes, restarts: list[int], units: int, interval: int) -> None:
    expected = _parts(units, interval) - 1 if interval else 0
    # there are encoders that write one more, behind the last unit
    if len(restarts) not in (expected, expected + 1) or (restarts and not interval):
        raise CannotDecode(
            f"a compressed frame is cut off: a scan has {len(restarts)} restart markers, and should have {expected}"
        )
    if any(frame[place + 1] != 0xD0 + number % 8 for number, place in enumerate(restarts)):
        raise CannotDecode("a compressed frame is corrupt: the restart markers of a scan are not in their order")


def _parts(whole: int, part: int) -> int:
    return -(-whole // part)
