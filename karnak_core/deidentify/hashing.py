"""Everything that is derived from a project's secret: UIDs, PatientIDs, and numbers for date shifts.

The formulas are those of the Java Karnak, so that a site that brings its secret along keeps its UIDs and PatientIDs.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from functools import lru_cache

#: bytes of a project's secret
SECRET_LENGTH = 16
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
#: UIDs remembered, and pseudonyms: those of a study and a series stand in every one of its instances
_MOST = 4096
#: characters of a UID (PS3.5 section 9.1) and of a pseudonym; what is longer is none
_LONGEST = 64


def secret_from_text(text: str) -> bytes:
    """Return the secret written as 32 hex digits, with or without dashes.

    Raises
    ------
    ValueError
        It is something else; the message does not quote it.
    """
    digits = text.replace("-", "")
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", digits):
        raise ValueError("a secret is 32 hex digits, with or without dashes")
    return bytes.fromhex(digits)


def secret_to_text(secret: bytes) -> str:
    """Return the secret as it is shown, in groups of 8-4-4-4-12 hex digits."""
    digits = secret.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Hasher:
    """HMAC-SHA256 of texts with one secret; may be used by any number of threads."""

    __slots__ = ("_patient_ids", "_secret", "_uids")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_LENGTH:
            raise ValueError(f"a secret has {SECRET_LENGTH} bytes, not {len(secret)}")
        self._secret = bytes(secret)
        self._uids: Callable[[str], str | None] = lru_cache(_MOST)(self._uid)
        self._patient_ids: Callable[[str], str] = lru_cache(_MOST)(self._patient_id)

    def digest(self, text: str) -> bytes:
        """Return the 32 bytes that stand for a text."""
        return hmac.digest(self._secret, text.encode("utf-8", "surrogatepass"), "sha256")

    def uid(self, uid: str) -> str | None:
        """Return the UID that replaces one, 44 characters at most; None for a blank one.

        The first 16 bytes of the hash as a random UUID (RFC 9562 version 4), written as a UID (DICOM PS3.5 B.2).
        """
        return self._uids(uid) if len(uid) <= _LONGEST else self._uid(uid)

    def _uid(self, uid: str) -> str | None:
        if not uid.strip():
            return None
        number = int.from_bytes(self.digest(uid)[:16], "big")
        number = number & ~(0xF << 76) | (0x4 << 76)
        number = number & ~(0x3 << 62) | (0x2 << 62)
        return f"2.25.{number}"

    def patient_id(self, pseudonym: str) -> str:
        """Return the PatientID of a pseudonym: 32 hex digits, fewer where the first ones are zero."""
        return self._patient_ids(pseudonym) if len(pseudonym) <= _LONGEST else self._patient_id(pseudonym)

    def _patient_id(self, pseudonym: str) -> str:
        return f"{int.from_bytes(self.digest(pseudonym)[:16], 'big'):X}"

    def fraction(self, text: str) -> float:
        """Return the number from 0 up to, but not including, 1 that stands for a text."""
        return int.from_bytes(self.digest(text)[:6], "big") / 2**48

    def scaled(self, text: str, low: int, high: int) -> int:
        """Return the number from ``low`` up to, but not including, ``high`` that stands for a text.

        With ``high`` below ``low`` it counts downwards.
        """
        return scaled(self.fraction(text), low, high)


def scaled(fraction: float, low: int, high: int) -> int:
    """Return a fraction of a range, cut to a signed 32-bit integer, from its start."""
    return max(_INT_MIN, min(_INT_MAX, int(fraction * (high - low)))) + low
