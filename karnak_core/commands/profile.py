"""``karnak profile``: what is wrong with a de-identification profile, and which ones there are."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click

from karnak_core.commands.common import WRONG, Place, data_options, fail, told
from karnak_core.commands.people import console, table
from karnak_core.commands.project_secrets import configuration_of
from karnak_core.config.profiles import built, problems_of, text_of
from karnak_core.deidentify import basic_profile


@click.group()
def profile() -> None:
    """Check de-identification profiles, and list those in use."""


@profile.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@data_options
@told
def check(file: Path, as_json: bool, place: Place) -> None:
    """Say what is wrong in the profile FILE, each with its line. Uses neither the network nor the database."""
    try:
        text = text_of(str(file))
    except ValueError as error:
        fail(error, WRONG)
    found = built(text, place.plugins().profile_elements)
    problems = problems_of(found)
    if as_json:
        answer = {
            "file": str(file),
            "name": found.name,
            "version": found.version,
            "codenames": found.codenames,
            "problems": [{"line": problem.line, "message": problem.message} for problem in problems],
        }
        click.echo(json.dumps(answer, ensure_ascii=False))
        raise SystemExit(WRONG if problems else 0)
    if problems:
        fail("\n".join(f"{file}, line {problem}" for problem in problems), WRONG)
    count = len(found.codenames)
    click.echo(f"{file}: nothing is wrong; profile {found.name!r} has {count} element{'' if count == 1 else 's'}")
    if found.default_issuer:
        click.echo(
            f"{file}: defaultIssuerOfPatientID has no effect; set default_issuer_of_patient_id of the destination",
            err=True,
        )


@profile.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@data_options
@told
def list_profiles(as_json: bool, place: Place) -> None:
    """List the profiles of the configuration that applies, the built-in one too, and the projects that use them."""
    with closing(place.open_existing()) as db:
        configuration = configuration_of(db, place)
    profiles = [basic_profile(), *(entry.profile for entry in configuration.profiles)]
    lines = [
        {
            "name": found.name,
            "version": found.version,
            "codenames": found.codenames,
            "projects": [project.name for project in configuration.projects if project.profile == found.name],
        }
        for found in profiles
    ]
    if as_json:
        for line in lines:
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    cells = [(line["name"], line["version"], len(line["codenames"]), ", ".join(line["projects"])) for line in lines]
    console().print(table(("profile", "version", "elements", "projects"), cells))
