"""What parts are told when they are opened in one process: secrets open with one key, authenticators are shared."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from karnak_core.config.models import Authenticator as Configured
from karnak_core.config.models import Configuration
from karnak_core.config.secret import Secret
from karnak_core.database.secrets import Vault
from karnak_core.kinds import Kind
from karnak_core.model import Authenticator, OpenContext
from karnak_core.plugins import Plugins

logger = logging.getLogger(__name__)


class Contexts:
    """Makes the contexts of this process. For any number of threads."""

    def __init__(self, plugins: Plugins, vault: Vault, data_directory: Path) -> None:
        self._plugins = plugins
        self._vault = vault
        self._data_directory = data_directory
        self._lock = threading.Lock()
        #: each with what it was opened with: workers that end may still use one that has been replaced
        self._open: list[tuple[str, Configured, Authenticator]] = []

    def reveal(self, secret: Secret) -> str:
        """Return the text of a secret; raises Misconfigured."""
        return secret.reveal(self._vault)

    def of(
        self, configuration: Configuration, forward_node: str, destination: str, kind: Kind[Any, Any] | None = None
    ) -> OpenContext:
        """Return what a destination's part, or one of another kind beside it, is told when it is opened."""
        return OpenContext(
            section=section_of(configuration, kind),
            forward_node=forward_node,
            destination=destination,
            data_directory=self._data_directory,
            application_entities={
                entity.ae_title: (entity.hostname, entity.port) for entity in configuration.application_entities
            },
            reveal=self.reveal,
            authenticators=_Authenticators(self, configuration.authenticators),
        )

    def authenticator(self, name: str, configured: Configured) -> Authenticator:
        """Return the authenticator of this configuration; opens it when nobody has."""
        with self._lock:
            for known, was, part in self._open:
                if known == name and was == configured:
                    return part
            kind = self._plugins.authenticators[configured.type]
            context = OpenContext(data_directory=self._data_directory, reveal=self.reveal)
            opened = kind.open(configured.options, context)
            self._open.append((name, configured, opened))
            return opened

    def close_all_but(self, configuration: Configuration | None) -> None:
        """Close the authenticators that are not in ``configuration``; None: all."""
        wanted = configuration.authenticators if configuration else {}
        with self._lock:
            unused = [entry for entry in self._open if wanted.get(entry[0]) != entry[1]]
            self._open = [entry for entry in self._open if wanted.get(entry[0]) == entry[1]]
        for name, _, part in unused:
            try:
                part.close()
            except Exception:
                logger.exception("authenticator %s failed to close", name)


def section_of(configuration: Configuration, kind: Kind[Any, Any] | None) -> BaseModel | None:
    """Return the keys that all parts of a kind share; with their defaults where the configuration has none."""
    if kind is None or kind.section is None:
        return None
    return configuration.services.get(kind.section.name) or kind.section.config()


class _Authenticators(Mapping[str, Authenticator]):
    """The authenticators of one version of the configuration."""

    def __init__(self, contexts: Contexts, configured: Mapping[str, Configured]) -> None:
        self._contexts = contexts
        self._configured = configured

    def __getitem__(self, name: str) -> Authenticator:
        return self._contexts.authenticator(name, self._configured[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._configured)

    def __len__(self) -> int:
        return len(self._configured)
