"""Icons show the image as it was before it was cleaned: they go, wherever in a data set they are.

What other pixels there are in sequences nobody cleans: an instance with such is not sent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from copy import deepcopy
from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from karnak_core.deidentify import DeidentificationError
from karnak_core.expressions.values import UNREADABLE
from karnak_core.pixels.image import KINDS

ICON_IMAGE_SEQUENCE: Final = 0x00880200
#: its tag, and those of pixels
_TAGS: Final = (ICON_IMAGE_SEQUENCE, *KINDS)
#: the same as bytes, in little and in big endian
_ENCODED: Final = tuple(struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) for tag in _TAGS for order in "<>")


def remove_icons(dataset: Dataset) -> None:
    """Remove Icon Image Sequence at the root and from all sequences; items that it shares with others stay as they are.

    Raises
    ------
    DeidentificationError
        A sequence that may have one cannot be read, or has other pixels.
    """
    try:
        _remove(dataset)
        if any(_has_pixels(item) for tag in list(dataset.keys()) for item in _items(dataset, tag)):
            raise DeidentificationError("the pixels have to be cleaned, and there are others in a sequence")
    except UNREADABLE:  # they are nested too deep, or cannot be copied
        raise DeidentificationError("a sequence cannot be read") from None


def _remove(dataset: Dataset) -> None:
    if ICON_IMAGE_SEQUENCE in dataset:
        del dataset[ICON_IMAGE_SEQUENCE]
    for tag in list(dataset.keys()):
        items = _items(dataset, tag)
        if any(map(_has_icon, items)):
            copies = [deepcopy(item) for item in items]
            for item in copies:
                _remove(item)
            dataset[tag] = DataElement(tag, "SQ", Sequence(copies))


def _has_icon(dataset: Dataset) -> bool:
    if ICON_IMAGE_SEQUENCE in dataset:
        return True
    return any(_has_icon(item) for tag in list(dataset.keys()) for item in _items(dataset, tag))


def _has_pixels(dataset: Dataset) -> bool:
    if any(tag in dataset for tag in KINDS):
        return True
    return any(_has_pixels(item) for tag in list(dataset.keys()) for item in _items(dataset, tag))


def _items(dataset: Dataset, tag: BaseTag) -> Iterable[Dataset]:
    """Return the items of a sequence that may have an icon in it; nothing for everything else."""
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        # sequences are decoded only where the bytes of the tag are in them
        may_have_icon = element.VR in ("SQ", "UN", None) and any(one in (element.value or b"") for one in _ENCODED)
    else:
        may_have_icon = element.VR == "SQ"
    if not may_have_icon:
        return ()
    try:
        element = dataset[tag]
        return list(element.value or ()) if element.VR == "SQ" else ()
    except UNREADABLE:  # their messages may quote a value
        raise DeidentificationError(f"a sequence cannot be read: {tag}") from None
