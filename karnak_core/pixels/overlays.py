"""What an overlay shows in the area of a mask is taken out (PS3.3 section C.9.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from karnak_core.deidentify import DeidentificationError, Rectangle
from karnak_core.expressions.values import UNREADABLE
from karnak_core.pixels.masks import clip
from karnak_core.pixels.reading import whole_number

#: first half of the group numbers of overlays: 6000 to 601E, and what some take for one beyond that
_OVERLAYS: Final = 0x60
_ROWS, _COLUMNS, _FRAMES, _ORIGIN, _BIT_POSITION = 0x0010, 0x0011, 0x0015, 0x0050, 0x0102
#: element number of Overlay Data (60xx,3000)
OVERLAY_DATA: Final = 0x3000


def clean_overlays(dataset: Dataset, rectangles: Sequence[Rectangle]) -> None:
    """Set the bits of all overlays to 0 where they lie in one of the rectangles of the image.

    An overlay of old, in bits of the pixels that these do not use, goes as a whole: cleaned frames have only their own.

    Raises
    ------
    DeidentificationError
        An overlay does not say where it lies.
    """
    for group in _groups(dataset):
        tag = BaseTag(group << 16 | OVERLAY_DATA)
        if tag not in dataset:
            _remove_embedded(dataset, group)
            continue
        try:
            element = dataset[tag]
            # a new one: the old one may be shared with the data set that was received
            dataset[tag] = DataElement(tag, element.VR, _cleaned(dataset, group, element, rectangles))
        except UNREADABLE:  # their messages may quote a value
            raise DeidentificationError(
                f"an overlay cannot be cleaned: what describes ({group:04X},3000) cannot be read"
            ) from None


def embedded_overlays(dataset: Dataset) -> frozenset[int]:
    """Return the groups of the overlays that lie in bits of the pixels that these do not use (retired)."""
    return frozenset(
        group
        for group in _groups(dataset)
        if group << 16 | _BIT_POSITION in dataset
        and group << 16 | OVERLAY_DATA not in dataset
        and not _is_zero(dataset, group << 16 | _BIT_POSITION)
    )


def _groups(dataset: Dataset) -> list[int]:
    return sorted({tag >> 16 for tag in dataset.keys() if tag >> 24 == _OVERLAYS and not tag >> 16 & 1})  # noqa: SIM118 - values are not decoded


def _is_zero(dataset: Dataset, tag: int) -> bool:
    try:
        value = dataset[tag].value
        return value is None or value in ("", b"") or whole_number(value) == 0
    except UNREADABLE:
        return False  # who knows where it lies


def _remove_embedded(dataset: Dataset, group: int) -> None:
    if group << 16 | _BIT_POSITION in dataset:
        for tag in [tag for tag in dataset.keys() if tag.group == group]:  # noqa: SIM118 - values are not decoded
            del dataset[tag]


def _cleaned(dataset: Dataset, group: int, element: DataElement, rectangles: Sequence[Rectangle]) -> bytes:
    rows, columns = (whole_number(dataset[group << 16 | number].value) for number in (_ROWS, _COLUMNS))
    frames = dataset.get(BaseTag(group << 16 | _FRAMES))
    count = whole_number(frames.value or 1) if frames is not None else 1
    origin = dataset.get(BaseTag(group << 16 | _ORIGIN))
    top, left = map(whole_number, origin.value) if origin is not None and origin.value is not None else (1, 1)
    if element.VR not in ("OB", "OW", "UN") or min(rows, columns, count) < 1:
        raise ValueError("no overlay of any size")
    in_words = element.VR == "OW" and dataset.original_encoding[1] is False
    bits = _swapped(bytearray(element.value or b"")) if in_words else bytearray(element.value or b"")
    # a number of frames that says more than there are bits would be counted for hours
    count = min(count, -(-8 * len(bits) // (rows * columns)))
    for rectangle in rectangles:
        # the origin is the row and column of the image, counted from 1, that the first bit lies on
        x, y = rectangle.x - (left - 1), rectangle.y - (top - 1)
        width, height = rectangle.width + min(x, 0), rectangle.height + min(y, 0)
        moved = clip(Rectangle(x=max(x, 0), y=max(y, 0), width=width, height=height), columns, rows)
        if moved is None:
            continue
        for frame in range(count):
            for row in range(moved.y, moved.y + moved.height):
                start = (frame * rows + row) * columns + moved.x
                _clear(bits, start, start + moved.width)
    return bytes(_swapped(bits) if in_words else bits)


def _clear(bits: bytearray, start: int, stop: int) -> None:
    """Set bits to 0, the lowest bit of a byte first. What is not there need not be cleared."""
    stop = min(stop, 8 * len(bits))
    if start >= stop:
        return
    first, last = start // 8, (stop - 1) // 8
    before = bits[first] & ((1 << start % 8) - 1)
    after = bits[last] & (0xFF << ((stop - 1) % 8 + 1) & 0xFF)
    bits[first : last + 1] = bytes(last - first + 1)
    bits[first] |= before
    bits[last] |= after


def _swapped(value: bytearray) -> bytearray:
    value[0::2], value[1::2] = value[1::2], value[0::2]
    return value
