"""Since when mails wait for recipients that the mail server cannot take now."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

#: seconds for which a mail waits for a recipient; then the others get it
WAIT_FOR_ALL: Final = 3600.0
#: recipients of mails that are remembered
REMEMBERED: Final = 10_000


class Waits:
    """Remembers when the server refused a recipient of a mail first; for all threads of the process at once.

    After a restart it begins anew: people wait longer, and nobody is left out too early.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._since: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait(self, mail: str, recipient: str) -> bool:
        """Say whether a mail still waits for a recipient who was refused for now."""
        now = self._clock()
        with self._lock:
            since = self._since.setdefault((mail, recipient), now)
            while len(self._since) > REMEMBERED:
                self._since.popitem(last=False)
        return now - since < WAIT_FOR_ALL

    def done(self, mail: str) -> None:
        """Forget a mail."""
        with self._lock:
            for key in [key for key in self._since if key[0] == mail]:
                del self._since[key]
