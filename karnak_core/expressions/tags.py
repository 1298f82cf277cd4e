"""Tags and VRs as people write them."""

from __future__ import annotations

import re

from pydicom._dicom_dict import RepeatersDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.valuerep import VR

from karnak_core.expressions.spots import ExpressionError

LARGEST_TAG = 0xFFFFFFFF
#: (FFFF,FFFF): in no data set
NO_TAG = LARGEST_TAG

#: The VRs of DICOM PS3.5 table 6.2-1; pydicom also lists its undecided ones, such as "US or SS".
VRS = frozenset(vr.value for vr in VR if len(vr.value) == 2)

#: Keywords of repeating groups stand for the first of them: OverlayData is (6000,3000).
_REPEATERS = {row[4]: int(mask.replace("x", "0"), 16) for mask, row in RepeatersDictionary.items() if row[4]}

_TAG = re.compile(r"\s*(\()?\s*([0-9A-F]{4})\s*,?\s*([0-9A-F]{4})\s*(?(1)\))\s*", re.ASCII | re.IGNORECASE)


def parse_tag(text: str) -> int:
    """Return the number of a tag written as ``0008,1030``, ``(0008,1030)`` or ``00081030``.

    Raises
    ------
    ExpressionError
        The text is not one of these forms; the message quotes it.
    """
    number = tag_number(text)
    if number is None:
        raise ExpressionError(f"tag: {text[:40]!r} is not a tag; write it as '0008,1030' or '00081030'")
    return number


def tag_number(text: str) -> int | None:
    """Return what `parse_tag` returns, or None where it raises: for text that must not be quoted."""
    found = _TAG.fullmatch(text)
    return int(found[2] + found[3], 16) if found else None


def tag_of_keyword(keyword: str) -> int | None:
    """Return the tag of a keyword of DICOM PS3.6, or None."""
    number = tag_for_keyword(keyword)
    return _REPEATERS.get(keyword) if number is None else number
