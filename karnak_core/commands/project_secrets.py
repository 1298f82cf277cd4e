"""``karnak projects secret``: the secrets that UIDs, Patient IDs and dates of a project follow from.

Only ``show`` prints one; what changes one says what that means, and asks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from karnak_core.commands.common import FAILED, WRONG, Place, data_options, fail, told, who
from karnak_core.commands.people import console, moment, table
from karnak_core.config import store
from karnak_core.config.deidentification import Project
from karnak_core.config.models import Configuration
from karnak_core.config.secret import Origin
from karnak_core.database import Database
from karnak_core.deidentify import secret_from_text, secret_to_text
from karnak_core.errors import NotFound
from karnak_core.projects import rows

MEANING = """\
From now on the same patients and studies get other UIDs, Patient IDs and dates in project {!r}.
What was sent before is not connected to what is sent from now on.
Deliveries that wait or are retried use the new secret, too."""

PROJECT = click.argument("project")
YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def secret() -> None:
    """List, show, generate, set and activate the secrets of a project."""


@secret.command("list")
@PROJECT
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@data_options
@told
def list_secrets(project: str, as_json: bool, place: Place) -> None:
    """List the secrets that PROJECT has and had, by number and date. Never what they are."""
    with _opened(place, project) as found:
        entries = found.secrets()
    if as_json:
        for entry in entries:
            line = {
                "number": entry.number,
                "active": entry.active_since is not None,
                "created_at": entry.created_at,
                "created_by": entry.created_by,
                "active_since": entry.active_since,
                "active_by": entry.active_by,
                "active_until": entry.active_until,
            }
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    if found.project.secret is not None:
        click.echo(f"the secret is given by the {source_of(found.project)}")
    cells = [
        (
            entry.number,
            f"{moment(entry.created_at)} by {entry.created_by}",
            f"since {moment(entry.active_since)} by {entry.active_by}"
            if entry.active_since is not None
            else f"until {moment(entry.active_until)}",
        )
        for entry in entries
    ]
    if cells:
        console().print(table(("number", "made", "active"), cells))
    elif found.project.secret is None:
        click.echo("there is none yet")


@secret.command()
@PROJECT
@YES
@data_options
@told
def show(project: str, yes: bool, place: Place) -> None:
    """Print the secret of PROJECT, for another site or machine that has to compute the same.

    Whoever has it can tell which patient is who.
    """
    with _opened(place, project) as found:
        if not yes:
            click.confirm(
                f"Whoever has the secret of project {project!r} can tell which patient is who. Print it?",
                abort=True,
                err=True,
            )
        vault = place.open_vault()
        if found.project.secret is not None:
            try:
                value = secret_from_text(found.project.secret.reveal(vault))
            except ValueError as error:
                fail(f"project {project!r}: secret: {error}", FAILED)
        else:
            active = [entry for entry in found.secrets() if entry.active_since is not None]
            if not active:
                fail(f"project {project!r} has no secret yet", FAILED)
            value = active[0].reveal(vault)
    click.echo(secret_to_text(value))


@secret.command()
@PROJECT
@YES
@data_options
@told
def generate(project: str, yes: bool, place: Place) -> None:
    """Give PROJECT a new random secret."""
    with _changing(place, project) as found:
        _ask(project, yes)
        number = rows.add(found.db, place.open_vault(), project, None, who())
    click.echo(f"secret {number} of project {project!r} is active")


@secret.command("set")
@PROJECT
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File with the secret; -: standard input.",
)
@YES
@data_options
@told
def set_secret(project: str, from_file: Path | None, yes: bool, place: Place) -> None:
    """Give PROJECT a secret of 32 hex digits that comes from elsewhere.

    It is read from a file, asked for at a terminal, or else read from standard input.
    """
    with _changing(place, project) as found:
        try:
            value = secret_from_text(_given(from_file, yes))
        except ValueError as error:
            fail(f"the secret is not valid: {error}", WRONG)
        vault = place.open_vault()
        there = found.secrets()
        number = rows.number_of(there, vault, value)
        if number:
            active = there[number - 1].active_since is not None
            command = f"karnak projects secret activate {project!r} {number}"
            what = "and it is the active one" if active else f"select it: {command}"
            fail(f"project {project!r} has this secret already, as number {number}; {what}", WRONG)
        _ask(project, yes)
        try:
            number = rows.add(found.db, vault, project, value, who())
        except rows.AlreadyThere as error:
            fail(error, WRONG)
    click.echo(f"secret {number} of project {project!r} is active")


@secret.command()
@PROJECT
@click.argument("number", type=int)
@YES
@data_options
@told
def activate(project: str, number: int, yes: bool, place: Place) -> None:
    """Make secret NUMBER of PROJECT, which it had before, the active one again."""
    with _changing(place, project) as found:
        if rows.numbered(found.secrets(), project, number).active_since is None:
            _ask(project, yes)
        changed = rows.activate(found.db, place.open_vault(), project, number, who())
    click.echo(f"secret {number} of project {project!r} {'is active' if changed else 'was active already'}")


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A project of the configuration that applies."""

    db: Database
    project: Project

    def secrets(self) -> list[rows.StoredSecret]:
        with self.db.read() as connection:
            return rows.listed(connection, self.project.name)


@contextmanager
def _opened(place: Place, name: str) -> Iterator[_Found]:
    """Find a project; raises NotFound."""
    with closing(place.open_existing()) as db:
        there = {project.name: project for project in configuration_of(db, place).projects}
        if name not in there:
            raise NotFound(f"there is no project {name!r}; known: {', '.join(sorted(there)) or 'none'}")
        yield _Found(db=db, project=there[name])


@contextmanager
def _changing(place: Place, name: str) -> Iterator[_Found]:
    """Find a project whose secret can be changed here."""
    with _opened(place, name) as found:
        if found.project.secret is not None:
            fail(
                f"the secret of project {name!r} is given by the {source_of(found.project)}: change it there,"
                " or take the key 'secret' of the project out of the configuration first",
                WRONG,
            )
        yield found


def configuration_of(db: Database, place: Place) -> Configuration:
    return store.current_or_default(db, place.plugins(store.disabled_plugins(db)))[1]


def source_of(project: Project) -> str:
    """Say where the secret is from."""
    if project.secret is None:
        return "database"
    match project.secret.origin:
        case Origin.ENV:
            return f"environment variable {project.secret.where}"
        case Origin.FILE:
            return f"file {project.secret.where}"
    return "configuration"


def _given(from_file: Path | None, yes: bool) -> str:
    if from_file is not None and str(from_file) != "-":
        try:
            return from_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{from_file}: {error.strerror if isinstance(error, OSError) else 'is not UTF-8 text'}", FAILED)
    if from_file is None and sys.stdin.isatty():
        text: str = click.prompt("Secret", hide_input=True, err=True)
        return text.strip()
    if not yes:
        fail("--yes is needed where the secret comes from standard input: nobody can be asked", WRONG)
    return sys.stdin.read().strip()


def _ask(project: str, yes: bool) -> None:
    if not yes:
        click.confirm(f"{MEANING.format(project)}\nContinue?", abort=True, err=True)
