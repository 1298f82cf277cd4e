"""``karnak pseudonyms import``: all rows of a CSV file, or none."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import sqlalchemy as sa

from karnak_core.commands.common import WRONG, Place, data_options, fail, told, who
from karnak_core.commands.pseudonym_changes import (
    EXPIRES_IN,
    PROJECT,
    also,
    changed,
    counted,
    expires_at,
    need_project,
    opened,
)
from karnak_core.pseudonyms import csv_file, store
from karnak_core.pseudonyms.entries import TEXTS, PseudonymError


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@PROJECT
@click.option("--separator", default=",", show_default=True, help="One character; \\t for a tabulator.")
@click.option("--encoding", default="utf-8-sig", show_default="utf-8", help="Of the file, e.g. cp1252.")
@click.option("--from-line", type=click.IntRange(1), help="First line of data.  [default: after the names of columns]")
@click.option("--pseudonym-column", "pseudonym", help="Number, counted from 1, or name.")
@click.option("--patient-id-column", "patient_id", help="Number or name.")
@click.option("--issuer-column", "issuer", help="Number or name.")
@click.option("--first-name-column", "first_name", help="Number or name.")
@click.option("--last-name-column", "last_name", help="Number or name.")
@EXPIRES_IN
@click.option("--skip-stored", is_flag=True, help="Leave out what is stored already, exactly so.")
@click.option("--dry-run", is_flag=True, help="Look, and store nothing.")
@data_options
@told
def import_(
    place: Place,
    file: Path,
    project: str,
    separator: str,
    encoding: str,
    from_line: int | None,
    expires_in: float | None,
    skip_stored: bool,
    dry_run: bool,
    **columns: str | None,
) -> None:
    """Store the pseudonyms of a CSV FILE (-: standard input), all of them or none.

    Columns are found by their names in the line before the data: pseudonym, patient_id, issuer, first_name, last_name
    and the like. Where no line names them, they are: pseudonym, Patient ID, first name, last name, issuer.
    """
    layout = csv_file.Layout(
        separator="\t" if separator == "\\t" else separator,
        encoding=encoding,
        from_line=from_line,
        columns={name: column for name, column in columns.items() if column is not None},
        expires_at=expires_at(expires_in),
    )
    try:
        sheet = csv_file.read(_content(file), layout)
    except PseudonymError as error:
        fail(error, WRONG)

    def change(connection: sa.Connection) -> tuple[int, frozenset[str]]:
        if not dry_run:
            return store.import_rows(connection, project, sheet.rows, who(), skip_stored=skip_stored)
        savepoint = connection.begin_nested()
        count, _ = store.import_rows(connection, project, sheet.rows, who(), skip_stored=skip_stored)
        savepoint.rollback()
        return count, frozenset()

    with opened(place) as db:
        need_project(db, place, project)
        count, woken = changed(db, place, change)
    click.echo(", ".join(f"{TEXTS[name]}: column {index + 1}" for name, index in sheet.columns.items()))
    done = "would be stored; nothing was" if dry_run else f"stored in project {project!r}{also(woken)}"
    subject = f"{count} pseudonym{'' if count == 1 else 's'}" if dry_run else counted(count, "pseudonym", "pseudonyms")
    click.echo(f"{subject} {done}")
    if left_out := len(sheet.rows) - count:
        click.echo(f"{counted(left_out, 'other', 'others')} stored already")


def _content(file: Path) -> bytes:
    if file == Path("-"):
        return sys.stdin.buffer.read(csv_file.MAX_BYTES + 1)
    try:
        with file.open("rb") as opened_file:
            return opened_file.read(csv_file.MAX_BYTES + 1)
    except OSError as error:
        fail(f"{file}: {error.strerror}", WRONG)
