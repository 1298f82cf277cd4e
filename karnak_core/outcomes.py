"""What a peer's answer means for a delivery: the table of C-STORE statuses, as data.

Sources: PS3.4 section B.2.3 and PS3.7 annex C. ``0xB000`` and the like come with the data stored, hence *sent*.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.model import Sent


class Meaning(Enum):
    """What to do about an answer."""

    SENT = "sent"
    WARNING = "sent with a warning"
    DUPLICATE = "duplicate"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True)
class Row:
    """Statuses from ``first`` to ``last``, both included."""

    first: int
    last: int
    meaning: Meaning
    words: str


#: the first row that fits counts
C_STORE: tuple[Row, ...] = (
    Row(0x0000, 0x0000, Meaning.SENT, "success"),
    Row(0xB000, 0xB000, Meaning.WARNING, "coercion of data elements"),
    Row(0xB006, 0xB006, Meaning.WARNING, "elements discarded"),
    Row(0xB007, 0xB007, Meaning.WARNING, "data set does not match SOP class"),
    Row(0xB001, 0xBFFF, Meaning.WARNING, "warning"),
    Row(0x0001, 0x0001, Meaning.WARNING, "requested optional attributes are not supported"),
    Row(0x0107, 0x0107, Meaning.WARNING, "attribute list error"),
    Row(0x0116, 0x0116, Meaning.WARNING, "attribute value out of range"),
    Row(0x0111, 0x0111, Meaning.DUPLICATE, "duplicate SOP instance"),
    Row(0xA700, 0xA7FF, Meaning.RETRYABLE, "out of resources"),
    Row(0x0110, 0x0110, Meaning.RETRYABLE, "processing failure"),
    Row(0x0210, 0x0210, Meaning.RETRYABLE, "duplicate invocation"),
    Row(0x0213, 0x0213, Meaning.RETRYABLE, "resource limitation"),
    Row(0xA900, 0xA9FF, Meaning.PERMANENT, "data set does not match SOP class"),
    Row(0xC000, 0xCFFF, Meaning.PERMANENT, "cannot understand"),
    Row(0x0112, 0x0112, Meaning.PERMANENT, "no such SOP instance"),
    Row(0x0115, 0x0115, Meaning.PERMANENT, "invalid argument value"),
    Row(0x0117, 0x0117, Meaning.PERMANENT, "invalid SOP instance"),
    Row(0x0122, 0x0122, Meaning.PERMANENT, "SOP class not supported"),
    Row(0x0124, 0x0124, Meaning.MISCONFIGURED, "not authorised"),
    Row(0x0000, 0xFFFF, Meaning.PERMANENT, "unknown status"),
)


def c_store_answer(status: int, comment: str, peer: str) -> Sent | DeliveryError:
    """Return what a C-STORE response means.

    Parameters
    ----------
    status
        The status of the response (0000,0900).
    comment
        Its error comment (0000,0902): the peer's words, cut to a line.
    peer
        How to name the peer: AE title and address.
    """
    row = next(row for row in C_STORE if row.first <= status <= row.last)
    remark = f"0x{status:04X} {row.words}" + (f": {_one_line(comment)}" if comment else "")
    match row.meaning:
        case Meaning.SENT:
            return Sent()
        case Meaning.WARNING:
            return Sent(warning=remark)
        case Meaning.DUPLICATE:
            return Sent(duplicate=True, warning=remark)
    refused = f"C-STORE refused by {peer}: {remark}"
    match row.meaning:
        case Meaning.RETRYABLE:
            return Retryable(refused)
        case Meaning.MISCONFIGURED:
            return Misconfigured(refused)
    return Permanent(refused)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:64]
