"""The audit trail: who did what, and who looked at what is kept from most."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from karnak_plugins.web_console.access.audit import Wanted, actions, audit, entries
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/audit")

#: entries of a page, and of a block of the file
PAGE, BLOCK = 100, 1000
FIELDS = ("who", "action", "text", "since", "until")
HEADER = ("id", "time", "who", "address", "action", "object", "detail")


@router.get("")
def trail(request: Request, console: ConsoleOf) -> Response:
    """Show the newest entries, or those before one."""
    typed = {name: _text(request, name) for name in FIELDS}
    wanted, errors = _wanted(typed)
    cursor = request.query_params.get("before", "")
    before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
    with console.database.read() as connection:
        found = entries(connection, before=before, limit=PAGE + 1, wanted=wanted)
        every = actions(connection)
    filters = {name: value for name, value in typed.items() if value}
    shown = found[:PAGE]
    older = urlencode({**filters, "before": shown[-1].id}) if len(found) > PAGE else ""
    return render(
        request,
        "audit.html",
        status=422 if errors else 200,
        entries=shown,
        actions=every,
        typed=typed,
        errors=errors,
        filtered=bool(filters),
        older=older,
        newest=urlencode(filters) if before is not None else None,
        export=urlencode(filters),
    )


@router.get("/export.csv")
def export(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Save all entries that are looked for."""
    wanted, _ = _wanted({name: _text(request, name) for name in FIELDS})
    audit(console, user, "export", "the audit trail")
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(_rows(console, wanted), media_type="text/csv; charset=utf-8", headers=headers)


def _text(request: Request, name: str) -> str:
    # PostgreSQL takes no text with NUL in it
    return request.query_params.get(name, "").replace("\0", "").strip()[:255]


def _rows(console: Console, wanted: Wanted) -> Iterator[str]:
    yield _line(HEADER)
    before = None
    while True:
        with console.database.read() as connection:
            found = entries(connection, before=before, limit=BLOCK, wanted=wanted)
        for entry in found:
            time = datetime.fromtimestamp(entry.at / 1000, UTC).isoformat(timespec="milliseconds")
            yield _line((str(entry.id), time, entry.who, entry.address, entry.action, entry.object, entry.detail))
        if len(found) < BLOCK:
            return
        before = found[-1].id


def _line(cells: tuple[str, ...]) -> str:
    line = io.StringIO(newline="")
    # a spreadsheet would take some texts for formulas
    safe = [f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in cells]
    csv.writer(line, lineterminator="\r\n").writerow(safe)
    return line.getvalue()


def _wanted(typed: Mapping[str, str]) -> tuple[Wanted, dict[str, str]]:
    since, until, errors = None, None, {}
    try:
        since = _midnight(typed["since"])
    except ValueError:
        errors["since"] = "is not a day such as 2026-01-31"
    try:
        until = _midnight(typed["until"], days=1)
    except (ValueError, OverflowError):
        errors["until"] = "is not a day such as 2026-01-31"
    wanted = Wanted(who=typed["who"], action=typed["action"], text=typed["text"], since=since, until=until)
    return wanted, errors


def _midnight(text: str, days: int = 0) -> int | None:
    """Return when a day begins in UTC, or the one some days later, in milliseconds since 1970-01-01."""
    if not text:
        return None
    day = date.fromisoformat(text) + timedelta(days=days)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
