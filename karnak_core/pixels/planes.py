"""How the frames of a CT lie in the patient, and what their numbers measure.

Of a single-frame image it stands at the root, of an Enhanced CT in the functional groups: per frame, else shared
(PS3.3 sections C.7.6.2.1.1, C.7.6.16.2.1, C.7.6.16.2.4 and C.7.6.16.2.9).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from pydicom.dataset import Dataset

from karnak_core.deidentify import DeidentificationError
from karnak_core.expressions.values import UNREADABLE

Side = Literal["top", "bottom", "left", "right"]

#: an axis of the patient counts as that of rows or columns from this cosine on
_DOMINANT: Final = 0.8
#: millimetres between rows where the image does not say; as in the Java Karnak
_DEFAULT_SPACING: Final = 0.5
_ORIENTATION: Final = ("PlaneOrientationSequence", "ImageOrientationPatient")
_SPACING: Final = ("PixelMeasuresSequence", "PixelSpacing")
_SLOPE: Final = ("PixelValueTransformationSequence", "RescaleSlope")
_INTERCEPT: Final = ("PixelValueTransformationSequence", "RescaleIntercept")


@dataclass(frozen=True, kw_only=True, slots=True)
class AxialPlane:
    """A frame across the long axis of the patient."""

    #: the side of the frame that the patient looks to
    anterior: Side
    #: millimetres from pixel to pixel in that direction
    spacing: float
    #: Hounsfield units are ``stored value * slope + intercept``
    slope: float
    intercept: float


def is_axial(orientation: Sequence[float]) -> bool:
    """Tell whether rows and columns run along x and y of the patient, in either order and direction."""
    return anterior_side(orientation) is not None


def anterior_side(orientation: Sequence[float]) -> Side | None:
    """Return the side of an axial frame that the patient looks to, None for other frames.

    Parameters
    ----------
    orientation
        Image Orientation (Patient): the direction along a row, then along a column, in x (to the left), y (to the back)
        and z.
    """
    if len(orientation) < 6:
        return None
    row, column = _dominant(orientation[:3]), _dominant(orientation[3:6])
    if {row, column} != {0, 1}:
        return None
    if column == 1:
        return "top" if orientation[4] > 0 else "bottom"
    return "left" if orientation[1] > 0 else "right"


def _dominant(direction: Sequence[float]) -> int | None:
    sizes = [abs(part) for part in direction]
    largest = max(sizes)
    return sizes.index(largest) if largest > _DOMINANT else None


def axial_planes(header: Dataset) -> tuple[AxialPlane, ...]:
    """Return the planes of all frames, one where all are alike; none if no frame is axial.

    Raises
    ------
    DeidentificationError
        A frame does not say how it lies, only some of them are axial, or what they measure cannot be read.
    """
    planes = list(_planes(header))
    axial = tuple(plane for plane in planes if plane is not None)
    if axial and len(axial) < len(planes):
        raise DeidentificationError("only some frames of the CT are axial: the face cannot be removed from the others")
    return axial[:1] if len(set(axial)) == 1 else axial


def _planes(header: Dataset) -> Iterator[AxialPlane | None]:
    shared = _items(header, "SharedFunctionalGroupsSequence")
    groups = _items(header, "PerFrameFunctionalGroupsSequence")
    frames = int((_numbers_of(header, "NumberOfFrames") or [1])[0])
    if groups and len(groups) != frames:
        raise DeidentificationError(f"the CT says of {len(groups)} frames how they lie, and has another number of them")
    for group in groups or [Dataset()]:
        levels = [group, *shared]
        orientation = _numbers(levels, header, _ORIENTATION)
        if len(orientation) < 6:
            raise DeidentificationError(
                "it cannot be told whether the CT is axial: Image Orientation (Patient) is missing "
                "(DICOM PS3.3 section C.7.6.2)"
            )
        anterior = anterior_side(orientation)
        if anterior is None:
            yield None
            continue
        spacings = _numbers(levels, header, _SPACING) or [_DEFAULT_SPACING]
        spacing = spacings[0] if anterior in ("top", "bottom") else spacings[-1]
        slope = (_numbers(levels, header, _SLOPE) or [1.0])[0]
        intercept = (_numbers(levels, header, _INTERCEPT) or [0.0])[0]
        if spacing <= 0 or slope == 0:
            raise DeidentificationError("Pixel Spacing of the CT is not positive, or Rescale Slope is 0")
        yield AxialPlane(anterior=anterior, spacing=spacing, slope=slope, intercept=intercept)


def _items(level: Dataset, keyword: str) -> Sequence[Dataset]:
    try:
        items = list(level.get(keyword) or ())
        if not all(isinstance(item, Dataset) for item in items):
            raise TypeError("no items")
        return items
    except UNREADABLE:  # their messages may quote a value
        raise DeidentificationError(f"{keyword} cannot be read") from None


def _numbers(levels: Sequence[Dataset], header: Dataset, path: tuple[str, str]) -> list[float]:
    """Return the numbers of an attribute: of the first functional group that has it, else of the root."""
    sequence, keyword = path
    places = [item for level in levels for item in _items(level, sequence)[:1]]
    for place in (*places, header):
        numbers = _numbers_of(place, keyword)
        if numbers:
            return numbers
    return []


def _numbers_of(place: Dataset, keyword: str) -> list[float]:
    try:
        value = place.get(keyword)
        if value is None or value == "":
            return []
        if isinstance(value, (bytes, bytearray)):
            raise TypeError("bytes")
        numbers = [float(one) for one in ([value] if isinstance(value, (str, float, int, Decimal)) else value)]
    except UNREADABLE:  # their messages may quote a value
        raise DeidentificationError(f"{keyword} of the CT cannot be read") from None
    if not all(map(math.isfinite, numbers)):
        raise DeidentificationError(f"{keyword} of the CT is no number")
    return numbers
