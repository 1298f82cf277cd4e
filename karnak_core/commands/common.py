"""What every command shares: where the data is, and how a command ends that cannot do what was asked."""

from __future__ import annotations

import functools
import getpass
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from sqlalchemy.exc import SQLAlchemyError

from karnak_core import plugins
from karnak_core.database import Database, open_database
from karnak_core.database.secrets import Vault, open_vault
from karnak_core.errors import ConfigurationError, KarnakError, NotFound, PluginError

#: exit status: it failed
FAILED = 1
#: exit status: what was asked is wrong
WRONG = 2


@dataclass(frozen=True, kw_only=True)
class Place:
    """The data directory and the database that a command works on."""

    data_directory: Path
    #: None: the embedded database in the data directory
    database_url: str | None = None

    def prepare(self) -> None:
        """Make the data directory where it is missing, for its owner only."""
        self.data_directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open_database(self) -> Database:
        """Open the database; the embedded one is made where it is missing."""
        self.prepare()
        return open_database(self.database_url, self.data_directory)

    def open_existing(self) -> Database:
        """Open the database of a gateway that is there; ends with exit status 2 where there is none."""
        if self.database_url is None and not (self.data_directory / "karnak.db").exists():
            fail(f"{self.data_directory}: no gateway has its data here; see --data and KARNAK_DATA", WRONG)
        return self.open_database()

    def open_vault(self) -> Vault:
        """Open the vault that the stored secrets are encrypted with."""
        self.prepare()
        return open_vault(self.data_directory)

    def plugins(self, disabled: Collection[str] = ()) -> plugins.Plugins:
        """Load the installed plugins without the disabled ones."""
        return plugins.load(disabled)


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--data`` and ``--database`` to a command, which gets them as ``place``."""

    @click.option(
        "--data",
        "data_directory",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="KARNAK_DATA",
        default=Path("karnak-data"),
        show_default="./karnak-data",
        help="Data directory [env: KARNAK_DATA].",
    )
    @click.option("--database", "database_url", envvar="KARNAK_DATABASE", help="PostgreSQL URL [env: KARNAK_DATABASE].")
    @functools.wraps(command)
    def with_place(*arguments: Any, data_directory: Path, database_url: str | None, **options: Any) -> Any:
        place = Place(data_directory=data_directory.absolute(), database_url=database_url or None)
        return command(*arguments, place=place, **options)

    return with_place


def fail(message: object, status: int = FAILED) -> NoReturn:
    """Say on stderr what is wrong, a line for each problem, and end with this exit status."""
    click.echo(str(message), err=True)
    raise SystemExit(status)


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """End with the status that fits the error: what was asked is wrong, or it failed."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (ConfigurationError, PluginError, NotFound) as error:
            fail(error, WRONG)
        except KarnakError as error:
            fail(error, FAILED)
        except SQLAlchemyError as error:
            fail(f"the database cannot be used: {getattr(error, 'orig', None) or error}", FAILED)

    return run


def who() -> str:
    """Return who runs the command, for what is recorded about it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container's user may have no name
        return f"uid {os.getuid()}"
