"""Differences as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from karnak_core.tryout.diff import Row, Value, What
from karnak_core.tryout.tally import Tally

_STYLE = {What.CHANGED: "yellow", What.REMOVED: "red", What.ADDED: "green"}
#: in the order in which they are shown
GROUPS = (What.CHANGED, What.REMOVED, What.ADDED)


def show_rows(console: Console, rows: Sequence[Row]) -> None:
    """Print what changed in one file: changed, removed, added."""
    if not rows:
        console.print("  nothing is changed")
    for what, group in grouped(rows):
        console.print(Text(f"  {what} ({len(group)})", style=f"bold {_STYLE[what]}"))
        columns = ["", "element", "VR"]
        columns += ["before"] * (what is not What.ADDED) + ["after"] * (what is not What.REMOVED) + ["decided by"]
        table = _table(columns)
        for row in group:
            cells = [row.path, row.name, row.vr]
            cells += [_shown(value) for value in (row.before, row.after) if value is not None]
            table.add_row(*(Text(cell) for cell in (f"  {cells[0]}", *cells[1:], row.decided_by)))
        console.print(table)


def show_tally(console: Console, tally: Tally) -> None:
    """Print what changed in many files, counted."""
    table = _table(["attribute", "element", "VR", "is", "decided by", "files", "times"])
    for column in table.columns[-2:]:
        column.justify = "right"
    for line, count in tally.lines():
        table.add_row(
            Text(line.path),
            Text(line.name),
            Text(line.vr),
            Text(str(line.what), style=_STYLE[line.what]),
            Text(line.decided_by),
            f"{count.files:,}",
            f"{count.elements:,}",
        )
    console.print(table)


def grouped(rows: Iterable[Row]) -> Iterator[tuple[What, list[Row]]]:
    """Yield the groups that have rows."""
    every = list(rows)
    for what in GROUPS:
        group = [row for row in every if row.what is what]
        if group:
            yield what, group


def _shown(value: Value) -> str:
    return str(value)


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        # a long value takes more lines, and never hides another column
        table.add_column(column, overflow="fold")
    return table
