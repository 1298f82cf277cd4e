"""Deliveries, or series, as CSV: what a browser saves, and people open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from starlette.responses import StreamingResponse

from karnak_core.commands.cells import cell
from karnak_core.commands.series_sheet import COLUMNS, series_rows
from karnak_core.spool.views import FIELDS, Filter, deliveries
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused

#: deliveries that are read at once
STEP: Final = 2000
#: bytes of a table of series that are kept in memory
IN_MEMORY: Final = 8 << 20


def answer(
    console: Console, chosen: Filter, *, delimiter: str, quote: str, by_series: bool = False
) -> StreamingResponse:
    """Return the answer that has deliveries as CSV, with a line that names the columns.

    Parameters
    ----------
    by_series
        True: a row for each series at each destination, with facts of patients; false: one for each delivery.

    Raises
    ------
    Refused
        422: delimiter and quote do not fit.
    """
    fine = len(delimiter) == len(quote) == 1 and delimiter != quote and not {delimiter, quote} & {"\r", "\n", "\0"}
    if not fine:
        raise Refused(422, "delimiter, quote: one character each, different, and no line end")
    text = _series(console, chosen, delimiter, quote) if by_series else _deliveries(console, chosen, delimiter, quote)
    name = "series.csv" if by_series else "deliveries.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(text, media_type="text/csv; charset=utf-8", headers=headers)


def _deliveries(console: Console, chosen: Filter, delimiter: str, quote: str) -> Iterator[str]:
    """Yield the table in steps: who reads slowly keeps the ledger from nothing."""
    yield _line(FIELDS, delimiter, quote)
    last: int | None = None
    while True:
        with console.database.read() as connection:
            rows = list(deliveries(connection, chosen, limit=STEP, newest_first=True, before=last))
        yield "".join(_line([row[name] for name in FIELDS], delimiter, quote) for row in rows)
        if len(rows) < STEP:
            return
        last = rows[-1]["id"]


def _series(console: Console, chosen: Filter, delimiter: str, quote: str) -> Iterator[str]:
    """Yield the table, which is written down first, for the same reason."""
    with SpooledTemporaryFile(IN_MEMORY, mode="w+", encoding="utf-8", newline="") as file:
        file.write(_line(COLUMNS, delimiter, quote))
        with console.database.read() as connection:
            for row in series_rows(connection, console.configuration, chosen):
                file.write(_line(row, delimiter, quote))
        file.seek(0)
        while part := file.read(1 << 16):
            yield part


def _line(cells: Sequence[Any] | Iterable[Any], delimiter: str, quote: str) -> str:
    """Return a row; what peers have written and a spreadsheet would take for a formula gets an apostrophe before it."""
    writer = csv.writer(_Echo(), delimiter=delimiter, quotechar=quote, lineterminator="\n")
    return str(writer.writerow([cell(value) for value in cells]))


class _Echo:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text
