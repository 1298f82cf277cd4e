"""What was done to many instances, counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from karnak_core.tryout.diff import Row, What, who_decided


@dataclass(frozen=True, kw_only=True, order=True)
class Line:
    """One kind of change: an attribute, what became of it, and who decided."""

    #: items are not told apart: ``(0008,1140)[].(0008,1155)``
    path: str
    what: What
    name: str
    vr: str
    element: str
    codename: str

    @property
    def decided_by(self) -> str:
        """Return who decided, in words."""
        return who_decided(self.element, self.codename)


@dataclass(kw_only=True)
class Count:
    """How often there was one."""

    elements: int = 0
    files: int = 0


@dataclass(kw_only=True)
class Tally:
    """Counts kinds of changes."""

    files: int = 0
    _counts: dict[Line, Count] = field(default_factory=dict)

    def add(self, rows: Iterable[Row]) -> None:
        """Count the changes of one file."""
        self.files += 1
        seen: set[Line] = set()
        for row in rows:
            line = Line(
                path=row.kind_of_path,
                what=row.what,
                name=row.name,
                vr=row.vr,
                element=row.element,
                codename=row.codename,
            )
            count = self._counts.setdefault(line, Count())
            count.elements += 1
            if line not in seen:
                seen.add(line)
                count.files += 1

    def lines(self) -> list[tuple[Line, Count]]:
        """Return every kind with its count, in the order of the attributes."""
        return sorted(self._counts.items(), key=lambda pair: pair[0])
