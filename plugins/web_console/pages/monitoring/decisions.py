"""Retry and discard: of chosen deliveries, of a study, of all that match."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.spool.views import Filter
from karnak_plugins.web_console import deciding
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.pages.forms import Form, text, texts, whole_number
from karnak_plugins.web_console.pages.rendering import go, own_path
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf
from karnak_plugins.web_console.selecting import FIELDS, selection

router = APIRouter(prefix="/monitoring")

#: what is done, in the words of the sentence that says so
DONE = {"retry": "tried again", "discard": "discarded"}


@router.post("/decide")
def decide(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Do it, and go back to where it was asked for."""
    what = text(form, "what")
    if what not in DONE:
        raise Refused(422, "what: neither retry nor discard")
    chosen, most = _chosen(form, console.clock()), whole_number(form, "count")
    act = deciding.retry if what == "retry" else deciding.discard
    count = act(console, user, chosen, most)
    number = "1 delivery is" if count == 1 else f"{count:,} deliveries are"
    back = own_path(text(form, "back"), "/monitoring")
    return go(request, back, f"{number} {DONE[what]}.", kind="done" if count else "note")


def numbers(form: Form) -> list[int]:
    """Return the numbers of the rows that are ticked; raises Refused where there are none, or they are no numbers."""
    found = [one for one in texts(form, "number") if one.isascii() and one.isdigit() and len(one) < 19]
    if not found or len(found) != len(texts(form, "number")) or len(found) > 1000:
        raise Refused(422, "nothing is chosen, or more than 1000")
    return [int(one) for one in found]


def _chosen(form: Form, now: int) -> Filter:
    if texts(form, "number"):
        return Filter(ids=numbers(form))
    # by the filter of the page, of which nothing may be lost on the way
    found = selection({name: text(form, name) for name in FIELDS}, now)
    if found.errors:
        raise Refused(422, "; ".join(f"{name}: {said}" for name, said in found.errors.items()))
    if text(form, "by") != "filter" or whole_number(form, "count") is None:
        raise Refused(422, "nothing is chosen")
    return found.chosen
