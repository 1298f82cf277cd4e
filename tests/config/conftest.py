"""Plugins, a database and a vault for the tests of the configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography.fernet import Fernet

from karnak_core import plugins as plugins_module
from karnak_core.config import yaml_text
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.database import Database
from karnak_core.database.secrets import Vault
from karnak_core.errors import ConfigurationError
from karnak_core.plugins import GROUP, Plugins

Load = Callable[..., Configuration]


@pytest.fixture(scope="session")
def third_party() -> EntryPoint:
    """An entry point as a third party's distribution would have it."""
    name = "kinds_for_tests"
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return EntryPoint(name="third_party", value=name, group=GROUP)


class Installed:
    """A machine with these plugins, and no others, installed."""

    def __init__(self, *entries: EntryPoint) -> None:
        self.entries = entries

    def plugins(self, disabled: Collection[str] = ()) -> Plugins:
        return plugins_module.load(disabled, entries=self.entries)


@pytest.fixture
def installed(third_party: EntryPoint) -> Installed:
    core = EntryPoint(name="core", value="karnak_core.builtin", group=GROUP)
    return Installed(core, third_party)


@pytest.fixture
def nothing_installed() -> Installed:
    return Installed()


@pytest.fixture
def plugins(installed: Installed) -> Plugins:
    return installed.plugins()


@pytest.fixture
def read(plugins: Plugins, tmp_path: Path) -> Load:
    """Read a configuration from the text of a file in ``tmp_path``."""

    def read_it(text: str) -> Configuration:
        return load(yaml_text.parse(dedent(text)), plugins, tmp_path)

    return read_it


@pytest.fixture
def problems_of(read: Load) -> Callable[[str], list[str]]:
    """Read a configuration that is wrong, and return every problem as it is shown."""

    def read_it(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(text)
        return [str(problem) for problem in caught.value.problems]

    return read_it


@pytest.fixture
def vault() -> Vault:
    return Vault([Fernet.generate_key().decode()])


@pytest.fixture
def db(database: Database) -> Database:
    """An empty database of each kind."""
    return database
