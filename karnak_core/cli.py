"""``karnak``: the command line. One command for each verb; plugins add theirs."""

from __future__ import annotations

import click

from karnak_core import __version__
from karnak_core.commands import config as config_commands
from karnak_core.commands.common import fail
from karnak_core.commands.deliveries import deliveries
from karnak_core.commands.demo import demo
from karnak_core.commands.plugins import plugins
from karnak_core.commands.probe import probe
from karnak_core.commands.process import process
from karnak_core.commands.serve import serve
from karnak_core.commands.status import status
from karnak_core.errors import PluginError
from karnak_core.plugins import load


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
    probe,
    demo,
    process,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    try:
        load().hook.karnak_register_commands(cli=cli)
    except PluginError as error:
        fail(error, 2)
    except Exception as error:
        fail(f"a plugin failed in karnak_register_commands: {type(error).__name__}: {error}", 2)
    cli(prog_name="karnak")
