"""``karnak``: the command line. One command for each verb; plugins add theirs."""

from __future__ import annotations

import click
from sqlalchemy.exc import SQLAlchemyError

from karnak_core import __version__
from karnak_core.commands import config as config_commands
from karnak_core.commands.auth_header import auth_header
from karnak_core.commands.common import FAILED, WRONG, fail
from karnak_core.commands.deidentify import deidentify
from karnak_core.commands.deliveries import deliveries
from karnak_core.commands.demo import demo
from karnak_core.commands.follow_ups import follow_ups
from karnak_core.commands.notifications import notifications
from karnak_core.commands.plugins import plugins
from karnak_core.commands.probe import probe
from karnak_core.commands.process import process
from karnak_core.commands.profile import profile
from karnak_core.commands.projects import projects
from karnak_core.commands.pseudonyms import pseudonyms
from karnak_core.commands.serve import serve
from karnak_core.commands.status import status
from karnak_core.commands.why import why
from karnak_core.errors import ConfigurationError, KarnakError, PluginError
from karnak_core.plugins import installed, load


@click.group()
@click.version_option(__version__, package_name="karnak-gateway")
def cli() -> None:
    """Karnak, a DICOM gateway that keeps what it acknowledges."""


for command in (
    serve,
    config_commands.check,
    config_commands.plan,
    config_commands.apply,
    config_commands.export,
    config_commands.history,
    config_commands.rollback,
    plugins,
    status,
    deliveries,
    follow_ups,
    notifications,
    why,
    probe,
    deidentify,
    profile,
    projects,
    pseudonyms,
    auth_header,
    demo,
    process,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    for entry in installed():
        try:
            load(entries=[entry]).hook.karnak_register_commands(cli=cli)
        except Exception as error:
            # whether the gateway may go on without it is decided where the configuration is read
            what = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            click.echo(f"the commands of plugin {entry.name!r} are missing: {what}", err=True)
    try:
        cli(prog_name="karnak")
    except (ConfigurationError, PluginError) as error:
        fail(error, WRONG)
    except KarnakError as error:
        fail(error, FAILED)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        fail(_about_the_ledger(error), FAILED)


def _about_the_ledger(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; for PostgreSQL install karnak-gateway[postgres]"
    words = str(getattr(error, "orig", None) or error).strip().splitlines()
    return f"the ledger cannot be used: {words[0] if words else type(error).__name__}"
