"""Import pseudonyms from a CSV file: upload, see how it is read, store all of it or nothing.

The file is kept nowhere: it goes back to the browser with the preview, and comes again with what is chosen there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_core.pseudonyms import csv_file, store
from karnak_core.pseudonyms.csv_file import BY_POSITION, Layout, Sheet
from karnak_core.pseudonyms.entries import TEXTS, PseudonymError
from karnak_plugins.web_console import pseudonyms
from karnak_plugins.web_console.access.identity import CurrentUser
from karnak_plugins.web_console.pages.forms import Form, by_place, checked, text, texts, whole_number
from karnak_plugins.web_console.pages.pseudonym_words import added, ends_on
from karnak_plugins.web_console.pages.rendering import go, render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter()

#: bytes of a file that goes through the browser twice
MOST: Final = 8 << 20
#: characters of a field of a form
PART: Final = 100_000
#: rows and columns of the preview
ROWS, COLUMNS = 12, 30
#: problems that are shown
PROBLEMS: Final = 200
ENCODINGS: Final[Mapping[str, str]] = {"utf-8-sig": "UTF-8", "cp1252": "Windows (Western Europe)", "latin-1": "Latin-1"}
FIELDS: Final[Mapping[str, str]] = {"": "not imported", **{name: TEXTS[name] for name in BY_POSITION}}


@router.get("/import")
def form_page(request: Request, console: ConsoleOf, project: str = "") -> Response:
    """Ask for a file."""
    pseudonyms.need_project(console, project)
    return _upload(request, project)


@router.post("/import")
def upload(request: Request, form: Form, console: ConsoleOf) -> Response:
    """Show how the file would be read."""
    project, separator, encoding = text(form, "project"), _separator(form), text(form, "encoding")
    pseudonyms.need_project(console, project)
    given = form.get("file")
    content = given.file.read(MOST + 1) if isinstance(given, UploadFile) else b""
    errors = {}
    if not content:
        errors["file"] = "choose a file that is not empty"
    elif len(content) > MOST:
        errors["file"] = f"is larger than {MOST >> 20} MiB; use the command karnak pseudonyms import"
    if len(separator) != 1 or separator in '"\r\n':
        errors["separator"] = "one character, other than a quotation mark"
    if encoding not in ENCODINGS:
        errors["encoding"] = f"none of {', '.join(ENCODINGS)}"
    decoded = ""
    if not errors:
        try:
            decoded = content.decode(encoding)
        except UnicodeError:
            errors["encoding"] = f"the file is not written in {ENCODINGS[encoding]}; choose another one"
    if errors:
        return _upload(request, project, status=422, errors=errors, separator=separator, encoding=encoding)
    cells = _cells(decoded, separator)
    columns, named = csv_file.guessed(cells[0]) if cells else ({}, False)
    return _preview(request, project, decoded, separator, from_line=2 if named else 1, columns=columns)


@router.post("/import/rows")
def import_rows(request: Request, user: CurrentUser, form: Form, console: ConsoleOf) -> Response:
    """Store every row as it was laid out, or none; or show the preview once more."""
    project, content, separator = text(form, "project"), "".join(texts(form, "content")), _separator(form)
    pseudonyms.need_project(console, project)
    from_line, columns = whole_number(form, "from_line") or 1, _chosen(form)
    shown: dict[str, Any] = {
        "from_line": from_line,
        "columns": columns,
        "skip_stored": checked(form, "skip_stored"),
        "expires": text(form, "expires").strip(),
    }
    if text(form, "what") == "preview":
        return _preview(request, project, content, separator, **shown)
    try:
        rows = _read(form, content, separator, from_line).rows

        def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
            return store.import_rows(
                connection, project, rows, user.name[:128], skip_stored=checked(form, "skip_stored")
            )

        count, woken = pseudonyms.changed(console, user, project, "import", change)
    except ConfigurationError as error:
        return _preview(request, project, content, separator, status=422, error=error, **shown)
    said = added(count, woken)
    if left_out := len(rows) - count:
        said += f" {left_out:,} {'was' if left_out == 1 else 'were'} stored already."
    from karnak_plugins.web_console.pages.pseudonyms import address

    return go(request, address(project), said)


def _read(form: Form, content: str, separator: str, from_line: int) -> Sheet:
    """Read the file as it is laid out; raises ConfigurationError with every problem."""
    chosen = [text(form, f"column-{index}") for index in range(COLUMNS)]
    twice = sorted({TEXTS[name] for name in chosen if name in TEXTS and chosen.count(name) > 1})
    if twice:
        said = f"more than one column is the {', the '.join(twice)}"
        raise ConfigurationError([ConfigProblem(place="columns", message=said)])
    missing = [TEXTS[name] for name in ("pseudonym", "patient_id") if name not in chosen]
    if missing:
        said = f"no column is the {', and none the '.join(missing)}"
        raise ConfigurationError([ConfigProblem(place="columns", message=said)])
    layout = Layout(
        separator=separator,
        from_line=from_line,
        columns={name: str(index + 1) for index, name in enumerate(chosen) if name in TEXTS},
        expires_at=ends_on(text(form, "expires").strip()),
    )
    try:
        return _only(csv_file.read(content.encode("utf-8", "surrogatepass"), layout), layout)
    except PseudonymError as error:
        raise pseudonyms.problems(error) from error


def _only(sheet: Sheet, layout: Layout) -> Sheet:
    """Return the rows without what a line that names columns has added: what is not imported stays out."""
    kept = set(layout.columns)
    dropped = set(sheet.columns) - kept
    if not dropped:
        return sheet
    empty: dict[str, Any] = dict.fromkeys(dropped, "")
    rows = [(number, replace(entry, **empty)) for number, entry in sheet.rows]
    return Sheet(columns={name: sheet.columns[name] for name in kept}, rows=rows)


def _upload(
    request: Request,
    project: str,
    *,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
    separator: str = ",",
    encoding: str = "utf-8-sig",
) -> Response:
    return render(
        request,
        "pseudonym_upload.html",
        status=status,
        project=project,
        errors=errors or {},
        separator=separator,
        encoding=encoding,
        encodings=ENCODINGS,
    )


def _preview(
    request: Request,
    project: str,
    content: str,
    separator: str,
    *,
    from_line: int,
    columns: Mapping[str, int],
    status: int = 200,
    error: ConfigurationError | None = None,
    skip_stored: bool = False,
    expires: str = "",
) -> Response:
    cells = _cells(content, separator)
    width = min(max((len(row) for row in cells), default=0), COLUMNS)
    names = {index: name for name, index in columns.items()}
    problems = [str(one) for one in error.problems] if error else []
    fields = by_place(error) if error else {}
    return render(
        request,
        "pseudonym_preview.html",
        status=status,
        project=project,
        parts=_parts(content),
        separator="\\t" if separator == "\t" else separator,
        cells=cells,
        width=width,
        chosen=[names.get(index, "") for index in range(width)],
        fields=FIELDS,
        from_line=from_line,
        skip_stored=skip_stored,
        expires=expires,
        errors={name: said for name, said in fields.items() if name == "expires"},
        problems=problems[:PROBLEMS],
        more_problems=max(0, len(problems) - PROBLEMS),
    )


def _parts(content: str) -> list[str]:
    """Return the file in fields of a form, none of them larger than a form's may be.

    Ends of lines become alike, as browsers make them so, and one must not be cut in two.
    """
    alike = content.replace("\r\n", "\n").replace("\r", "\n")
    return [alike[start : start + PART] for start in range(0, len(alike), PART)]


def _cells(content: str, separator: str) -> Sequence[Sequence[str]]:
    """Return the first rows, as far as they can be read."""
    found: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(content, newline=""), delimiter=separator):
            found.append(row)
            if len(found) == ROWS:
                break
    except (csv.Error, TypeError):
        return found
    return found


def _chosen(form: Form) -> dict[str, int]:
    return {name: index for index in reversed(range(COLUMNS)) if (name := text(form, f"column-{index}")) in TEXTS}


def _separator(form: Form) -> str:
    given = text(form, "separator")
    return "\t" if given == "\\t" else given
