"""The web console and the REST API: a service, in a process of its own.

Its packages are the extra ``web``: without them the plugin is there, and says what to install where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from karnak_core import hookimpl
from karnak_core.errors import ConfigProblem, PluginError
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext, Service
from karnak_plugins.web_console.config import WebConsole

if TYPE_CHECKING:
    from karnak_core.config.models import Configuration

NAME = "web_console"
#: what of the extra is imported
PACKAGES = ("fastapi", "uvicorn", "jinja2", "pwdlib", "argon2", "python_multipart")


def missing() -> str:
    """Return what is to be said about packages that are not installed; empty: all are."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    return f"needs {', '.join(lacking)}: pip install 'karnak-gateway[web]'" if lacking else ""


def _open(config: WebConsole, context: OpenContext) -> Service:
    if lacking := missing():
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
def karnak_check_config(config: Configuration) -> Sequence[ConfigProblem]:
    """Refuse the section where the packages are missing."""
    if NAME in config.services and (lacking := missing()):
        return [ConfigProblem(place=f"plugins.{NAME}", message=lacking)]
    return []
