"""Which abstract and transfer syntaxes an acceptor takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from pydicom.config import IGNORE
from pydicom.uid import UID

VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

_UNCOMPRESSED = ("", ".1", ".1.98", ".1.99", ".2")
_JPEG = tuple(f".4.{process}" for process in (*range(50, 67), 70))
_JPEG_LS = (".4.80", ".4.81")
# .94, .95, .204 and .205 are JPIP: the pixels are behind a URL, there is nothing to forward
_JPEG_2000 = (".4.90", ".4.91", ".4.92", ".4.93", ".4.201", ".4.202", ".4.203")
_MPEG = tuple(f".4.{profile}{part}" for profile in range(100, 107) for part in ("", ".1"))
_HEVC = (".4.107", ".4.108")
_JPEG_XL = (".4.110", ".4.111", ".4.112")
_OTHER = (".5", ".7.1", ".7.2", ".7.3", ".8.1")  # RLE, SMPTE ST 2110, deflated image frames

#: PS3.6 Table A-1 without JPIP, MIME, XML and Papyrus
TRANSFER_SYNTAXES: Final = frozenset(
    IMPLICIT_VR_LITTLE_ENDIAN + suffix
    for group in (_UNCOMPRESSED, _JPEG, _JPEG_LS, _JPEG_2000, _MPEG, _HEVC, _JPEG_XL, _OTHER)
    for suffix in group
)

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@lru_cache(maxsize=1024)
def is_uid(value: str) -> bool:
    """Return whether a value can be a UID (PS3.5 section 9.1); leading zeros, which exist, are let pass."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None


@lru_cache(maxsize=1024)
def is_storage(abstract_syntax: str) -> bool:
    """Return whether instances are stored with this SOP class.

    Of the standard's UIDs those that are called storage, DICOMDIR among them; private ones and ones newer
    than the table always, as their instances would be lost otherwise.
    """
    if not is_uid(abstract_syntax):
        return False
    uid = UID(abstract_syntax, validation_mode=IGNORE)
    if not uid.type:
        return True
    return uid.type == "SOP Class" and "Storage" in uid.name and "Storage Commitment" not in uid.name


def choose_transfer_syntax(proposed: Iterable[str]) -> str | None:
    """Return the first syntax in the requestor's order that we accept: a sender need not transcode."""
    return next((syntax for syntax in proposed if syntax in TRANSFER_SYNTAXES), None)
