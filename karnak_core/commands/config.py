"""``karnak check``, ``plan``, ``apply``, ``export``, ``history`` and ``rollback``: the configuration."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from karnak_core.commands.asking import ask_all
from karnak_core.commands.common import FAILED, Place, data_options, told, who
from karnak_core.config import store
from karnak_core.config.export import to_yaml
from karnak_core.config.load import read_file
from karnak_core.config.plan import changes
from karnak_core.config.seal import sealed
from karnak_core.database import Database
from karnak_core.deliver.contexts import Contexts
from karnak_core.spool import wakeups

FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
COMMENT = click.option("--comment", default="", help="Why, for the history.")


@click.command()
@FILE
@click.option("--online", is_flag=True, help="Ask destinations, and what follows them, whether they would work.")
@data_options
@told
def check(file: Path, online: bool, place: Place) -> None:
    """Say what is wrong in FILE. Uses neither the network, without --online, nor the database."""
    configuration, plugins = read_file(file, place.plugins)
    click.echo(f"{file}: nothing is wrong")
    if not online:
        return
    contexts = Contexts(plugins, place.open_vault(), place.data_directory)
    good = True
    for answer in ask_all(configuration, plugins, contexts):
        click.echo(f"{answer.place}: {answer.words}", err=not answer.good)
        good = good and answer.good
    contexts.close_all_but(None)
    if not good:
        raise SystemExit(FAILED)


@click.command()
@FILE
@data_options
@told
def plan(file: Path, place: Place) -> None:
    """Show what applying FILE would change."""
    configuration, _ = read_file(file, place.plugins)
    with _opened(place) as db:
        before = store.before(db, place)
        if before is None:
            click.echo("~ everything: what applies now does not fit the plugins and would be replaced")
            return
        configuration = sealed(configuration, place.open_vault(), before)
        with db.read() as connection:
            lines = changes(before, configuration, functools.partial(store.open_deliveries, connection))
    click.echo("\n".join(lines) if lines else "nothing would change")


@click.command()
@FILE
@COMMENT
@data_options
@told
def apply(file: Path, comment: str, place: Place) -> None:
    """Make FILE the configuration that applies. A running gateway follows within two seconds."""
    configuration, _ = read_file(file, place.plugins)
    with _opened(place) as db:
        done = store.apply(
            db, place, place.open_vault(), configuration, author=who(), comment=comment or str(file.name)
        )
        _wake(db, place, done)
    _tell(done)


@click.command()
@data_options
@told
def export(place: Place) -> None:
    """Print the configuration that applies, as a file for ``apply``. Secrets stay encrypted or references."""
    with _opened(place) as db:
        plugins = place.plugins(store.disabled_plugins(db))
        _, configuration = store.current_or_default(db, plugins)
    click.echo(to_yaml(configuration), nl=False)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One object a line, the newest first.")
@data_options
@told
def history(as_json: bool, place: Place) -> None:
    """List the versions of the configuration, the newest first."""
    with _opened(place) as db:
        versions = store.history(db)
    for version in versions:
        if as_json:
            entry = asdict(version)
            click.echo(json.dumps({"version": entry.pop("number"), **entry}, ensure_ascii=False))
        else:
            click.echo("\n".join(_lines(version)))
    if not versions and not as_json:
        click.echo("nothing was ever applied")


@click.command()
@click.argument("number", type=int)
@COMMENT
@data_options
@told
def rollback(number: int, comment: str, place: Place) -> None:
    """Make version NUMBER apply again, as a new version."""
    with _opened(place) as db:
        done = store.rollback(db, place, place.open_vault(), number, author=who(), comment=comment)
        _wake(db, place, done)
    _tell(done)


@contextmanager
def _opened(place: Place) -> Iterator[Database]:
    with closing(place.open_database()) as db:
        yield db


def _wake(db: Database, place: Place, done: store.Applied) -> None:
    """Let a gateway that runs look at once; by itself it looks every second."""
    if done.new:
        with closing(wakeups.open_wakeups(db, place.data_directory)) as wake:
            wake.publish({wakeups.CONFIGURATION})


def _tell(done: store.Applied) -> None:
    if not done.new:
        click.echo(f"version {done.version}: nothing changed")
        return
    click.echo(f"version {done.version}: {len(done.changes)} change{'' if len(done.changes) == 1 else 's'}")
    for line in done.changes:
        click.echo(line)


def _lines(version: store.Version) -> Iterable[str]:
    when = datetime.fromtimestamp(version.created_at / 1000, UTC)
    comment = f", {version.comment}" if version.comment else ""
    yield f"version {version.number}: {when:%Y-%m-%d %H:%M:%S} UTC, {version.author}{comment}"
    yield from (f"  {line}" for line in version.changes)
