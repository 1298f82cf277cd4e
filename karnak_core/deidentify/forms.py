"""What values may look like, by VR (DICOM PS3.5 section 6.2): for those that a profile gives or computes."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

#: one value each; a backslash is a character
_SINGLE: Final = frozenset({"LT", "ST", "UR", "UT"})
#: characters of each value at most, those around it included
_LONGEST: Final = {"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "UI": 64}
_GROUP, _GROUPS = 64, 3
_MONTH, _DAY = "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"
_HOUR, _MINUTE, _SECOND = "([01][0-9]|2[0-3])", "([0-5][0-9])", r"([0-5][0-9]|60)(\.[0-9]{1,6})?"
_FORMS: Final = {
    vr: re.compile(form)
    for vr, form in {
        # an age that comes without its unit leaves without one
        "AS": "[0-9]{3}[DWMY]?",
        "CS": "[A-Z0-9_ ]+",
        "DA": "[0-9]{8}",
        "DS": r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
        "DT": f"[0-9]{{4}}({_MONTH}({_DAY}({_HOUR}({_MINUTE}({_SECOND})?)?)?)?)?([+-]{_HOUR}{_MINUTE})?",
        "IS": "[+-]?[0-9]+",
        "TM": f"{_HOUR}({_MINUTE}({_SECOND})?)?",
        "UI": r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*",
        "UR": r"[\x21-\x5b\x5d-\x7e]+",
    }.items()
}
#: control characters that the texts of several lines have
_LAYOUT: Final = str.maketrans("", "", "\t\n\f\r")
_LINES: Final = frozenset({"LT", "ST", "UT"})
_TEXTS: Final = _LINES | {"AE", "LO", "PN", "SH", "UC"}


def fits(vr: str, text: str) -> bool:
    """Tell whether a text, values joined with a backslash, has the form and the length of its VR.

    Empty values fit; of VRs that are no text, everything does.
    """
    return all(_fits(vr, one) for one in ((text,) if vr in _SINGLE else text.split("\\")))


def _fits(vr: str, value: str) -> bool:
    if len(value) > _LONGEST.get(vr, len(value)):
        return False
    if vr == "PN":
        groups = value.split("=")
        if len(groups) > _GROUPS or any(len(group) > _GROUP for group in groups):
            return False
    if vr in _TEXTS:
        return not any(ord(char) < 32 or ord(char) == 127 for char in value.translate(_LAYOUT if vr in _LINES else {}))
    bare = value.strip(" ")
    if not bare or vr not in _FORMS:
        return True
    if not _FORMS[vr].fullmatch(bare):
        return False
    if vr == "IS":
        return -(2**31) <= int(bare) < 2**31
    return vr != "DA" or _is_day(bare)


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
