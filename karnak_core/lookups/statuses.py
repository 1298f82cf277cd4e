"""What an HTTP status of a web service means for the instance that it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.outcomes import Meaning, Row, row_of


class Absent(Permanent):
    """The service knows nothing about what it was asked for."""


#: those that say that there is nothing
ABSENT: Final = (204, 404, 410)

#: statuses without an answer; the first row that fits counts (RFC 9110 section 15, RFC 6585)
STATUSES: Final[tuple[Row, ...]] = (
    Row(204, 204, Meaning.PERMANENT, "knows nothing about it"),
    Row(100, 299, Meaning.PERMANENT, "has no answer"),
    Row(300, 399, Meaning.MISCONFIGURED, "redirects elsewhere, which is not followed"),
    Row(401, 401, Meaning.MISCONFIGURED, "wants authorization, or other than was sent"),
    Row(403, 403, Meaning.MISCONFIGURED, "does not allow us to ask"),
    Row(404, 404, Meaning.PERMANENT, "knows nothing about it"),
    Row(407, 407, Meaning.MISCONFIGURED, "is behind a proxy that wants authorization"),
    Row(408, 408, Meaning.RETRYABLE, "waited too long for the request"),
    Row(410, 410, Meaning.PERMANENT, "knows nothing about it any more"),
    Row(423, 423, Meaning.RETRYABLE, "has it locked"),
    Row(425, 425, Meaning.RETRYABLE, "takes it too early"),
    Row(429, 429, Meaning.RETRYABLE, "gets too many requests"),
    Row(400, 499, Meaning.PERMANENT, "refuses the request"),
    Row(501, 501, Meaning.PERMANENT, "does not know how to answer"),
    Row(505, 505, Meaning.PERMANENT, "does not speak HTTP/1.1"),
    Row(511, 511, Meaning.MISCONFIGURED, "is behind a network that wants authorization"),
    Row(500, 599, Meaning.RETRYABLE, "has an error of its own or behind it"),
    Row(0, 999, Meaning.RETRYABLE, "gives a status that has no meaning here"),
)


def has_answer(status: int) -> bool:
    """Tell whether the body of an answer is what was asked for."""
    return status in (200, 201, 202, 203)


def refused(status: int, headers: Mapping[str, str], peer: str) -> DeliveryError:
    """Return what a status without an answer means.

    Parameters
    ----------
    headers
        Of the answer; ``Retry-After`` counts.
    peer
        How to name the service.
    """
    row = row_of(STATUSES, status)
    try:
        named = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        named = str(status)
    reason = f"{peer} {row.words}: HTTP {named}"
    if row.meaning is Meaning.RETRYABLE:
        return Retryable(reason, retry_after(headers))
    if row.meaning is Meaning.MISCONFIGURED:
        return Misconfigured(reason)
    return Absent(reason) if status in ABSENT else Permanent(reason)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a service asks us to wait (RFC 9110 section 10.2.3); None: it does not."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
