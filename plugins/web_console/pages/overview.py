"""The start page: how every destination is, and what waits for it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf
from karnak_plugins.web_console.status import status

router = APIRouter(prefix="/overview")


@router.get("")
def overview(request: Request, console: ConsoleOf) -> Response:
    """Show how everything is."""
    return render(request, "overview.html", **status(console))


@router.get("/live")
def live(request: Request, console: ConsoleOf) -> Response:
    """Show what changes of it."""
    return render(request, "_overview.html", **status(console))
