"""A server that asks to be left alone for a while is left alone."""

from __future__ import annotations

import time

from karnak_core.errors import Retryable


class Pause:
    """Remembers that a server asked to be left alone: who asks it sooner is not liked better."""

    def __init__(self) -> None:
        self._until = 0.0
        self._reason = ""

    def begin(self, error: Retryable) -> None:
        """Start, for as long as the server said; not at all where it did not."""
        self._until = time.monotonic() + (error.retry_after or 0.0)
        self._reason = error.reason

    def error(self) -> Retryable | None:
        """Return what the server would say now; None: it may be asked."""
        left = self._until - time.monotonic()
        return Retryable(self._reason, left) if left > 0 else None
