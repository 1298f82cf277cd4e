"""What of a server's own words may stand in a reason, and how long it wants us to wait.

Reasons are stored and mailed, and the body of an answer may repeat what was sent: a patient's name, say. So only what
machines are meant to read is taken: the title of a problem (RFC 9457), the status of an error as Google's API has it,
the error code of a bearer challenge (RFC 6750), and the phrase of the status line; and of these only what is a phrase
of HTTP itself, or looks like the code of a machine: words joined by underscores, which names of persons are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from karnak_plugins.stow_dest.client import Reply

_PHRASES: Final = frozenset(status.phrase.lower() for status in HTTPStatus)
_CODE: Final = re.compile(r"[A-Za-z]{2,40}(_[A-Za-z]{2,40}){1,5}")
_BEARER_ERROR: Final = re.compile(r'error="([a-z_]{1,40})"')
#: bytes of a problem that are looked at
_LONGEST_PROBLEM: Final = 64 * 1024
#: where a limit on the size of requests usually sits
WHERE_LIMITS_ARE: Final = (
    "where such a limit usually sits: nginx client_max_body_size (1 MB unless set), IIS maxAllowedContentLength "
    "(30 MB unless set), Apache LimitRequestBody, Tomcat maxPostSize, a cloud service's own (AWS HealthImaging 1 GB)"
)


def remarks(reply: Reply) -> str:
    """Return the server's own words, quoted; empty where it has none but the usual ones."""
    found = [_phrase(reply), *_problem(reply.body)]
    if challenge := _BEARER_ERROR.search(reply.headers.get("WWW-Authenticate", "")):
        found.append(challenge[1])
    return ", ".join(f'"{words}"' for words in dict.fromkeys(filter(None, found)))


def location(reply: Reply) -> str:
    """Return where a redirect leads: scheme and host, as a path or query may hold a token."""
    try:
        parts = urlsplit(reply.headers.get("Location", ""))
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return "somewhere that is no URL"
    if not parts.scheme or not host:
        return "another path of the same server"
    return f"{parts.scheme}://{host}" if re.fullmatch(r"[\w.:-]{1,255}", host) else "another server"


def retry_after(reply: Reply) -> float | None:
    """Return for how many seconds the server asks us to wait (RFC 9110 section 10.2.3)."""
    text = reply.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    when = _date(text)
    if when is None:
        return None
    # by its own clock, where it tells the time
    now = _date(reply.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (when - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _phrase(reply: Reply) -> str:
    try:
        usual = HTTPStatus(reply.status).phrase
    except ValueError:
        usual = ""
    return "" if reply.phrase.lower() == usual.lower() else _plain(reply.phrase)


def _problem(body: bytes) -> list[str]:
    try:
        found: Any = json.loads(body) if 0 < len(body) <= _LONGEST_PROBLEM else None
    except (ValueError, RecursionError):
        return []
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, Mapping):
        return []
    error = found.get("error")
    return [_plain(found.get("title")), _plain(error.get("status") if isinstance(error, Mapping) else error)]


def _plain(text: object) -> str:
    if not isinstance(text, str):
        return ""
    return text if text.lower() in _PHRASES or _CODE.fullmatch(text) else ""
