"""Help: what each page is for, the manual, and what is installed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.errors import NotFound
from karnak_plugins.web_console import manual
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/help")
#: characters of a search that count
LONGEST = 100


@router.get("")
def help_page(request: Request, console: ConsoleOf, q: str = "") -> Response:
    """Show what there is, or where something is written."""
    asked = q.strip()[:LONGEST]
    return render(
        request,
        "help.html",
        plugins=sorted(console.plugins.infos(), key=lambda plugin: plugin.name),
        pages=manual.pages().values(),
        asked=asked,
        found=manual.search(asked),
    )


@router.get("/images/{name}")
def picture(name: str) -> Response:
    """Show a picture of the manual."""
    path = manual.pictures().get(name)
    if path is None:
        raise NotFound("there is no such picture")
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(path.read_bytes(), media_type=manual.PICTURES[path.suffix], headers=headers)


@router.get("/{name}")
def manual_page(request: Request, name: str) -> Response:
    """Show a page of the manual."""
    page = manual.pages().get(name)
    if page is None:
        raise NotFound("there is no such page of the manual")
    return render(request, "manual.html", page=page, text=manual.shown(name), pages=manual.pages().values())
