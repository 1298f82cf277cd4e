"""``karnak pseudonyms``: who is who in a project. What is printed here re-identifies patients."""

from __future__ import annotations

import json

import click
import sqlalchemy as sa

from karnak_core.commands.common import FAILED, WRONG, Place, data_options, fail, told, who
from karnak_core.commands.people import console, moment, table
from karnak_core.commands.pseudonym_changes import (
    EXPIRES_IN,
    PROJECT,
    Expiry,
    also,
    changed,
    counted,
    entry_options,
    expires_at,
    need_project,
    opened,
)
from karnak_core.commands.pseudonyms_import import import_
from karnak_core.pseudonyms import store
from karnak_core.pseudonyms.entries import TEXTS, Entry
from karnak_core.spool.views import iso

#: shown at once, unless asked for otherwise
SHOWN = 100
ONE_PROJECT = click.option("--project", help="Only of this project.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


@click.group()
def pseudonyms() -> None:
    """Store the pseudonyms of patients, and find out who is behind one.

    This is what connects pseudonyms with patients: keep what is printed to yourself.
    """


pseudonyms.add_command(import_)


@pseudonyms.command()
@PROJECT
@entry_options(required=True)
@EXPIRES_IN
@data_options
@told
def add(place: Place, project: str, texts: dict[str, str], expires_in: float | None) -> None:
    """Store the pseudonym of one patient."""
    entry = Entry(**texts, expires_at=expires_at(expires_in))
    with opened(place) as db:
        need_project(db, place, project)
        _, woken = changed(db, place, lambda connection: (1, store.add(connection, project, entry, who())))
    click.echo(f"stored in project {project!r}{also(woken)}")


@pseudonyms.command()
@click.argument("number", type=int)
@entry_options(required=False)
@click.option("--expires-in", type=Expiry(), help="From now on, e.g. '7 days', or never.")
@data_options
@told
def edit(place: Place, number: int, texts: dict[str, str], expires_in: float | None) -> None:
    """Change what is stored as NUMBER, which `list` shows; what is not given stays."""
    if not texts and expires_in is None:
        fail("say what to change", WRONG)

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        row = store.get(connection, number)
        until = row.expires_at if expires_in is None else expires_at(expires_in)
        kept = {name: getattr(row, name) for name in TEXTS}
        return 1, store.edit(connection, number, Entry(**{**kept, **texts}, expires_at=until))

    with opened(place) as db:
        _, woken = changed(db, place, change)
    click.echo(f"changed{also(woken)}")


@pseudonyms.command("list")
@ONE_PROJECT
@click.option("--search", default="", help="Only with this text in any column, whatever its case.")
@click.option("--limit", type=click.IntRange(1), help=f"At most this many.  [default: {SHOWN}; with --json: all]")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many at the beginning.")
@AS_JSON
@data_options
@told
def list_(place: Place, project: str | None, search: str, limit: int | None, offset: int, as_json: bool) -> None:
    """List what is stored, by project and Patient ID."""
    with opened(place) as db, db.read() as connection:
        if as_json:
            for row in store.page(connection, project=project, search=search, limit=limit, offset=offset):
                _print_json(row)
            return
        rows = list(store.page(connection, project=project, search=search, limit=limit or SHOWN, offset=offset))
        total = store.count(connection, project=project, search=search)
    _print(rows)
    if offset + len(rows) < total:
        click.echo(f"{len(rows)} of {total} are shown; --limit and --offset show others", err=True)


@pseudonyms.command()
@click.argument("pseudonym")
@ONE_PROJECT
@AS_JSON
@data_options
@told
def find(place: Place, pseudonym: str, project: str | None, as_json: bool) -> None:
    """Find out who is behind PSEUDONYM, written exactly so. Exit status 1 if nobody is."""
    with opened(place) as db, db.read() as connection:
        rows = store.find(connection, pseudonym, project)
    if not rows:
        fail("nobody has this pseudonym" + (f" in project {project!r}" if project else ""), FAILED)
    if as_json:
        for row in rows:
            _print_json(row)
    else:
        _print(rows)


@pseudonyms.command()
@PROJECT
@click.option("--patient-id", "patient_ids", multiple=True, help="Of this patient; may be repeated.")
@click.option("--pseudonym", "names", multiple=True, help="This one; may be repeated.")
@click.option("--number", "numbers", type=int, multiple=True, help="The one that `list` shows so; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="All of the project.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
@told
def delete(
    place: Place,
    project: str,
    patient_ids: tuple[str, ...],
    names: tuple[str, ...],
    numbers: tuple[int, ...],
    everything: bool,
    yes: bool,
) -> None:
    """Delete pseudonyms. Whose they were cannot be found out any more."""
    chosen = store.Choice(numbers=numbers, patient_ids=patient_ids, pseudonyms=names)
    if everything == (chosen != store.Choice()):
        fail("say which by --patient-id, --pseudonym or --number, or say --all", WRONG)

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        return store.delete_all(connection, project) if everything else store.delete(connection, project, chosen)

    with opened(place) as db:
        if not yes:
            which = "every pseudonym" if everything else "these pseudonyms"
            click.confirm(
                f"Who is behind {which} of project {project!r} cannot be found out afterwards. Delete?",
                abort=True,
                err=True,
            )
        count, woken = changed(db, place, change)
    if not count:
        fail(f"project {project!r} has none of these", FAILED)
    click.echo(f"{counted(count, 'pseudonym', 'pseudonyms')} deleted{also(woken)}")


def _print(rows: list[store.Row]) -> None:
    columns = ("number", "project", "pseudonym", "Patient ID", "issuer", "first name", "last name", "expires")
    console().print(
        table(
            columns,
            (
                (
                    row.number,
                    row.project,
                    row.pseudonym,
                    row.patient_id,
                    row.issuer,
                    row.first_name,
                    row.last_name,
                    moment(row.expires_at) or "never",
                )
                for row in rows
            ),
        )
    )


def _print_json(row: store.Row) -> None:
    found = {
        "number": row.number,
        "project": row.project,
        "pseudonym": row.pseudonym,
        "patient_id": row.patient_id,
        "issuer": row.issuer,
        "first_name": row.first_name,
        "last_name": row.last_name,
        "created_at": iso(row.created_at),
        "created_by": row.created_by,
        "expires_at": iso(row.expires_at),
    }
    click.echo(json.dumps(found))
