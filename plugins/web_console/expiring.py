"""When certificates and tokens expire, looked up from time to time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from karnak_core.config.models import Configuration
from karnak_core.database.secrets import Vault
from karnak_core.deliver.contexts import Contexts
from karnak_core.monitor import expiries
from karnak_core.monitor.expiries import Expiry
from karnak_core.plugins import Plugins

#: ms after which files and authenticators are asked again when they expire
LOOK_AGAIN: Final = 60_000


@dataclass(kw_only=True)
class Expiries:
    """What expires, asked for now and then only: it costs files to be read. For any number of threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asked_at: int = 0
    _of: Configuration | None = None
    _found: Sequence[Expiry] = ()
    _contexts: Contexts | None = None

    def of(
        self, configuration: Configuration, plugins: Plugins, vault: Vault, data_directory: Path, now: int
    ) -> Sequence[Expiry]:
        """Return when certificates and tokens expire, as of a minute ago or later."""
        with self._lock:
            if self._of is not configuration or not 0 <= now - self._asked_at < LOOK_AGAIN:
                self._contexts = self._contexts or Contexts(plugins, vault, data_directory)
                self._contexts.close_all_but(configuration)
                self._found = [
                    *expiries.certificates(configuration),
                    *expiries.tokens(self._contexts.of(configuration, "", "").authenticators),
                ]
                self._of, self._asked_at = configuration, now
            return self._found
