"""Help: what each page is for, where the manual goes on, and what is installed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/help")


@router.get("")
def help_page(request: Request, console: ConsoleOf) -> Response:
    """Show it."""
    return render(request, "help.html", plugins=sorted(console.plugins.infos(), key=lambda plugin: plugin.name))
