"""How commands speak to people: times, sizes, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: how states look where there is colour
STYLES = {
    "sent": "green",
    "duplicate": "green",
    "done": "green",
    "excluded": "yellow",
    "failed": "bold red",
    "discarded": "dim",
    "pending": "cyan",
    "leased": "cyan",
}


def console() -> Console:
    """Return where output for people goes: standard output, never cut to a width when it is no terminal."""
    found = Console(highlight=False, soft_wrap=True)
    return found if found.is_terminal else Console(highlight=False, width=10_000, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a plain table; numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    body = [list(row) for row in rows]
    for position, column in enumerate(columns):
        numbers = bool(body) and all(isinstance(row[position], int | float) for row in body)
        made.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in body:
        made.add_row(*(value if isinstance(value, Text) else "" if value is None else str(value) for value in row))
    return made


def state(name: str) -> Text:
    """Return a state, in its colour where there is colour."""
    return Text(name, style=STYLES.get(name, ""))


def span(seconds: float | None) -> str:
    """Return a length of time in its largest fitting unit, e.g. ``3 min``."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(milliseconds: int | None) -> str:
    """Return a time, given in ms since 1970, with its zone; empty for none."""
    if milliseconds is None:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(count: float) -> str:
    """Return a number of bytes in its largest fitting unit, e.g. ``2.0 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
