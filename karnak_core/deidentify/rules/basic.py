"""``basic.dicom.profile``: the Basic Application Level Confidentiality Profile (PS3.15 Table E.1-1)."""

from __future__ import annotations

from karnak_core.deidentify.actions import ByType, Decision, Dummy
from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule
from karnak_core.deidentify.tables import confidentiality_table
from karnak_core.expressions import Keep, Remove, ReplaceNull, Uid

_SIMPLE: dict[str, Decision] = {"X": Remove(), "Z": ReplaceNull(), "D": Dummy(), "U": Uid(), "K": Keep()}


def _action(code: str) -> Decision:
    return _SIMPLE[code] if code in _SIMPLE else ByType(code)


def basic_action(tag: int) -> Decision | None:
    """Return what the basic profile does to a tag, at any level; None: it is left as it is."""
    table = confidentiality_table()
    code = table.codes.get(tag)
    if code is not None:
        return _action(code)
    for value, mask, code in table.masks:
        if tag & mask == value:
            return _action(code)
    # "(gggg,eeee) where gggg is odd": creators, their elements, and private sequences as a whole
    return Remove() if tag >> 16 & 1 else None


def _read(entry: Entry) -> Rule:
    entry.known_arguments()
    return Rule(
        decide=basic_action,
        method=Method(value="113100", meaning="Basic Application Confidentiality Profile"),
        leaves_name=True,
    )


BASIC_PROFILE = ProfileElement(codename="basic.dicom.profile", read=_read, once=True)
