"""Since when a mail waits for recipients that the mail server cannot take now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from karnak_core.model import now_ms

#: ms for which a mail waits for a recipient; then the others get it
WAIT_FOR_ALL: Final = 3_600_000
#: the key under which a mail that is tried again has it
WAITS: Final = "waits"


class Waits:
    """When the server refused each recipient of a mail first; handed from one attempt to the next.

    Parameters
    ----------
    remembered
        What :meth:`remember` gave to the attempt before, maybe of a mail that this one has replaced.
    clock
        ms since 1970.
    """

    def __init__(self, remembered: Mapping[str, Any], clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._since: dict[str, int] = dict(remembered.get(WAITS, {}))

    def wait(self, recipient: str) -> bool:
        """Say whether the mail still waits for a recipient who was refused for now."""
        now = self._clock()
        # the clock may have been put back
        since = self._since[recipient] = min(self._since.get(recipient, now), now)
        return now - since < WAIT_FOR_ALL

    def remember(self) -> dict[str, Any]:
        """Return what the next attempt has to know."""
        return {WAITS: self._since}
