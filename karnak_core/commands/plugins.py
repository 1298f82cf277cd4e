"""``karnak plugins``: what is installed, and what it offers."""

from __future__ import annotations

import dataclasses
import json

import click

from karnak_core.commands.common import Place, data_options, fail
from karnak_core.commands.people import console, table
from karnak_core.config import store
from karnak_core.errors import PluginError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON list, for programs.")
@data_options
def plugins(place: Place, as_json: bool) -> None:
    """List the installed plugins with their distribution, version, hooks and types."""
    try:
        # nothing is made only to be looked at
        known = (place.data_directory / "karnak.db").exists() or place.database_url is not None
        disabled = store.disabled_plugins(place.open_database()) if known else ()
        infos = place.plugins(disabled).infos()
    except PluginError as error:
        fail(error, 2)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in infos]))
        return
    console().print(
        table(
            ("plugin", "distribution", "version", "types", "hooks"),
            (
                (
                    info.name + (" (disabled)" if info.disabled else ""),
                    info.distribution,
                    info.version,
                    ", ".join(info.kinds),
                    ", ".join(info.hooks),
                )
                for info in infos
            ),
        )
    )
