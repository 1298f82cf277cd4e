"""Mail addresses: which are taken, and lists of them."""

from __future__ import annotations

import re
from typing import Final

#: RFC 5322 section 3.2.3
_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#: RFC 5321 sections 4.1.2 and 4.5.3.1; quoted names are not taken, nor addresses of hosts by number
_ADDRESS: Final = re.compile(
    rf"(?P<name>{_ATEXT}+(?:\.{_ATEXT}+)*)"
    r"@(?P<domain>[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)"
)
#: of one mail
MOST_ADDRESSES: Final = 100


def address(text: str) -> str:
    """Return an address; raises ValueError, which says what is wrong."""
    found = _ADDRESS.fullmatch(text)
    if not found or len(found["name"]) > 64 or len(text) > 254:
        raise ValueError(f"{text!r} is not a mail address such as ward@hospital.example (RFC 5321 section 4.1.2)")
    return text


def addresses(text: str) -> tuple[str, ...]:
    """Return the addresses of a list with commas, each once; raises ValueError, which names every one that is wrong."""
    found: dict[str, str] = {}
    wrong: list[str] = []
    for part in text.split(","):
        one = part.strip()
        if not one:
            # a comma too many
            continue
        try:
            found.setdefault(one.casefold(), address(one))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    if not found:
        raise ValueError("is empty; write at least one mail address, several with commas between them")
    if len(found) > MOST_ADDRESSES:
        raise ValueError(f"has {len(found)} addresses; at most {MOST_ADDRESSES} are allowed: use a mailing list")
    return tuple(found.values())
