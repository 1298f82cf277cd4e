"""What can be wrong with a profile, and why an instance cannot be de-identified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from karnak_core.errors import KarnakError, Permanent


class DeidentificationError(Permanent):
    """The instance cannot be de-identified; it is kept and not sent.

    ``reason`` names the place and the rule, never a value from the data set: reasons are stored and mailed.
    """


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing that is wrong in a profile."""

    #: counted from 1
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.line}: {self.message}"


class ProfileError(KarnakError):
    """The profile is wrong; ``problems`` holds everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"line {problem}" for problem in self.problems))


def tag_text(tag: int) -> str:
    """Return a tag as it is written in the standard, ``(0010,0010)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
