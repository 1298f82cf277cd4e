"""The web console and the REST API: a service, in a process of its own.

Its packages are the extra ``web``: without them the plugin is there, and says what to install where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from karnak_core import hookimpl
from karnak_core.errors import ConfigProblem, PluginError
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext, Service
from karnak_plugins.web_console.command import users
from karnak_plugins.web_console.config import WebConsole
from karnak_plugins.web_console.packages import missing

if TYPE_CHECKING:
    from karnak_core.config.models import Configuration

NAME = "web_console"


def missing_for(config: WebConsole) -> str:
    """Return what is to be said about packages that this section needs and that are not installed; empty: all are."""
    if lacking := missing():
        return lacking
    if config.oidc is not None and find_spec("joserfc") is None:
        return "oidc needs joserfc: pip install 'karnak-gateway[oidc]'"
    return ""


def _open(config: WebConsole, context: OpenContext) -> Service:
    if lacking := missing_for(config):
        raise PluginError(f"plugins.{NAME}: {lacking}")
    # not before: FastAPI alone takes half a second, which no other process of the gateway shall spend
    from karnak_plugins.web_console.service import open_console

    return open_console(config, context)


WEB_CONSOLE = Kind(name=NAME, config=WebConsole, open=_open, summary="the web console and the REST API")


@hookimpl
def karnak_register_services() -> Sequence[Kind[Any, Service]]:
    """Offer the service."""
    return [WEB_CONSOLE]


@hookimpl
def karnak_register_commands(cli: click.Group) -> None:
    """Add ``karnak users``."""
    cli.add_command(users)


@hookimpl
def karnak_check_config(config: Configuration) -> Sequence[ConfigProblem]:
    """Refuse the section where the packages are missing."""
    section = config.services.get(NAME)
    if isinstance(section, WebConsole) and (lacking := missing_for(section)):
        return [ConfigProblem(place=f"plugins.{NAME}", message=lacking)]
    return []
