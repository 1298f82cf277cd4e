"""``karnak plugins``: what is installed, and what it offers."""

from __future__ import annotations

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import closing

import click

from karnak_core.commands.common import Place, data_options, fail
from karnak_core.config import store
from karnak_core.errors import PluginError
from karnak_core.plugins import PluginInfo

#: characters of a line, at most, where the terminal is wider
WIDEST = 100


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON list, for programs.")
@data_options
def plugins(place: Place, as_json: bool) -> None:
    """List the installed plugins with their distribution, version, what they offer, and hooks."""
    try:
        # nothing is made only to be looked at
        known = (place.data_directory / "karnak.db").exists() or place.database_url is not None
        infos = place.plugins(_disabled(place) if known else ()).infos()
    except PluginError as error:
        fail(error, 2)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in infos]))
        return
    for info in infos:
        click.echo("\n".join(_lines(info)))


def _disabled(place: Place) -> tuple[str, ...]:
    with closing(place.open_database()) as db:
        return store.disabled_plugins(db)


def _lines(info: PluginInfo) -> Iterator[str]:
    disabled = " (disabled)" if info.disabled else ""
    yield f"{click.style(info.name, bold=True)}, {info.distribution} {info.version}{disabled}"
    offers: dict[str, list[str]] = {}
    for kind in info.kinds:
        what, _, name = kind.partition(":")
        offers.setdefault(what, []).append(name)
    if info.hooks:
        offers["hooks"] = list(info.hooks)
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 0)).columns)
    for what, names in offers.items():
        yield textwrap.fill(
            f"{what}: {', '.join(names)}",
            width,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
            break_long_words=False,
            break_on_hyphens=False,
        )
