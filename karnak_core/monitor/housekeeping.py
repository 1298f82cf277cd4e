"""Forget what has had its time: what followed deliveries, and pseudonyms that have expired."""

from __future__ import annotations

import logging
import threading
from typing import Final

from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.pseudonyms import store as pseudonyms
from karnak_core.spool import retention

logger = logging.getLogger(__name__)

SECONDS: Final = 600.0


class Housekeeping:
    """Forgets every now and then; any number of gateways on one ledger may."""

    def __init__(self, database: Database, following: Following) -> None:
        self._database = database
        self._following = following

    def run(self, stop: threading.Event) -> None:
        """Keep house until ``stop`` is set."""
        while not stop.is_set():
            try:
                self.keep()
            except Exception:
                logger.exception("housekeeping failed; it is tried again later")
            stop.wait(SECONDS)

    def keep(self) -> None:
        """Forget once."""
        days = self._following.configuration.storage.retention_days
        counts = retention.forget_afterwards(self._database, days=days)
        with self._database.write() as connection:
            counts["expired pseudonym"] = pseudonyms.forget_expired(connection)
        if any(counts.values()):
            told = ", ".join(f"{count} of {name.replace('_', ' ')}" for name, count in counts.items() if count)
            logger.info("housekeeping: forgotten: %s", told)
