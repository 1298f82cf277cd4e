"""The configuration that applies until one is applied."""

from __future__ import annotations

from importlib.resources import files

from karnak_core.config import yaml_text
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.errors import ConfigurationError
from karnak_core.plugins import Plugins


def default_text() -> str:
    """Return the file, with its comments, as a start for one's own."""
    return files("karnak_core.config").joinpath("default.yml").read_text(encoding="utf-8")


def default_configuration(plugins: Plugins) -> Configuration:
    """Return the configuration that applies until one is applied.

    Raises
    ------
    ConfigurationError
        The plugin with the folder destination is missing or disabled.
    """
    document = yaml_text.parse(default_text())
    try:
        return load(document, plugins)
    except ConfigurationError as error:
        if not all(problem.place.startswith("plugins.") for problem in error.problems):
            raise
        # a service that is not installed, is disabled, or lacks packages: the gateway does without
        return load({key: value for key, value in document.items() if key != "plugins"}, plugins)
