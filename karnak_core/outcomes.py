"""What a peer's answer means for a delivery: the tables of C-STORE statuses and of STOW-RS answers, as data.

Sources: PS3.4 section B.2.3 and PS3.7 annex C for C-STORE; PS3.18 sections 8.5 and 10.5.3 and annex I.2, RFC 9110 and
RFC 6585 for STOW-RS. ``0xB000`` and the like come with the data stored, hence *sent*.
"""

from __future__ import annotations

from collections.abc import Sequence
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


#: Failure Reason (0008,1197) of an instance in a STOW-RS answer; the first row that fits counts
STOW_FAILURE: tuple[Row, ...] = (
    Row(0x0111, 0x0111, Meaning.DUPLICATE, "duplicate SOP instance"),
    # 45070 and 45071: what Microsoft's server gives for these
    Row(0xB00E, 0xB00E, Meaning.DUPLICATE, "already exists"),
    Row(0xB00F, 0xB00F, Meaning.RETRYABLE, "is being stored by another request"),
    Row(0xA700, 0xA7FF, Meaning.RETRYABLE, "out of resources"),
    Row(0x0110, 0x0110, Meaning.RETRYABLE, "processing failure"),
    Row(0x0210, 0x0210, Meaning.RETRYABLE, "duplicate invocation"),
    Row(0x0213, 0x0213, Meaning.RETRYABLE, "resource limitation"),
    Row(0xA901, 0xA901, Meaning.PERMANENT, "data set does not match SOP class or study"),
    Row(0xA900, 0xA9FF, Meaning.PERMANENT, "data set does not match SOP class"),
    Row(0xC122, 0xC122, Meaning.PERMANENT, "transfer syntax not supported"),
    Row(0xC000, 0xCFFF, Meaning.PERMANENT, "cannot understand"),
    Row(0x0112, 0x0112, Meaning.PERMANENT, "no such SOP instance"),
    Row(0x0115, 0x0115, Meaning.PERMANENT, "invalid argument value"),
    Row(0x0117, 0x0117, Meaning.PERMANENT, "invalid SOP instance"),
    Row(0x0119, 0x0119, Meaning.PERMANENT, "class and instance conflict"),
    Row(0x0122, 0x0122, Meaning.PERMANENT, "SOP class not supported"),
    Row(0x0124, 0x0124, Meaning.MISCONFIGURED, "not authorised"),
    Row(0x0000, 0xFFFF, Meaning.PERMANENT, "unknown failure reason"),
)

#: HTTP statuses that say the same of every instance of a STOW-RS request. 200, 202 and 409 do not: there, it is the
#: body that counts. The first row that fits counts
STOW_STATUS: tuple[Row, ...] = (
    Row(300, 399, Meaning.MISCONFIGURED, "redirects elsewhere"),
    Row(400, 400, Meaning.PERMANENT, "takes it for malformed"),
    Row(401, 401, Meaning.MISCONFIGURED, "wants authorization, or other than was sent"),
    Row(403, 403, Meaning.MISCONFIGURED, "does not allow us to store"),
    Row(404, 404, Meaning.PERMANENT, "has nothing at the path of url"),
    Row(405, 405, Meaning.PERMANENT, "does not store at the path of url"),
    Row(407, 407, Meaning.MISCONFIGURED, "is behind a proxy that wants authorization"),
    Row(408, 408, Meaning.RETRYABLE, "waited too long for the request"),
    Row(410, 410, Meaning.PERMANENT, "has nothing at the path of url any more"),
    Row(413, 413, Meaning.PERMANENT, "takes no request of this size"),
    Row(415, 415, Meaning.PERMANENT, "does not take the SOP class or transfer syntax"),
    Row(422, 422, Meaning.PERMANENT, "cannot use the instance"),
    Row(423, 423, Meaning.RETRYABLE, "has it locked"),
    Row(425, 425, Meaning.RETRYABLE, "takes it too early"),
    Row(429, 429, Meaning.RETRYABLE, "gets too many requests"),
    Row(400, 499, Meaning.PERMANENT, "refuses the request"),
    Row(501, 501, Meaning.PERMANENT, "does not know how to store"),
    Row(503, 503, Meaning.RETRYABLE, "is not available for the moment"),
    Row(505, 505, Meaning.PERMANENT, "does not speak HTTP/1.1"),
    Row(507, 507, Meaning.RETRYABLE, "has no space left"),
    Row(511, 511, Meaning.MISCONFIGURED, "is behind a network that wants authorization"),
    Row(500, 599, Meaning.RETRYABLE, "has an error of its own or behind it"),
    Row(0, 999, Meaning.RETRYABLE, "gives a status that has no meaning here"),
)


def row_of(rows: Sequence[Row], status: int) -> Row:
    """Return the row of a status; the last one for what is out of range."""
    return next((row for row in rows if row.first <= status <= row.last), rows[-1])


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
    row = row_of(C_STORE, status)
    remark = f"0x{status:04X} {row.words}" + (f": {_one_line(comment)}" if comment else "")
    return _answer(row.meaning, remark, f"C-STORE refused by {peer}: {remark}")


def stow_stored(warning: int | None) -> Sent:
    """Return what it means to be in the Referenced SOP Sequence; ``warning``: its Warning Reason (0008,1196)."""
    if not warning:
        return Sent()
    row = row_of(C_STORE, warning)
    return Sent(warning=f"0x{warning:04X} {row.words if row.meaning is Meaning.WARNING else 'warning'}")


def stow_failed(reason: int | None, peer: str) -> Sent | DeliveryError:
    """Return what it means to be in the Failed SOP Sequence; ``reason``: its Failure Reason, None where it has none."""
    if reason is None:
        return Retryable(f"STOW-RS refused by {peer}: no failure reason given")
    row = row_of(STOW_FAILURE, reason)
    remark = f"0x{reason:04X} {row.words}"
    return _answer(row.meaning, remark, f"STOW-RS refused by {peer}: {remark}")


def stow_refused(status: int, words: str, peer: str, retry_after: float | None = None) -> DeliveryError:
    """Return what an HTTP status means that is no answer about single instances.

    Parameters
    ----------
    words
        What else is known, for the end of the reason; may be empty.
    retry_after
        Seconds that the peer asked us to wait.
    """
    row = row_of(STOW_STATUS, status)
    refused = f"STOW-RS refused by {peer}: HTTP {status}: {row.words}" + (f"; {words}" if words else "")
    if row.meaning is Meaning.RETRYABLE:
        return Retryable(refused, retry_after)
    return Misconfigured(refused) if row.meaning is Meaning.MISCONFIGURED else Permanent(refused)


def _answer(meaning: Meaning, remark: str, refused: str) -> Sent | DeliveryError:
    match meaning:
        case Meaning.SENT:
            return Sent()
        case Meaning.WARNING:
            return Sent(warning=remark)
        case Meaning.DUPLICATE:
            return Sent(duplicate=True, warning=remark)
        case Meaning.RETRYABLE:
            return Retryable(refused)
        case Meaning.MISCONFIGURED:
            return Misconfigured(refused)
    return Permanent(refused)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:64]
