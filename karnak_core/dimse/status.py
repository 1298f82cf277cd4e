"""The meaning of C-STORE and C-ECHO statuses (PS3.4 section B.2.3, PS3.7 Annex C)."""

from __future__ import annotations

from typing import Final

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_SOP_INSTANCE: Final = 0x0111
INVALID_SOP_INSTANCE: Final = 0x0117
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORISED: Final = 0x0124
UNRECOGNISED_OPERATION: Final = 0x0211
OUT_OF_RESOURCES: Final = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000

#: (first, last, words)
_MEANINGS: Final = (
    (0x0000, 0x0000, "success"),
    (0x0001, 0x0001, "requested optional attributes are not supported"),
    (0x0105, 0x0105, "no such attribute"),
    (0x0106, 0x0106, "invalid attribute value"),
    (0x0107, 0x0107, "attribute list error"),
    (0x0110, 0x0110, "processing failure"),
    (0x0111, 0x0111, "duplicate SOP instance"),
    (0x0112, 0x0112, "no such SOP instance"),
    (0x0113, 0x0113, "no such event type"),
    (0x0114, 0x0114, "no such argument"),
    (0x0115, 0x0115, "invalid argument value"),
    (0x0116, 0x0116, "attribute value out of range"),
    (0x0117, 0x0117, "invalid SOP instance"),
    (0x0118, 0x0118, "no such SOP class"),
    (0x0119, 0x0119, "class-instance conflict"),
    (0x0120, 0x0120, "missing attribute"),
    (0x0121, 0x0121, "missing attribute value"),
    (0x0122, 0x0122, "SOP class not supported"),
    (0x0123, 0x0123, "no such action type"),
    (0x0124, 0x0124, "not authorised"),
    (0x0210, 0x0210, "duplicate invocation"),
    (0x0211, 0x0211, "unrecognised operation"),
    (0x0212, 0x0212, "mistyped argument"),
    (0x0213, 0x0213, "resource limitation"),
    (0xA700, 0xA7FF, "out of resources"),
    (0xA900, 0xA9FF, "data set does not match SOP class"),
    (0xB000, 0xB000, "coercion of data elements"),
    (0xB006, 0xB006, "elements discarded"),
    (0xB007, 0xB007, "data set does not match SOP class (warning)"),
    (0xC000, 0xCFFF, "cannot understand"),
    (0xFE00, 0xFE00, "cancelled"),
    (0xFF00, 0xFF01, "pending"),
)


def describe(status: int) -> str:
    """Return a status with its meaning, e.g. ``0xA700 out of resources``."""
    for first, last, words in _MEANINGS:
        if first <= status <= last:
            return f"0x{status:04X} {words}"
    # PS3.7 Annex C.1: the classes of statuses no table names
    if 0xA000 <= status <= 0xAFFF or 0x0100 <= status <= 0x02FF:
        return f"0x{status:04X} failure"
    return f"0x{status:04X} {'warning' if 0xB000 <= status <= 0xBFFF else 'unknown status'}"
