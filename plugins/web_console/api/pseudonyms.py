"""External pseudonyms: who is who in a project."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_core.model import now_ms
from karnak_core.pseudonyms import csv_file, store
from karnak_core.pseudonyms.entries import Entry, PseudonymError
from karnak_core.pseudonyms.store import Row
from karnak_core.spool.views import iso
from karnak_plugins.web_console import pseudonyms
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.api.changing import RESPONSES
from karnak_plugins.web_console.api.deliveries import Number, RowNumber
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, Page, PagingOf, SeenState, tag_state

router = APIRouter(tags=["pseudonyms"])

Keeper = Annotated[Identity, Depends(require_scope("pseudonyms"))]
Finder = Annotated[Identity, Depends(require_scope("identities"))]
Project = Annotated[str, Path(max_length=64, description="name of the project")]
#: longer ones are refused with what is wrong by :class:`Entry`
Text = Annotated[str, Field(max_length=1000)]


class NewPseudonym(BaseModel):
    """A pseudonym to be stored."""

    model_config = ConfigDict(extra="forbid")

    pseudonym: Text
    patient_id: Text
    issuer: Text = Field(default="", description="issuer of the Patient ID; empty: any")
    first_name: Text = ""
    last_name: Text = ""
    expires_at: datetime | None = Field(default=None, description="in UTC unless it names a zone; null: never")

    def entry(self) -> Entry:
        """Return it as it is stored."""
        return Entry(
            pseudonym=self.pseudonym,
            patient_id=self.patient_id,
            issuer=self.issuer,
            first_name=self.first_name,
            last_name=self.last_name,
            expires_at=_ms(self.expires_at),
        )


class PseudonymOut(BaseModel):
    """A pseudonym that is stored."""

    number: int
    project: str
    pseudonym: str
    patient_id: str
    issuer: str
    first_name: str
    last_name: str
    created_at: str
    created_by: str
    expires_at: str | None
    etag: str = Field(description="changes when the pseudonym does; the `ETag` of its own address")


class Changed(BaseModel):
    """What was done."""

    count: int = Field(description="pseudonyms that were stored, changed or deleted")
    woken: int = Field(description="deliveries that had failed for want of them, and are tried again now")
    would: bool = Field(default=False, description="true: nothing was stored, as it was only a trial")


class Deletion(BaseModel):
    """Which pseudonyms are deleted."""

    model_config = ConfigDict(extra="forbid")

    numbers: list[RowNumber] = Field(default_factory=list, max_length=10_000)
    etags: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None,
        max_length=10_000,
        description="of each number, in their order: where one has changed, none is deleted; null: whatever they are",
    )
    all_of_project: str | None = Field(
        default=None, max_length=64, description="the name of the project once more: all of it"
    )


class Search(BaseModel):
    """Whom to look for."""

    model_config = ConfigDict(extra="forbid")

    pseudonym: str = Field(min_length=1, max_length=64, description="written exactly so")
    project: str | None = Field(default=None, max_length=64, description="only in this one")


class ImportQuery(BaseModel):
    """How the file is read."""

    model_config = ConfigDict(extra="forbid")

    separator: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = Field(default="utf-8", max_length=32, pattern=r"^[A-Za-z0-9_.:-]+$")
    from_line: int | None = Field(default=None, ge=1, le=2**31, description="first line of data; default: found out")
    pseudonym_column: str | None = Field(default=None, max_length=64, description="number from 1, or name")
    patient_id_column: str | None = Field(default=None, max_length=64)
    issuer_column: str | None = Field(default=None, max_length=64)
    first_name_column: str | None = Field(default=None, max_length=64)
    last_name_column: str | None = Field(default=None, max_length=64)
    expires_at: datetime | None = None
    skip_stored: bool = Field(default=False, description="leave out what is stored already, exactly so")
    dry_run: bool = Field(default=False, description="look, and store nothing")


@router.get("/projects/{project}/pseudonyms")
def list_pseudonyms(
    project: Project,
    user: Keeper,
    paging: PagingOf,
    console: ConsoleOf,
    search: Annotated[str, Query(max_length=64, description="part of any text, in any case")] = "",
) -> Page[PseudonymOut]:
    """List the pseudonyms of a project, in the order in which they were stored."""
    pseudonyms.need_project(console, project)
    after = paging.number() or 0
    audit(console, user, "look at", f"pseudonyms of project {project}", "with a search" if search else "")
    with console.database.read() as connection:
        found = store.part(connection, project, search=search, after=after, limit=paging.limit + 1)
    shown = found[: paging.limit]
    more = str(shown[-1].number) if len(found) > paging.limit else None
    return Page(items=[_out(row) for row in shown], next=more)


@router.post("/projects/{project}/pseudonyms", status_code=201)
def add_pseudonym(project: Project, new: NewPseudonym, user: Keeper, console: ConsoleOf) -> Changed:
    """Store a pseudonym."""
    pseudonyms.need_project(console, project)

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        return 1, store.add(connection, project, new.entry(), user.name[:128])

    return _changed(*pseudonyms.changed(console, user, project, "add", change))


@router.post("/projects/{project}/pseudonyms/delete")
def delete_pseudonyms(project: Project, deletion: Deletion, user: Keeper, console: ConsoleOf) -> Changed:
    """Delete some pseudonyms of a project, or all. Whose they were cannot be found out any more."""
    pseudonyms.need_project(console, project)
    if bool(deletion.numbers) == (deletion.all_of_project is not None):
        raise Refused(422, "numbers, all_of_project: name one of them")
    if deletion.all_of_project not in (None, project):
        raise Refused(422, "all_of_project: is not the name of the project")
    if deletion.etags is not None and len(deletion.etags) != len(deletion.numbers):
        raise Refused(422, "etags: there is not one for each number")
    etags: Sequence[str | None] = [one.strip('"') for one in deletion.etags or ()] or [None] * len(deletion.numbers)

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        if deletion.numbers:
            return pseudonyms.delete(connection, project, dict(zip(deletion.numbers, etags, strict=True)))
        return store.delete_all(connection, project)

    action = "delete" if deletion.numbers else "delete all"
    return _changed(*pseudonyms.changed(console, user, project, action, change, deletion.numbers))


async def _content(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/projects/{project}/pseudonyms/import",
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def import_pseudonyms(
    project: Project,
    query: Annotated[ImportQuery, Query()],
    user: Keeper,
    console: ConsoleOf,
    content: Annotated[bytes, Depends(_content)],
) -> Changed:
    """Store all pseudonyms of a CSV file, or none; the file is not kept."""
    pseudonyms.need_project(console, project)
    columns = {name: getattr(query, f"{name}_column") for name in csv_file.BY_POSITION}
    layout = csv_file.Layout(
        separator=query.separator,
        encoding="utf-8-sig" if query.encoding.lower() in ("utf-8", "utf8") else query.encoding,
        from_line=query.from_line,
        columns={name: column for name, column in columns.items() if column},
        expires_at=_ms(query.expires_at),
    )
    try:
        rows = csv_file.read(content, layout).rows
        if query.dry_run:
            return Changed(count=_would(console, project, rows, user, query.skip_stored), woken=0, would=True)
    except PseudonymError as error:
        raise pseudonyms.problems(error) from error

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        return store.import_rows(connection, project, rows, user.name[:128], skip_stored=query.skip_stored)

    return _changed(*pseudonyms.changed(console, user, project, "import", change))


@router.get("/projects/{project}/pseudonyms/{number}")
def get_pseudonym(
    project: Project, number: Number, user: Keeper, console: ConsoleOf, response: Response
) -> PseudonymOut:
    """Return a pseudonym."""
    with console.database.read() as connection:
        row = pseudonyms.one_of(connection, project, number)
    audit(console, user, "look at", f"pseudonyms of project {project}", f"number {number}")
    tag_state(response, pseudonyms.state_of(row))
    return _out(row)


@router.put("/projects/{project}/pseudonyms/{number}", responses=RESPONSES)
def change_pseudonym(
    project: Project, number: Number, new: NewPseudonym, user: Keeper, console: ConsoleOf, seen: SeenState
) -> Changed:
    """Replace a pseudonym."""

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        return 1, pseudonyms.edit(connection, project, number, new.entry(), seen)

    return _changed(*pseudonyms.changed(console, user, project, "change", change, [number]))


@router.delete("/projects/{project}/pseudonyms/{number}", responses=RESPONSES)
def delete_pseudonym(project: Project, number: Number, user: Keeper, console: ConsoleOf, seen: SeenState) -> Changed:
    """Delete a pseudonym."""

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        pseudonyms.one_of(connection, project, number)
        return pseudonyms.delete(connection, project, {number: seen})

    return _changed(*pseudonyms.changed(console, user, project, "delete", change, [number]))


@router.post("/pseudonyms/find")
def find(search: Search, user: Finder, console: ConsoleOf) -> Page[PseudonymOut]:
    """Find out who is behind a pseudonym; that somebody asks is written down."""
    with console.database.read() as connection:
        rows = store.find(connection, search.pseudonym, search.project)
    audit(console, user, "look at", "who is behind a pseudonym", found_in(rows))
    return Page(items=[_out(row) for row in rows])


def found_in(rows: list[Row]) -> str:
    """Return for the audit trail what was found, without saying whom."""
    return ", ".join(f"project {row.project} number {row.number}" for row in rows) or "nobody"


def _would(console: Any, project: str, rows: Any, user: Identity, skip_stored: bool) -> int:
    with console.database.write() as connection:
        savepoint = connection.begin_nested()
        count, _ = store.import_rows(connection, project, rows, user.name[:128], skip_stored=skip_stored)
        savepoint.rollback()
    return int(count)


def _changed(count: int, woken: int) -> Changed:
    return Changed(count=count, woken=woken)


def _out(row: Row) -> PseudonymOut:
    times = {"created_at": iso(row.created_at), "expires_at": iso(row.expires_at)}
    return PseudonymOut(**{**vars(row), **times, "etag": pseudonyms.state_of(row)})


def _ms(moment: datetime | None) -> int | None:
    """Return when something expires, ms since 1970; raises ConfigurationError where that is over."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    at = int((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    if at <= now_ms():
        raise ConfigurationError([ConfigProblem(place="expires_at", message="this time is over")])
    return at
