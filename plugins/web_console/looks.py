"""Which looks at original identities have been written down not long ago: a page that follows is one look."""

from __future__ import annotations

import threading
from typing import Final

#: ms that a look lasts
LASTS: Final = 600_000


class Looks:
    """Remembers looks. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, str], int] = {}

    def begins(self, who: str, where: str, now: int) -> bool:
        """Say whether this look is to be written down: it is the first, or the last is over (``now``: ms)."""
        with self._lock:
            self._noted = {look: at for look, at in self._noted.items() if 0 <= now - at < LASTS}
            if (who, where) in self._noted:
                return False
            self._noted[who, where] = now
            return True
