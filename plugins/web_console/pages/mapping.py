"""Who is behind a pseudonym. Every question is written down."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.pseudonyms import store
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.api.pseudonyms import found_in
from karnak_plugins.web_console.pages.forms import Form, text
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/mapping")


@router.get("")
def ask(request: Request) -> Response:
    """Ask for a pseudonym."""
    return render(request, "mapping.html", pseudonym="", rows=[], errors={}, asked=False)


@router.post("")
def find(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Show who is behind it. Not by an address, which a browser remembers."""
    pseudonym = text(form, "pseudonym").strip()
    if not pseudonym or len(pseudonym) > 64:
        errors = {"pseudonym": "1 to 64 characters"}
        return render(
            request, "mapping.html", status=422, pseudonym=pseudonym[:64], rows=[], errors=errors, asked=False
        )
    with console.database.read() as connection:
        rows = store.find(connection, pseudonym)
    audit(console, user, "look at", "who is behind a pseudonym", found_in(rows))
    return render(request, "mapping.html", pseudonym=pseudonym, rows=rows, errors={}, asked=True)
