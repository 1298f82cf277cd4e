"""``karnak projects``: which projects there are, who uses them, and their secrets."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import click

from karnak_core.commands.common import Place, data_options, told
from karnak_core.commands.people import console, moment, table
from karnak_core.commands.project_secrets import configuration_of, secret, source_of
from karnak_core.config.deidentification import Project
from karnak_core.config.models import Configuration
from karnak_core.database import Database
from karnak_core.projects import rows


@click.group()
def projects() -> None:
    """List projects, and what their UIDs, Patient IDs and dates follow from."""


projects.add_command(secret)


@projects.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@data_options
@told
def list_projects(as_json: bool, place: Place) -> None:
    """List the projects: profile, who uses them, and where their secret is from. Never the secret."""
    with closing(place.open_existing()) as db:
        configuration = configuration_of(db, place)
        entries = [_described(db, configuration, project) for project in configuration.projects]
    if as_json:
        for entry in entries:
            click.echo(json.dumps(entry, ensure_ascii=False))
        return
    if not entries:
        click.echo("there are no projects")
        return
    cells = [
        (
            entry["name"],
            entry["profile"],
            ", ".join(f"{use['forward_node']}/{use['destination']}" for use in entry["destinations"]),
            entry["secret_from"] + (f" ({entry['secret_number']})" if entry["secret_number"] else ""),
            moment(entry["active_since"]),
        )
        for entry in entries
    ]
    console().print(table(("project", "profile", "destinations", "secret", "active since"), cells))


def _described(db: Database, configuration: Configuration, project: Project) -> dict[str, Any]:
    uses = [
        {"forward_node": node.ae_title, "destination": destination.name, "for": use}
        for node in configuration.forward_nodes
        for destination in node.destinations
        for use in ("de_identification", "tag_morphing")
        if (part := getattr(destination, use)) is not None and part.project == project.name
    ]
    active = None
    if project.secret is None:
        with db.read() as connection:
            stored = rows.listed(connection, project.name)
        active = next((entry for entry in stored if entry.active_since is not None), None)
    return {
        "name": project.name,
        "profile": project.profile,
        "destinations": uses,
        "secret_from": source_of(project),
        "secret_number": active.number if active else None,
        "active_since": active.active_since if active else None,
    }
