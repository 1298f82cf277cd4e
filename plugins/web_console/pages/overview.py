"""The start page: whether all is well; if not, what is not, since when, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.spool.traffic import Hour
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.chart import draw
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf
from karnak_plugins.web_console.status import status
from karnak_plugins.web_console.troubles import troubles

router = APIRouter(prefix="/overview")


@router.get("")
def overview(request: Request, console: ConsoleOf) -> Response:
    """Show how everything is."""
    return render(request, "overview.html", **_standing(console), **_traffic(console))


@router.get("/live")
def live(request: Request, console: ConsoleOf) -> Response:
    """Show what changes of it."""
    return render(request, "_overview.html", **_standing(console))


@router.get("/traffic")
def traffic(request: Request, console: ConsoleOf) -> Response:
    """Show what came in and went out."""
    return render(request, "_traffic.html", **_traffic(console))


def _standing(console: Console) -> dict[str, Any]:
    found = status(console)
    return {**found, "troubles": troubles(found, console.clock()), "nodes": console.configuration.forward_nodes}


def _traffic(console: Console) -> dict[str, Any]:
    now = console.clock()
    with console.database.read() as connection:
        hours = console.traffic.hours(connection, now)
    return {"hours": list(reversed(hours)), "chart": draw(hours), "today": _added(hours, _midnight(now))}


def _midnight(now: int) -> int:
    """Return when the day began on this machine's clock, ms."""
    here = datetime.fromtimestamp(now / 1000, UTC).astimezone()
    return int(here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def _added(hours: Sequence[Hour], since: int) -> dict[str, int]:
    names = ("received", "sent", "excluded", "failed")
    return {name: sum(getattr(hour, name) for hour in hours if hour.start >= since) for name in names}
