"""Every delivery by itself, and everything about one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from karnak_core.commands.delivery_detail import detail
from karnak_core.errors import NotFound
from karnak_core.spool.searching import Listed, Patience, newest
from karnak_plugins.web_console.access.identity import CurrentUser, Identity
from karnak_plugins.web_console.api.deliveries import SEARCHED
from karnak_plugins.web_console.api.monitoring import sent_facts
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.monitoring.shared import ROWS, asked, filter_context, note_look
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf, paging
from karnak_plugins.web_console.stories import story_of
from karnak_plugins.web_console.troubles import milliseconds

router = APIRouter(prefix="/monitoring")

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/deliveries")
def listed(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show the deliveries that match the filter, the newest first."""
    found = asked(request, console, user)
    before = paging(ROWS, request.query_params.get("cursor") or None).number()
    page = Listed(rows=(), next=None, full=True)
    if not found.errors:
        with console.database.read() as connection:
            page = newest(connection, found.chosen, limit=ROWS, before=before, patience=Patience(SEARCHED))
    return render(
        request,
        "monitoring_deliveries.html",
        status=422 if found.errors else 200,
        rows=[_with_moments(row) for row in page.rows],
        next=page.next,
        full=page.full,
        cursor=before,
        **filter_context(console, found),
    )


@router.get("/deliveries/{number}")
def one(request: Request, number: Number, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show everything about a delivery: what was received, what was sent, and its story."""
    return _one(request, number, user, console, "monitoring_delivery.html")


@router.get("/deliveries/{number}/live")
def one_live(request: Request, number: Number, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show what changes of it."""
    return _one(request, number, user, console, "_delivery.html")


@router.get("/story")
def story(request: Request, console: ConsoleOf, uid: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Tell what happened to an instance, a series or a study, and what happens next."""
    found, problem = None, ""
    if uid.strip():
        try:
            found = story_of(console, uid)
        except NotFound as error:
            problem = str(error)
    return render(request, "monitoring_story.html", uid=uid.strip(), story=found, problem=problem)


def _one(request: Request, number: int, user: Identity, console: Console, template: str) -> Response:
    with console.database.read() as connection:
        found = detail(connection, number)
    if found is None:
        raise NotFound(f"there is no delivery {number}")
    identities = "identities" in request.query_params
    if identities:
        note_look(console, user, f"delivery {number}", "shown")
    received: dict[str, str] = found["facts"]
    sent: dict[str, str] | None = found["sent_facts"]
    shown = sent_facts(received, sent or {}, identities) or {}
    return render(
        request,
        template,
        row=_with_moments(found),
        identities=identities,
        facts=[
            (
                name,
                received.get(name, "") if identities else None,
                None if sent is None or (name in sent and name not in shown) else shown.get(name, ""),
            )
            for name in sorted(set(received) | set(sent or {}))
        ],
        went_out=sent is not None,
        story=story_of(console, found["sop_instance_uid"]),
    )


def _with_moments(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose times are ms since 1970."""
    names = ("received_at", "finished_at", "decided_at", "not_before")
    return {**row, **{name: milliseconds(row[name]) for name in names}}
