"""Values that stand in for others: PS3.15 action D, by VR."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset

from karnak_core.deidentify.dates import InvalidDate
from karnak_core.deidentify.encode import Encoder
from karnak_core.deidentify.rules.dates import range_amount, shift
from karnak_core.deidentify.undecoded import Element
from karnak_core.deidentify.visit import Received

TEXT = "UNKNOWN"
_TEXT_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_NUMBER_VRS = frozenset({"DS", "IS"})
_DATE_VRS = frozenset({"AS", "DA", "DT", "TM"})
#: VRs that may tell who somebody is, where an attribute is not known by name
_IDENTIFYING_VRS = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UN", "UR", "UT"})

#: Code Value, Long Code Value, URN Code Value
_CODE_VALUES = (0x00080100, 0x00080119, 0x00080120)
#: attributes of the code sequence macro and its like (PS3.3 section 8.8), of content items, and of display styles
_CODES = frozenset(
    {
        *_CODE_VALUES,
        0x00080102,  # Coding Scheme Designator
        0x00080103,  # Coding Scheme Version
        0x00080104,  # Code Meaning
        0x00080121,  # Equivalent Code Sequence
        0x00080122,  # Mapping Resource Name
        0x00080123,  # Context Group Identification Sequence
        0x00700227,  # Font Name
        0x00700229,  # CSS Font Name
        0x00700241,  # Text Color CIELab Value
    }
)
#: SNOMED CT "unknown"
_UNKNOWN_CODE = ((0x00080100, "SH", "261665006"), (0x00080102, "SH", "SCT"), (0x00080104, "LO", "Unknown"))

#: days and seconds up to which dates move
_DAYS = (0, 365)
_SECONDS = (0, 86400)


def dummy_text(received: Received, vr: str, texts: tuple[str, ...]) -> str | None:
    """Return what replaces values, several joined with a backslash; None or empty: the element is emptied.

    Parameters
    ----------
    texts
        The values as text; only asked for of UIDs and dates, of which each gets its own.
    """
    if vr in _TEXT_VRS:
        return TEXT
    if vr in _NUMBER_VRS:
        return "0"
    if vr == "UI":
        return "\\".join(received.hasher.uid(text) or "" for text in texts)
    if vr in _DATE_VRS and any(texts):
        days, seconds = range_amount(received, _DAYS, _SECONDS)
        try:
            return "\\".join(shift(vr, text, days, seconds) if text else "" for text in texts)
        except InvalidDate:
            return None
    return None


def needs_texts(vr: str) -> bool:
    """Tell whether the dummy value of a VR is made from the value."""
    return vr == "UI" or vr in _DATE_VRS


def may_identify(tag: int, vr: str) -> bool:
    """Tell whether an attribute of a sequence that gets dummy values may say who somebody is: not codes and numbers."""
    return vr in _IDENTIFYING_VRS and tag not in _CODES


def has_codes(items: Iterable[Dataset]) -> bool:
    """Tell whether the items of a sequence are codes themselves."""
    return any(tag in item for item in items for tag in _CODE_VALUES)


def code_elements(encoder: Encoder) -> list[Element]:
    """Return the attributes of a code that says nothing."""
    return [encoder.text(*attribute) for attribute in _UNKNOWN_CODE]
