"""What a VR says about how to look into a value (DICOM PS3.5 section 6.2)."""

from __future__ import annotations

from karnak_core.leaks.elements import UNKNOWN

#: one value each; a backslash is a character
SINGLE = frozenset((b"LT", b"ST", b"UR", b"UT"))
TEXTS = SINGLE | {b"AE", b"CS", b"LO", b"PN", b"SH", b"UC"}
NUMBERS = frozenset((b"DS", b"IS"))
DATES = frozenset((b"DA", b"DT"))
TIMES = DATES | {b"AS", b"TM"}
#: text or bytes, nobody knows
EITHER = frozenset((b"UN", UNKNOWN))
#: numbers in binary; a few of them cannot hold a word
BINARY_NUMBERS = frozenset((b"AT", b"FD", b"FL", b"SL", b"SS", b"SV", b"UL", b"US", b"UV"))
FEW = 8
#: the characters of values that are what their VR says
NUMBER_CHARACTERS = b"0123456789+-.eE\\ \0"
TIME_CHARACTERS = b"0123456789+-.:DWMY\\ \0"
UID_CHARACTERS = b"0123456789.\\ \0"


def is_id_like(tag: int, vr: bytes) -> bool:
    """Tell whether short names and IDs are looked for in an element, too."""
    return vr == b"PN" or ((tag >> 16 == 0x0010 or tag in _IDS) and (vr in TEXTS or vr == UNKNOWN) and vr != b"CS")


#: Accession Number, Clinical Trial Subject ID and Subject Reading ID, Admission ID
_IDS = frozenset((0x00080050, 0x00120040, 0x00120042, 0x00380010))
