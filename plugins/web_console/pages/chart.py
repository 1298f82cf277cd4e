"""A chart of what came in and went out, as numbers for an SVG: no library, no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from karnak_core.spool.traffic import Hour

#: of the picture, in its own units
WIDTH: Final = 720
HALF: Final = 74
#: between the halves, for the hours
MIDDLE: Final = 18
GAP: Final = 4


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part of a column."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Bars up for what came in, down for what became of it."""

    bars: Sequence[Bar]
    #: (x, text) of some hours
    labels: Sequence[tuple[float, str]]
    #: how much the longest bar upwards, or downwards, stands for
    top: int
    width: int = WIDTH
    height: int = 2 * HALF + MIDDLE
    half: int = HALF
    middle: int = MIDDLE


def draw(hours: Sequence[Hour]) -> Chart:
    """Return the chart of these hours, the present one last."""
    top = max([1, *(hour.received for hour in hours), *(_ended(hour) for hour in hours)])
    step = WIDTH / len(hours)
    bars = []
    for index, hour in enumerate(hours):
        x, width = index * step + GAP / 2, step - GAP
        height = _height(hour.received, top)
        bars.append(Bar(kind="received", x=x, y=HALF - height, width=width, height=height))
        down = float(HALF + MIDDLE)
        for kind in ("sent", "excluded", "failed"):
            height = _height(getattr(hour, kind), top)
            bars.append(Bar(kind=kind, x=x, y=down, width=width, height=height))
            down += height
    labels = [
        ((index + 0.5) * step, f"−{len(hours) - 1 - index} h" if index < len(hours) - 1 else "now")
        for index in range(len(hours) - 1, -1, -6)
    ]
    return Chart(bars=[bar for bar in bars if bar.height], labels=labels, top=top)


def _ended(hour: Hour) -> int:
    return hour.sent + hour.excluded + hour.failed


def _height(count: int, top: int) -> float:
    # what is there is seen, however little it is
    return round(max(HALF * count / top, 1.5), 1) if count else 0.0
