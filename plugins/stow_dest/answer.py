"""What a STOW-RS answer says of each instance (DICOM PS3.18 section 10.5.3 and annex I): bytes in, an Answer out.

Servers label JSON as XML, XML as text and wrap either in multipart: what it is, is seen from its first character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from karnak_plugins.stow_dest.native_xml import read_native_xml

FAILED_SOP_SEQUENCE: Final = "00081198"
REFERENCED_SOP_SEQUENCE: Final = "00081199"
OTHER_FAILURES_SEQUENCE: Final = "0008119A"
SOP_INSTANCE_UID: Final = "00080018"
REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
FAILURE_REASON: Final = "00081197"
WARNING_REASON: Final = "00081196"

#: bytes of the headers of a part, at most
_LONGEST_HEAD: Final = 8192
_UTF16_XML: Final = (b"\xff\xfe<\0", b"\xfe\xff\0<")
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server says of the instances of one request."""

    #: SOP Instance UID -> Warning Reason; None: stored without remark
    stored: Mapping[str, int | None] = field(default_factory=dict)
    #: SOP Instance UID -> Failure Reason; None: not given. What is in both sequences is here
    failed: Mapping[str, int | None] = field(default_factory=dict)
    #: Failure Reasons of instances that the server does not name
    unnamed: tuple[int | None, ...] = ()


def read_answer(body: bytes) -> Answer | None:
    """Return what an answer says; None: it says nothing about instances."""
    try:
        data_sets = list(_data_sets(body))
    except (ValueError, RecursionError):
        return None
    stored: dict[str, int | None] = {}
    failed: dict[str, int | None] = {}
    unnamed: list[int | None] = []
    for ds in data_sets:
        for item in _items(ds, REFERENCED_SOP_SEQUENCE):
            if uid := _uid(item):
                stored[uid] = _number(item, WARNING_REASON)
        for item in [*_items(ds, FAILED_SOP_SEQUENCE), *_items(ds, OTHER_FAILURES_SEQUENCE)]:
            reason = _number(item, FAILURE_REASON)
            if uid := _uid(item):
                failed[uid] = reason
            else:
                unnamed.append(reason)
    if not (stored or failed or unnamed):
        return None
    return Answer(
        stored={uid: warning for uid, warning in stored.items() if uid not in failed},
        failed=failed,
        unnamed=tuple(unnamed),
    )


def sop_instance_uids(body: bytes) -> frozenset[str]:
    """Return the SOP Instance UIDs of what a QIDO-RS answer lists; none where it is no such answer."""
    try:
        data_sets = list(_data_sets(body))
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(str(value).strip(" \0") for ds in data_sets for value in _values(ds, SOP_INSTANCE_UID))


def _data_sets(body: bytes) -> list[dict[str, Any]]:
    """Return the data sets of a body in the DICOM JSON Model or the Native DICOM Model; ValueError: it is neither."""
    text = _unwrapped(body.lstrip(b"\xef\xbb\xbf \t\r\n")).strip()
    if text.startswith((b"<", *_UTF16_XML)):
        return read_native_xml(text)
    found = json.loads(text)
    return [ds for ds in (found if isinstance(found, list) else [found]) if isinstance(ds, dict)]


def _unwrapped(text: bytes) -> bytes:
    """Return the first part of a multipart message, or what is none as it is."""
    if not text.startswith(b"--"):
        return text
    boundary = text.split(b"\n", 1)[0].rstrip()
    blank = _BLANK_LINE.search(text, 0, _LONGEST_HEAD)
    return text[blank.end() :].split(b"\n" + boundary, 1)[0] if blank else b""


def _items(ds: Mapping[str, Any], tag: str) -> Iterator[Mapping[str, Any]]:
    for item in _values(ds, tag):
        if isinstance(item, dict):
            yield item


def _values(ds: Mapping[str, Any], tag: str) -> list[Any]:
    element = ds.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _uid(item: Mapping[str, Any]) -> str:
    values = _values(item, REFERENCED_SOP_INSTANCE_UID)
    return values[0].strip(" \0") if values and isinstance(values[0], str) else ""


def _number(item: Mapping[str, Any], tag: str) -> int | None:
    try:
        return int(_values(item, tag)[0])
    except (IndexError, TypeError, ValueError, OverflowError):
        return None
