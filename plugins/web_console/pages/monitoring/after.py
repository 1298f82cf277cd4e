"""What follows deliveries: follow-ups, and notifications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.spool import follow_up_decisions, notice_decisions, standing
from karnak_plugins.web_console import deciding
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.forms import Form, text, texts, whole_number
from karnak_plugins.web_console.pages.monitoring.decisions import DONE, numbers
from karnak_plugins.web_console.pages.monitoring.shared import ROWS
from karnak_plugins.web_console.pages.rendering import go, own_path, render
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, paging
from karnak_plugins.web_console.troubles import milliseconds

router = APIRouter(prefix="/monitoring")

#: states that can be chosen, and which of the ledger these are
STATES = {
    "": (),
    "failed": ("failed",),
    "pending": ("pending", "leased"),
    "done": ("done", "sent"),
    "discarded": ("discarded",),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Follow-ups, or notifications."""

    path: str
    title: str
    one: str
    many: str
    #: what it is for
    empty: str


FOLLOW_UPS = Kind(
    path="follow-ups",
    title="Follow-ups",
    one="follow-up",
    many="follow-ups",
    empty="What is done after instances were sent, such as sharing series with albums, is listed here.",
)
NOTIFICATIONS = Kind(
    path="notifications",
    title="Notifications",
    one="notification",
    many="notifications",
    empty="What people are told about studies, such as by mail, is listed here.",
)


@router.get("/follow-ups")
def follow_ups(request: Request, console: ConsoleOf) -> Response:
    """Show what is done after instances were sent."""
    return _listed(request, console, FOLLOW_UPS, "monitoring_after.html")


@router.get("/follow-ups/live")
def follow_ups_live(request: Request, console: ConsoleOf) -> Response:
    """Show what changes of it."""
    return _listed(request, console, FOLLOW_UPS, "_after.html")


@router.post("/follow-ups/decide")
def decide_follow_ups(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Retry or discard follow-ups."""
    ids, states, most = _chosen(form)
    chosen = follow_up_decisions.Filter(ids=ids, states=states)
    act = deciding.retry_follow_ups if text(form, "what") == "retry" else deciding.discard_follow_ups
    return _done(request, form, act(console, user, chosen, most), FOLLOW_UPS)


@router.get("/notifications")
def notifications(request: Request, console: ConsoleOf) -> Response:
    """Show what people are told."""
    return _listed(request, console, NOTIFICATIONS, "monitoring_after.html")


@router.get("/notifications/live")
def notifications_live(request: Request, console: ConsoleOf) -> Response:
    """Show what changes of it."""
    return _listed(request, console, NOTIFICATIONS, "_after.html")


@router.post("/notifications/decide")
def decide_notifications(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Retry or discard notifications."""
    ids, states, most = _chosen(form)
    chosen = notice_decisions.Filter(ids=ids, states=states)
    act = deciding.retry_notifications if text(form, "what") == "retry" else deciding.discard_notifications
    return _done(request, form, act(console, user, chosen, most), NOTIFICATIONS)


def _listed(request: Request, console: Console, kind: Kind, template: str) -> Response:
    state = request.query_params.get("state", "")
    if state not in STATES:
        raise Refused(422, f"state: none of {', '.join(name for name in STATES if name)}")
    before = paging(ROWS, request.query_params.get("cursor") or None).number()
    with console.database.read() as connection:
        rows = _rows(connection, kind, STATES[state], before)
        count = standing.open_follow_ups if kind is FOLLOW_UPS else standing.open_notifications
        failed = sum(one.failed for one in count(connection))
    return render(
        request,
        template,
        kind=kind,
        rows=rows[:ROWS],
        next=rows[ROWS - 1]["id"] if len(rows) > ROWS else None,
        cursor=before,
        state=state,
        states={name: name or "any" for name in STATES},
        failed=failed,
    )


def _rows(connection: sa.Connection, kind: Kind, states: tuple[str, ...], before: int | None) -> list[dict[str, Any]]:
    if kind is FOLLOW_UPS:
        found = list(
            follow_up_decisions.follow_ups(
                connection, follow_up_decisions.Filter(states=states), limit=ROWS + 1, newest_first=True, before=before
            )
        )
    else:
        of_these = notice_decisions.Filter(states=states)
        found = list(notice_decisions.notifications(connection, of_these, limit=ROWS + 1, before=before))
    return [
        {
            **row,
            **{name: milliseconds(row[name]) for name in ("created_at", "finished_at", "not_before")},
            "part": row["follow_up"] if kind is FOLLOW_UPS else row["notification"],
            "subject": row["subject"] if kind is FOLLOW_UPS else row["study_instance_uid"],
        }
        for row in found
    ]


def _chosen(form: Form) -> tuple[list[int], tuple[str, ...], int | None]:
    """Return the numbers that are ticked, or the states of which all are meant, and how many were agreed to."""
    if text(form, "what") not in DONE:
        raise Refused(422, "what: neither retry nor discard")
    most = whole_number(form, "count")
    if texts(form, "number"):
        return numbers(form), (), most
    if text(form, "by") != "failed" or most is None:
        raise Refused(422, "nothing is chosen")
    return [], ("failed",), most


def _done(request: Request, form: Form, count: int, kind: Kind) -> Response:
    number = f"1 {kind.one} is" if count == 1 else f"{count:,} {kind.many} are"
    back = own_path(text(form, "back"), f"/monitoring/{kind.path}")
    return go(request, back, f"{number} {DONE[text(form, 'what')]}.", kind="done" if count else "note")
