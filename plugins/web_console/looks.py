"""Which looks at original identities have been written down not long ago: a page that follows is one look."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: ms that a look lasts
LASTS: Final = 600_000


class Looks:
    """Remembers looks. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, str], int] = {}

    @contextmanager
    def once(self, who: str, where: str, now: int) -> Iterator[bool]:
        """Say whether this look is to be written down: it is the first, or the last is over (``now``: ms).

        It is remembered when what is done inside has ended well: written down, that is. Of two at once both are.
        """
        look = (who, where)
        with self._lock:
            self._noted = {one: at for one, at in self._noted.items() if 0 <= now - at < LASTS}
            new = look not in self._noted
        yield new
        if new:
            with self._lock:
                self._noted[look] = now
