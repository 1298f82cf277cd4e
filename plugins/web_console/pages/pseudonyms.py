"""External pseudonyms of a project: list, search, add, edit, delete."""

from __future__ import annotations

import functools
import re
from typing import Annotated, Any
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from karnak_core.errors import ConfigurationError, Conflict, NotFound
from karnak_core.pseudonyms import store
from karnak_core.pseudonyms.entries import TEXTS, Entry
from karnak_core.pseudonyms.store import Row
from karnak_plugins.web_console import pseudonyms
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import CurrentUser, Identity
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages import pseudonym_import
from karnak_plugins.web_console.pages.forms import Form, by_place, text, texts
from karnak_plugins.web_console.pages.pseudonym_words import added, ends_on, last_day
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, paging

router = APIRouter(prefix="/pseudonyms")
router.include_router(pseudonym_import.router)

#: on one page
ROWS = 50

#: a row that is ticked, and what it looked like
CHOSEN = re.compile(r"(?P<number>[0-9]{1,18}):(?P<seen>[0-9a-f]{1,64})")

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("")
def listed(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show a project's pseudonyms; without one, the projects."""
    return _listed(request, user, console, request.query_params.get("project", ""))


@router.post("")
def add(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Store a pseudonym."""
    project = text(form, "project")
    pseudonyms.need_project(console, project)
    try:
        entry = _entry(form)

        def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
            return 1, store.add(connection, project, entry, user.name[:128])

        _, woken = pseudonyms.changed(console, user, project, "add", change)
    except ConfigurationError as error:
        return _listed(request, user, console, project, status=422, errors=by_place(error), form=form)
    return go(request, address(project), added(1, woken))


@router.post("/delete")
def delete(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Delete those that are ticked, if they are still as they were shown."""
    project = text(form, "project")
    pseudonyms.need_project(console, project)
    found = filter(None, map(CHOSEN.fullmatch, texts(form, "number")))
    chosen: dict[int, str | None] = {int(one["number"]): one["seen"] for one in found}
    if not chosen:
        raise Refused(422, "nothing is chosen")

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        return pseudonyms.delete(connection, project, chosen)

    try:
        count, woken = pseudonyms.changed(console, user, project, "delete", change, chosen)
    except Conflict as error:
        return go(request, address(project), f"Nothing is deleted: {error}.", kind="wrong")
    return go(request, address(project), added(count, woken, "deleted"))


@router.post("/delete-all")
def delete_all(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Delete all of a project, whose name has to be typed."""
    project = text(form, "project")
    pseudonyms.need_project(console, project)
    if text(form, "typed").strip() != project:
        errors = {"typed": "this is not the name of the project; nothing was deleted"}
        return _listed(request, user, console, project, status=422, errors=errors)

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        return store.delete_all(connection, project)

    count, woken = pseudonyms.changed(console, user, project, "delete all", change)
    return go(request, address(project), added(count, woken, "deleted"))


@router.get("/{number}")
def one(request: Request, number: Number, user: CurrentUser, console: ConsoleOf) -> Response:
    """Show a pseudonym, to be changed."""
    row = _row(console, number)
    audit(console, user, "look at", f"pseudonyms of project {row.project}", f"number {number}")
    return _one(request, row, _values(row), pseudonyms.state_of(row))


@router.post("/{number}")
def change_one(request: Request, number: Number, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Change a pseudonym that is still as it was shown."""
    try:
        row = _row(console, number)
    except NotFound:
        project = text(form, "project")
        pseudonyms.need_project(console, project)
        # what was typed is in the form that adds one
        return _listed(request, user, console, project, status=409, form=form, gone=True)
    typed = {name: text(form, name) for name in (*TEXTS, "expires")}
    try:
        entry = _entry(form, row)

        def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
            return 1, pseudonyms.edit(connection, row.project, number, entry, text(form, "seen"))

        _, woken = pseudonyms.changed(console, user, row.project, "change", change, [number])
    except ConfigurationError as error:
        return _one(request, row, typed, text(form, "seen"), errors=by_place(error), status=422)
    except Conflict:
        now = _row(console, number)
        audit(console, user, "look at", f"pseudonyms of project {now.project}", f"number {number}")
        return _one(request, now, typed, pseudonyms.state_of(now), now=_values(now), status=409)
    return go(request, address(row.project), added(1, woken, "changed"))


def address(project: str) -> str:
    """Return the page of a project."""
    return f"/pseudonyms?{urlencode({'project': project})}"


def _listed(
    request: Request,
    user: Identity,
    console: Console,
    project: str,
    *,
    status: int = 200,
    errors: Any = None,
    form: Form | None = None,
    gone: bool = False,
) -> Response:
    projects = sorted(one.name for one in console.configuration.projects)
    if not project and len(projects) == 1:
        project = projects[0]
    search = request.query_params.get("search", "").strip()[:64]
    after = paging(ROWS, request.query_params.get("cursor") or None).number() or 0
    before = paging(ROWS, request.query_params.get("before") or None).number()
    rows: list[Row] = []
    is_first = is_last = True
    total = 0
    if project:
        pseudonyms.need_project(console, project)
        with console.looks.once(user.name, f"pseudonyms of project {project}", console.clock()) as new:
            if new:
                audit(console, user, "look at", f"pseudonyms of project {project}")
        with console.database.read() as connection:
            part = functools.partial(store.part, connection, project, search=search)
            rows = part(after=after, before=before, limit=ROWS + 1)
            if before is not None and len(rows) <= ROWS:
                # the first page is a full one
                after, before = 0, None
                rows = part(limit=ROWS + 1)
            if before is None:
                is_last = len(rows) <= ROWS
                rows = rows[:ROWS]
                is_first = not (after and rows and part(before=rows[0].number, limit=1))
            else:
                rows = rows[1:]
                is_first, is_last = False, not part(after=rows[-1].number, limit=1)
            total = store.count(connection, project=project, search=search)
    return render(
        request,
        "pseudonyms.html",
        status=status,
        projects=projects,
        project=project,
        search=search,
        rows=[(row, pseudonyms.state_of(row)) for row in rows],
        total=total,
        previous=None if is_first else rows[0].number,
        following=None if is_last else rows[-1].number,
        errors=errors or {},
        gone=gone,
        values={name: text(form, name) if form else "" for name in (*TEXTS, "expires")},
        titles=TEXTS,
    )


def _row(console: Console, number: int) -> Row:
    with console.database.read() as connection:
        row = store.get(connection, number)
    pseudonyms.need_project(console, row.project)
    return row


def _one(
    request: Request,
    row: Row,
    values: dict[str, str],
    state_seen: str,
    *,
    errors: Any = None,
    now: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    return render(
        request,
        "pseudonym.html",
        status=status,
        row=row,
        values=values,
        state_seen=state_seen,
        errors=errors or {},
        now=now,
        titles=TEXTS,
    )


def _values(row: Row) -> dict[str, str]:
    return {**{name: getattr(row, name) for name in TEXTS}, "expires": last_day(row.expires_at)}


def _entry(form: Form, before: Row | None = None) -> Entry:
    day = text(form, "expires").strip()
    # a time that is more exact than a day stays as it is, unless another day is chosen
    expires = before.expires_at if before and day == last_day(before.expires_at) else ends_on(day)
    return Entry(**{name: text(form, name) for name in TEXTS}, expires_at=expires)
