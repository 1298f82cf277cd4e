"""The tree: destination, study, series, reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from karnak_core.model import State
from karnak_core.spool import aggregates, tree
from karnak_core.spool.aggregates import Counts, Series, Study
from karnak_core.spool.searching import Patience, resolved
from karnak_core.spool.tree import Counts as Counted
from karnak_plugins.web_console import sheet
from karnak_plugins.web_console.access.identity import CurrentUser, Identity
from karnak_plugins.web_console.api.deliveries import SEARCHED
from karnak_plugins.web_console.api.monitoring import cursor, place, sent_facts
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.monitoring.shared import (
    COUNTED,
    STUDIES,
    asked,
    filter_context,
    note_look,
)
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/monitoring")


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A destination with those of its studies that are on the page."""

    forward_node: str
    destination: str
    #: of everything that matches, not only of the page
    counts: Mapping[State, int]
    studies: list[Study]

    @property
    def name(self) -> str:
        """NODE/NAME."""
        return f"{self.forward_node}/{self.destination}"

    @property
    def badge(self) -> tuple[str, str]:
        """Text and tone."""
        return _badge(*(self.counts.get(one, 0) for one in (State.FAILED, State.EXCLUDED, State.PENDING)))


@router.get("")
def monitoring(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show what matches the filter."""
    return _page(request, user, console, "monitoring.html")


@router.get("/live")
def live(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show what changes of it."""
    return _page(request, user, console, "_monitoring.html")


@router.get("/export")
def export(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Return what matches the filter as CSV."""
    found = asked(request, console, user)
    if found.errors:
        raise Refused(422, "; ".join(f"{name}: {said}" for name, said in found.errors.items()))
    by_series = request.query_params.get("by") == "series"
    if by_series:
        note_look(console, user, "an export of series", "shown")
    delimiter = request.query_params.get("delimiter", ",")
    return sheet.answer(
        console,
        found.chosen,
        delimiter="\t" if delimiter == "\\t" else delimiter,
        quote=request.query_params.get("quote", '"'),
        by_series=by_series,
    )


def _page(request: Request, user: Identity, console: Console, template: str) -> Response:
    found = asked(request, console, user)
    begin = request.query_params.get("cursor") or None
    context: dict[str, Any] = {
        "branches": [],
        "next": None,
        "counting": False,
        "looked_back_to": None,
        "cursor": begin,
        "failed": 0,
        "pending": 0,
        "badge_of": badge_of,
        "key": key,
        "shown": Shown(identities=found.identities),
    }
    if found.errors:
        return render(request, template, status=422, **context, **filter_context(console, found))
    with console.database.read() as connection:
        cheap = resolved(connection, found.chosen)
        counted = console.counting.by_state(connection, found.query(identities=None), cheap, Patience(COUNTED))
        page = tree.latest(connection, cheap, limit=STUDIES, after=place(begin), patience=Patience(SEARCHED))
        studies = aggregates.with_series(connection, tree.within(connection, found.chosen, page.keys), page.keys)
    counts = counted.counts
    context["branches"] = _branches(counts, studies)
    context["next"] = cursor(page.next)
    context["counting"] = counted.before is not None
    context["looked_back_to"] = page.looked_back_to
    for name, state in (("failed", State.FAILED), ("pending", State.PENDING)):
        context[name] = sum(of_it.get(state, 0) for of_it in counts.values())
    return render(request, template, **context, **filter_context(console, found, counts))


def _branches(counts: Counted, studies: Sequence[Study]) -> list[Branch]:
    by_destination: dict[tuple[str, str], list[Study]] = {key: [] for key in counts}
    for one in studies:
        by_destination.setdefault((one.forward_node, one.destination), []).append(one)
    return [
        Branch(forward_node=node, destination=name, counts=counts.get((node, name), {}), studies=some)
        for (node, name), some in by_destination.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What of the facts of patients is shown."""

    identities: bool

    def words(self, of: Study | Series, *keywords: str) -> tuple[str, str]:
        """Return facts as received, empty where they are hidden, and as sent where these differ."""
        received = _joined(of.facts, keywords)
        sent = _joined(sent_facts(of.facts, of.sent_facts, self.identities) or {}, keywords)
        return (received, sent if sent != received else "") if self.identities else ("", sent)


def badge_of(counts: Counts) -> tuple[str, str]:
    """Return in one word whether somebody has to look at it, and its tone."""
    return _badge(counts.failed, counts.excluded, counts.waiting)


def key(*parts: str) -> str:
    """Return an id for an element about something whose names anybody may have chosen."""
    return "k" + hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _badge(failed: int, excluded: int, waiting: int) -> tuple[str, str]:
    if failed:
        return f"{failed:,} error{'' if failed == 1 else 's'}", "bad"
    if excluded:
        return f"{excluded:,} excluded", "warning"
    if waiting:
        return f"{waiting:,} waiting", "busy"
    return "OK", "good"


def _joined(facts: Mapping[str, str], keywords: tuple[str, ...]) -> str:
    return " · ".join(facts[keyword] for keyword in keywords if facts.get(keyword))
