"""``basic.dicom.profile``: the Basic Application Level Confidentiality Profile (PS3.15 Table E.1-1)."""

from __future__ import annotations

from karnak_core.deidentify.actions import ByType, Decision, Dummy
from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule
from karnak_core.deidentify.tables import confidentiality_table
from karnak_core.expressions import Keep, Remove, ReplaceNull, Uid

#: UIDs that table E.1-1 does not name. What they point at gets another UID under the profile, so they have to follow;
#: the others name patients' assertions and procedures, or who keeps the instance.
_OTHER_UIDS = frozenset(
    {
        0x00081167,  # Multi-frame Source SOP Instance UID
        0x00083012,  # Radiopharmaceutical Administration Event UID
        0x0018991E,  # Target Frame of Reference UID
        0x00200242,  # SOP Instance UID of Concatenation Source
        0x00209312,  # Volume Frame of Reference UID
        0x00209313,  # Table Frame of Reference UID
        0x0040A021,  # Findings Group UID (Trial)
        0x0040A022,  # Referenced Findings Group UID (Trial)
        0x0040E011,  # Retrieve Location UID
        0x0040E030,  # Repository Unique ID
        0x0040E031,  # Home Community ID
        0x00440102,  # Assertion UID
        0x00440108,  # Referenced Assertion UID
        0x00687004,  # Model Group UID
        0x0070031B,  # Referenced Fiducial UID
        0x00701209,  # Volumetric Presentation Input Set UID
        0x300A0675,  # Equipment Frame of Reference UID
    }
)
#: attributes with X in the table that some IODs require (type 1): there they get a dummy, as an object without them is
#: none that others may store
_REQUIRED = frozenset(
    {
        0x0008103E,  # Series Description
        0x00181078,  # Radiopharmaceutical Start DateTime
        0x00700082,  # Presentation Creation Date
        0x00700083,  # Presentation Creation Time
        0x30020121,  # Position Acquisition Template Name
    }
)
_SIMPLE: dict[str, Decision] = {"X": Remove(), "Z": ReplaceNull(), "D": Dummy(), "U": Uid(), "K": Keep()}


def _action(code: str) -> Decision:
    return _SIMPLE[code] if code in _SIMPLE else ByType(code)


def basic_action(tag: int) -> Decision | None:
    """Return what the basic profile does to a tag, at any level; None: it is left as it is."""
    table = confidentiality_table()
    code = table.codes.get(tag)
    if tag in _REQUIRED:
        return ByType("X1")
    if code is not None:
        return _action(code)
    for value, mask, code in table.masks:
        if tag & mask == value:
            return _action(code)
    if tag in _OTHER_UIDS:
        return Uid()
    # "(gggg,eeee) where gggg is odd": creators, their elements, and private sequences as a whole
    return Remove() if tag >> 16 & 1 else None


def _read(entry: Entry) -> Rule:
    entry.known_arguments()
    return Rule(
        decide=basic_action,
        method=Method(value="113100", meaning="Basic Application Confidentiality Profile"),
        leaves_name=True,
    )


BASIC_PROFILE = ProfileElement(codename="basic.dicom.profile", read=_read, once=True, keys=())
