"""Forget what has had its time: what followed deliveries, pseudonyms that have expired, and bytes nobody needs."""

from __future__ import annotations

import logging
import threading
from typing import Final

from karnak_core.config.afterwards import by_key
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.model import now_ms
from karnak_core.pseudonyms import store as pseudonyms
from karnak_core.spool import expiring, follow_ups, notices, retention, unneeded, watches
from karnak_core.spool.afterwards import AHEAD
from karnak_core.spool.files import SpoolFolder

logger = logging.getLogger(__name__)

SECONDS: Final = 600.0


class Housekeeping:
    """Forgets every now and then; any number of gateways on one ledger may."""

    def __init__(self, database: Database, folder: SpoolFolder, following: Following) -> None:
        self._database = database
        self._folder = folder
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
        """Set right what nobody else would, and forget; once."""
        self._bring_back()
        days = self._following.configuration.storage.retention_days
        counts = retention.forget_afterwards(self._database, days=days)
        counts["instance that nothing needs"] = self._forget_left()
        with self._database.write() as connection:
            counts["expired pseudonym"] = pseudonyms.forget_expired(connection)
        counts["follow-up that is no more"] = self._forget_expiries()
        if any(counts.values()):
            told = ", ".join(f"{count} of {name.replace('_', ' ')}" for name, count in counts.items() if count)
            logger.info("housekeeping: forgotten: %s", told)

    def _forget_expiries(self) -> int:
        """Forget when the tokens of follow-ups expire that are not configured any more; return of how many."""
        if not self._following.is_up_to_date():
            # it may be a new one
            return 0
        parts = {
            (node.ae_title, destination.name, key)
            for node in self._following.configuration.forward_nodes
            for destination in node.destinations
            for key in by_key(destination.follow_ups)
        }
        with self._database.write() as connection:
            return expiring.forget_all_but(connection, parts)

    def _forget_left(self) -> int:
        """Remove what could not be removed with the last that needed it, as others were at it; return how many."""
        count = 0
        while True:
            with self._database.read() as connection:
                some = unneeded.left(connection)
            if not some:
                return count
            with self._database.write() as connection:
                removable = unneeded.forget_left(connection, some)
            self._folder.remove(removable)
            count += len(some)

    def _bring_back(self) -> None:
        """Take up what nobody would: of processes that nobody knows, and what a clock that was put back keeps away."""
        latest = now_ms() + AHEAD
        ahead = 0
        with self._database.write() as connection:
            lost = follow_ups.release_lost(connection)
            ahead += watches.set_back(connection, latest)
            for node in self._following.configuration.forward_nodes:
                for destination in node.destinations:
                    where = node.ae_title, destination.name
                    longest = round(destination.retry_longest * 1000)
                    for key in by_key(destination.follow_ups):
                        ahead += follow_ups.due_now(connection, (*where, key), latest + longest)
                    for key, one in by_key(destination.notifications).items():
                        longest = round(one.retry_longest * 1000)
                        ahead += notices.due_at_last(connection, (*where, key), latest + longest)
        if lost:
            logger.warning("%d follow-ups of processes that are gone are pending again", lost)
        if ahead:
            logger.warning("the clock was put back: %d follow-ups, studies and mails do not wait until then", ahead)
