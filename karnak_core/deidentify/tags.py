"""Tags and tag patterns as a profile lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_SEPARATORS = re.compile(r"[(),\s]+")
_TAG = re.compile(r"[0-9A-FX]{8}")


@dataclass(frozen=True, slots=True)
class TagPattern:
    """A tag in which digits may be open: ``(50XX,XXXX)``."""

    value: int
    #: ones where the digits are given; all ones for a tag without an X
    mask: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``(0010,0010)``, ``0010,00XX`` or ``00100010``, in any case and with blanks anywhere.

        Raises
        ------
        ValueError
            It is not eight hex digits or X.
        """
        digits = _SEPARATORS.sub("", text).upper()
        if not _TAG.fullmatch(digits):
            raise ValueError(f"{text[:40]!r} is not a tag; write (0010,0010), or (0010,XXXX) with X for any digit")
        value = int(digits.replace("X", "0"), 16)
        return cls(value, int("".join("0" if digit == "X" else "F" for digit in digits), 16))

    @property
    def is_exact(self) -> bool:
        """True for a tag without an X."""
        return self.mask == 0xFFFFFFFF

    def matches(self, tag: int) -> bool:
        """Tell whether a tag is one of these."""
        return tag & self.mask == self.value


@dataclass(frozen=True, slots=True)
class TagSet:
    """The tags and patterns of one list."""

    exact: frozenset[int]
    patterns: tuple[TagPattern, ...]

    @classmethod
    def of(cls, tags: Iterable[TagPattern]) -> Self:
        """Make a set of tags and patterns."""
        tags = tuple(tags)
        return cls(frozenset(t.value for t in tags if t.is_exact), tuple(t for t in tags if not t.is_exact))

    def __contains__(self, tag: int) -> bool:
        return tag in self.exact or any(pattern.matches(tag) for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.exact or self.patterns)


NO_TAGS = TagSet(frozenset(), ())
