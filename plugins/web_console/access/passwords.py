"""Passwords: hashed by argon2id, compared in the same time whether there is such a user or not."""

from __future__ import annotations

import secrets
import threading

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

#: characters; long enough without rules about their kind (NIST SP 800-63B section 3.1.1)
SHORTEST, LONGEST = 12, 256
#: without letters and digits that look alike
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

_hash = PasswordHash((Argon2Hasher(),))
#: each takes 64 MiB and a core for a moment; nobody shall use up the machine by trying to sign in
_turn = threading.BoundedSemaphore(2)
#: of a password that nobody knows
_nobody = _hash.hash(secrets.token_urlsafe(32))


def hashed(password: str) -> str:
    """Return what is stored for a password."""
    with _turn:
        return _hash.hash(password)


def matches(password: str, stored: str | None) -> bool:
    """Say whether it is the password; None: there is none, which takes as long to find out."""
    with _turn:
        try:
            right = _hash.verify(password[: LONGEST + 1], stored if stored is not None else _nobody)
        except PwdlibError:
            return False
    return right and stored is not None


def one_time() -> str:
    """Return a new password of 79 bits that can be read out and typed: four groups of four."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4))


def problem(password: str, name: str) -> str:
    """Return why this cannot be the password of the user ``name``; empty: it can."""
    if len(password) < SHORTEST:
        return f"has {len(password)} characters; at least {SHORTEST} are needed"
    if len(password) > LONGEST:
        return f"has {len(password)} characters; at most {LONGEST} are allowed"
    if len(set(password)) < 5:
        return "consists of fewer than 5 different characters"
    if name and name.lower() in password.lower():
        return "contains the user's name"
    return ""
