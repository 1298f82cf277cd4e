"""Subject patterns: what Java's ``String.format`` makes of texts.

``%s`` the next value · ``%.5s`` its first 5 characters · ``%8s``, ``%-8s`` filled up with blanks, in front or behind ·
``%2$s`` the second value · ``%S`` in capitals · ``%%`` a percent sign · ``%n`` a line end:
a blank, as a subject has one line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: characters that one value is filled up to
WIDEST: Final = 200

_SPECIFIER: Final = re.compile(
    r"%(?:(?P<index>[0-9]+)\$)?(?P<left>-)?(?P<width>[1-9][0-9]*)?(?:\.(?P<precision>[0-9]+))?(?P<what>[sSn%])"
)
_KNOWN: Final = "known: %s, %S, %.10s, %10s, %-10s, %1$s, %% and %n"


@dataclass(frozen=True, kw_only=True)
class _Value:
    """A specifier that stands for a value."""

    #: from 0
    index: int
    left: bool = False
    width: int = 0
    #: None: the whole value
    precision: int | None = None
    capitals: bool = False

    def text(self, values: Sequence[str]) -> str:
        value = values[self.index]
        value = value if self.precision is None else value[: self.precision]
        value = value.upper() if self.capitals else value
        return value.ljust(self.width) if self.left else value.rjust(self.width)


class Pattern:
    """A pattern that has been read.

    Raises
    ------
    ValueError
        It has a specifier that is not one of those above; says where.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[str | _Value] = []
        position, ordinary = 0, 0
        while (start := text.find("%", position)) >= 0:
            self._parts.append(text[position:start])
            found = _SPECIFIER.match(text, start)
            if found is None:
                raise ValueError(f"{text!r}: {_written(text, start)!r} at character {start + 1} is unknown; {_KNOWN}")
            position = found.end()
            if found["what"] in "n%":
                if found[0] not in ("%n", "%%"):
                    raise ValueError(f"{text!r}: {found[0]!r} at character {start + 1} is unknown; {_KNOWN}")
                self._parts.append(" " if found["what"] == "n" else "%")
                continue
            value = _value(text, found, ordinary)
            # explicit numbers do not count: %2$s %s is the second, then the first
            ordinary += found["index"] is None
            self._parts.append(value)
        self._parts.append(text[position:])

    @property
    def needs(self) -> int:
        """How many values it needs; further ones are left out."""
        return max((part.index + 1 for part in self._parts if isinstance(part, _Value)), default=0)

    def format(self, values: Sequence[str]) -> str:
        """Return the text with these values, of which there are at least :attr:`needs`."""
        return "".join(part if isinstance(part, str) else part.text(values) for part in self._parts)


def _value(text: str, found: re.Match[str], ordinary: int) -> _Value:
    where = f"{text!r}: {found[0]!r} at character {found.start() + 1}"
    index = ordinary if found["index"] is None else int(found["index"]) - 1
    width = int(found["width"] or 0)
    precision = None if found["precision"] is None else int(found["precision"])
    if index < 0:
        raise ValueError(f"{where}: values are counted from 1")
    if found["left"] and not width:
        raise ValueError(f"{where} fills up behind, but does not say to how many characters")
    if width > WIDEST:
        raise ValueError(f"{where} fills up to more than {WIDEST} characters")
    return _Value(
        index=index, left=bool(found["left"]), width=width, precision=precision, capitals=found["what"] == "S"
    )


def _written(text: str, start: int) -> str:
    """Return what was meant to be a specifier: up to a letter or percent sign."""
    found = re.compile(r"%[^A-Za-z%]*[A-Za-z%]?").match(text, start)
    return found[0] if found else "%"
