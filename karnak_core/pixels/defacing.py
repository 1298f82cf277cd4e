"""Remove what a face can be recognised by from axial frames of a CT, one frame at a time.

The method is that of the Java Karnak: find the skin that looks to the front, in each column of pixels; put noise that
is made of the tissue beneath it there and everywhere before it; smooth that. Where it was at fault it is mended: what
lies more than 20 pixels behind the skin stays sharp, the front is found by the orientation and not always at the top,
and the noise is the same each time an instance is sent.

It sees one frame and no neighbour. A method that finds the face in the volume of a series belongs beside this one, and
its choice into ``karnak_core.pixels.cleaning``.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from karnak_core.deidentify import DeidentificationError
from karnak_core.pixels.edges import edges, eroded
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.planes import AxialPlane
from karnak_core.pixels.smooth import box_mean

#: Hounsfield units: more than this is not air
_SKIN: Final = -500
#: the face is looked for in the front 1/2.9 of a frame
_FACE_PART: Final = 2.9
#: pixels that are cut away around tissue, as the side of a square
_EROSION: Final = 5
#: millimetres of noise behind the skin, least and most
_THICKNESS: Final = (1.0, 3.0)
#: pixels behind the skin from which on a frame stays as it was
_SHARP_FROM: Final = 20
#: side of the square that smooths the noise, in pixels
_SMOOTHING: Final = 5


def check_defaceable(image: ImageDescription) -> None:
    """Raise `DeidentificationError` if frames of this kind cannot be defaced."""
    if image.samples_per_pixel != 1 or image.photometric_interpretation == "PALETTE COLOR":
        raise DeidentificationError("the face cannot be removed from a CT in colour")
    if image.kind != "pixel" or image.bits_allocated not in (8, 16, 32):
        raise DeidentificationError("the face can be removed from whole numbers of 8, 16 or 32 bits only")


def deface(frame: Frame, plane: AxialPlane, key: bytes) -> Frame:
    """Return a frame without its face.

    Parameters
    ----------
    frame
        Stored values, (rows, columns); it keeps them.
    key
        What the noise is derived from: the same key makes the same noise.
    """
    result = frame.copy()
    upright = _upright(result, plane)
    upright[:] = _defaced(upright, plane, key)
    return result


def face_rows(upright: Frame, plane: AxialPlane) -> NDArray[np.int64]:
    """Return the row of each column where the skin begins, seen from the front (the top): at most a third down."""
    tissue = upright * plane.slope + plane.intercept > _SKIN
    found = edges(eroded(tissue, _EROSION))
    found[int(len(found) / _FACE_PART) :] = True
    rows: NDArray[np.int64] = found.argmax(axis=0)
    return rows


def _upright(frame: Frame, plane: AxialPlane) -> Frame:
    """Return a view of a frame with the front at the top."""
    if plane.anterior in ("left", "right"):
        frame = frame.T
    return frame[::-1] if plane.anterior in ("bottom", "right") else frame


def _defaced(frame: Frame, plane: AxialPlane, key: bytes) -> Frame:
    rows, columns = frame.shape
    face = face_rows(frame, plane)
    least, most = (int(min(length / plane.spacing, rows)) for length in _THICKNESS)
    numbers = _Numbers(key)
    noise_end = face + least + numbers.below(most - least + 1, columns)
    height = min(rows, int(noise_end.max()) + 1)
    depth = face + 1 + numbers.below(2 * most + 1, height, columns)
    tissue = np.take_along_axis(frame, np.minimum(depth, rows - 1), axis=0)
    place = np.arange(rows)[:, None]
    merged = frame.copy()
    merged[:height] = np.where(place[:height] <= noise_end, tissue, frame[:height])
    return np.where(place < face + _SHARP_FROM, box_mean(merged, _SMOOTHING, mode="reflect"), merged)


class _Numbers:
    """Numbers that nobody can guess without the key, and that stay the same in every version of every library."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._calls = 0

    def below(self, limit: int, *shape: int) -> NDArray[Any]:
        """Return numbers from 0 up to, but not including, ``limit``."""
        self._calls += 1
        count = int(np.prod(shape))
        stream = hashlib.shake_256(self._key + self._calls.to_bytes(4, "big")).digest(4 * count)
        words = np.frombuffer(stream, dtype="<u4").astype(np.uint64)
        return (words * np.uint64(limit) >> np.uint64(32)).astype(np.int64).reshape(shape)
