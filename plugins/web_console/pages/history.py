"""History: who changed what and when; back to an earlier version; the configuration as a file, out and in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from karnak_core.config import store
from karnak_core.config.export import to_document
from karnak_core.config.plan import changes
from karnak_core.config.yaml_text import MAX_BYTES
from karnak_core.errors import ConfigurationError, Conflict, NotFound
from karnak_plugins.web_console import whole
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.masks import masked, unmasked
from karnak_plugins.web_console.merging import at
from karnak_plugins.web_console.pages.forms import Form, checked, form_version, text, whole_number
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/history")
#: versions of one page
PAGE = 30


@router.get("")
def history(request: Request, console: ConsoleOf, before: int | None = None) -> Response:
    """Show the versions, the newest first."""
    return _listed(request, console, before)


@router.get("/version")
def version_page(request: Request, number: int, console: ConsoleOf) -> Response:
    """Show a version: what it changed, and what going back to it would change."""
    # larger numbers no database has
    there = store.history(console.database, before=number + 1, limit=1) if 0 < number < 2**63 - 1 else []
    if not there or there[0].number != number:
        raise NotFound(f"there is no version {number}")
    (found,) = there
    then = at(console, number)
    back = changes(console.configuration, then) if then is not None else []
    text_of = whole.as_text(masked(to_document(then))) if then is not None else ""
    return render(request, "version.html", found=found, back=back, readable=then is not None, text=text_of)


@router.post("/rollback")
def roll_back(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Make an earlier version apply again."""
    number = whole_number(form, "number") or 0
    try:
        applied = console.roll_back(number, expected_version=form_version(form), author=user)
    except (Conflict, ConfigurationError) as error:
        said = "; ".join(map(str, error.problems)) if isinstance(error, ConfigurationError) else str(error)
        return go(request, "/history", f"It is not rolled back: {said}.", kind="wrong")
    said = f"Version {number} applies again, as version {applied.version}." if applied.new else "Nothing had changed."
    return go(request, "/history", said)


@router.post("/export")
def export(user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Return the configuration as a file; secrets are masked, or encrypted where that is asked for."""
    document = to_document(console.configuration)
    if checked(form, "secrets"):
        audit(console, user, "export", "configuration with its encrypted secrets", f"version {console.version}")
    else:
        document = masked(document)
    name = f"karnak-{console.version}.yml"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(whole.as_text(document), media_type="application/yaml", headers=headers)


@router.post("/plan")
def plan(request: Request, form: Form, console: ConsoleOf) -> Response:
    """Show what a file would change, before it is applied."""
    try:
        document, written = _given(form)
        lines = whole.plan(console, unmasked(document, to_document(console.configuration)))
    except ConfigurationError as error:
        return _listed(request, console, status=422, problems=error.problems, written=text(form, "text"))
    return render(request, "plan.html", lines=lines, written=written)


@router.post("/apply")
def apply(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Apply what was planned."""
    try:
        document, _ = _given(form)
        applied = console.change(
            lambda now: unmasked(document, now),
            expected_version=form_version(form),
            author=user,
            comment=text(form, "comment")[:255] or "applied a file",
            noted=("apply", "configuration"),
        )
    except ConfigurationError as error:
        return _listed(request, console, status=422, problems=error.problems, written=text(form, "text"))
    return go(request, "/history", f"Version {applied.version} applies." if applied.new else "Nothing had changed.")


def _given(form: Form) -> tuple[dict[str, Any], str]:
    """Return the document that was sent, and its text."""
    file = form.get("file")
    content = text(form, "text").encode("utf-8", "replace")
    if isinstance(file, UploadFile) and file.filename:
        content = file.file.read(MAX_BYTES + 1)
    return whole.read(content), content.decode("utf-8-sig", "replace")


def _listed(
    request: Request, console: Console, before: int | None = None, *, status: int = 200, **more: Any
) -> Response:
    before = None if before is None else max(0, min(before, 2**63 - 1))
    found = store.history(console.database, before=before, limit=PAGE + 1)
    context: dict[str, Any] = {
        "versions": found[:PAGE],
        "older": found[PAGE - 1].number if len(found) > PAGE else None,
        "problems": (),
        "written": "",
    }
    return render(request, "history.html", status=status, **{**context, **more})
