"""``karnak serve``: run the gateway."""

from __future__ import annotations

import signal
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from karnak_core import logs
from karnak_core.child import Setting
from karnak_core.commands.common import Place, data_options, fail, who
from karnak_core.config import store
from karnak_core.config.load import read_file
from karnak_core.database import Database
from karnak_core.errors import ConfigurationError, KarnakError, PluginError
from karnak_core.gateway import Gateway, hold


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Apply this file first; without it, what was applied last is in force.",
)
@click.option("--verbose", is_flag=True, help="Log every instance.")
@data_options
def serve(place: Place, file: Path | None, verbose: bool) -> None:
    """Run the gateway until SIGTERM or Ctrl-C, which drain it."""
    logs.configure(verbose=verbose, role="serve")
    setting = Setting(data_directory=place.data_directory, database_url=place.database_url, verbose=verbose)
    try:
        place.prepare()
        # first of all: a gateway that runs here already is not to be changed
        lock = hold(place.data_directory)
        database = place.open_database()
        if file is not None:
            _apply(database, place, file)
        following = store.Following.start(database, place)
        gateway = Gateway(setting, lock, database, following, following.plugins)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: gateway.stop())
        gateway.run(click.echo)
    except (ConfigurationError, PluginError) as error:
        fail(error, 2)
    except KarnakError as error:
        fail(error, 1)
    except SQLAlchemyError as error:
        fail(f"the ledger cannot be used: {getattr(error, 'orig', None) or type(error).__name__}", 1)
    except OSError as error:
        fail(f"{error.filename or place.data_directory}: {error.strerror}", 1)


def _apply(database: Database, place: Place, file: Path) -> None:
    configuration, _ = read_file(file, place.plugins)
    store.apply(database, place, place.open_vault(), configuration, author=who(), comment=f"serve --config {file.name}")
