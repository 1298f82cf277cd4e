"""One follow-up of one destination: its settings, the open part, and how much of it is under way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

from karnak_core.config.afterwards import FollowUp as Configured
from karnak_core.config.models import Destination
from karnak_core.errors import DeliveryError, Misconfigured, Unreachable
from karnak_core.kinds import Kind
from karnak_core.model import FollowUp, OpenContext
from karnak_core.monitor.expiries import said_by
from karnak_core.spool.follow_ups import Part

logger = logging.getLogger(__name__)

#: subjects that one follow-up of a destination does at once; one while it does not work
AT_ONCE: Final = 4


class FollowUpPart:
    """A follow-up of a destination: its settings, the open part, and what is under way."""

    def __init__(
        self,
        key: Part,
        *,
        configured: Configured,
        kind: Kind[Any, FollowUp],
        context: OpenContext,
        destination: Destination,
        used: object,
    ) -> None:
        self.key = key
        self.configured = configured
        #: the destination is paused or disabled: nothing is told to that system
        self.held = destination.paused or not destination.enabled
        #: seconds, see the keys of destinations
        self.first, self.longest, self.give_up_after = (
            destination.retry_first,
            destination.retry_longest,
            destination.retry_for,
        )
        self._kind = kind
        self._context = context
        self._used = used
        self._lock = threading.Lock()
        self._part: FollowUp | None = None
        self._active = 0
        self._retired = False
        self._troubled = False
        #: what the ledger knows from here of when its tokens expire
        self._kept: Mapping[str, int | None] = {}

    def same_as(self, other: FollowUpPart) -> bool:
        """Say whether the other one does the same in the same way."""
        return self._settings() == other._settings()

    def _settings(self) -> object:
        rule = self.first, self.longest, self.give_up_after
        return self.configured, rule, self._used, self._context

    def news(self) -> Mapping[str, int | None]:
        """Return when what it authorizes itself with expires, as the ledger does not know yet; see ``said_by``."""
        # of one that was replaced it is of no interest any more
        said = {} if self._retired or self._part is None else said_by(self._part)
        return {name: at for name, at in said.items() if name not in self._kept or self._kept[name] != at}

    def keeps(self, news: Mapping[str, int | None]) -> None:
        """Note that the ledger knows it."""
        self._kept = {**self._kept, **news}

    def take(self, due: int) -> int:
        """Return how many more threads may be at work, for so much that is due, and count them."""
        with self._lock:
            count = max(0, min(due, (1 if self._troubled else AT_ONCE) - self._active))
            self._active += count
            return count

    def may_go_on(self) -> bool:
        """Say whether a thread may take the next one."""
        with self._lock:
            return not self.held and not self._retired and (self._active == 1 or not self._troubled)

    def leave(self) -> None:
        """Count a thread that ends; the last one closes what was replaced."""
        with self._lock:
            self._active -= 1
        self._close_if_unused()

    @property
    def retired(self) -> bool:
        """Say whether its settings are no longer those of the configuration."""
        return self._retired

    def opened(self) -> FollowUp:
        """Return the open part."""
        with self._lock:
            if self._part is None:
                self._part = self._kind.open(self.configured.options, self._context)
            return self._part

    def note(self, error: DeliveryError | None) -> bool:
        """Note how an attempt ended; say whether it works again."""
        with self._lock:
            was, self._troubled = self._troubled, isinstance(error, Unreachable | Misconfigured)
            trouble = self._troubled
        if trouble and not was and error is not None:
            logger.warning("follow-up %s of %s/%s does not work: %s", self.key[2], *self.key[:2], error.reason)
        elif was and not trouble:
            logger.info("follow-up %s of %s/%s works again", self.key[2], *self.key[:2])
        return was and not trouble

    def retire(self) -> None:
        """Close it, as soon as nothing is under way."""
        with self._lock:
            self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._lock:
            if not self._retired or self._active or self._part is None:
                return
            part, self._part = self._part, None
        try:
            part.close()
        except Exception:
            logger.exception("follow-up %s of %s/%s failed to close", self.key[2], *self.key[:2])
