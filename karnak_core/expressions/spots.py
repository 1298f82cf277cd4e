"""Where something is in a text, and the errors that say so."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_QUOTE = 40


class ExpressionError(ValueError):
    """The text is not valid, or cannot be decided for this data set.

    The message quotes the text that somebody configured, never a value from a data set: reasons are stored and
    mailed. For the same reason these errors are raised outside `except` blocks, without a cause.
    """


class RuleError(ValueError):
    """A rule is broken; whoever knows the spot turns this into an `ExpressionError`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """One part of a configured text."""

    place: str
    """what the text is, such as ``forward_nodes[0].destinations[1].condition``"""
    column: int
    """number of the part's first character, counted from 1"""
    part: str
    """the part itself, as configured"""

    def error(self, rule: str) -> ExpressionError:
        """Return the error that says which rule this part breaks."""
        part = self.part if len(self.part) <= _LONGEST_QUOTE else self.part[: _LONGEST_QUOTE - 1] + "…"
        return ExpressionError(f"{self.place}: column {self.column}: {part!r}: {rule}")
