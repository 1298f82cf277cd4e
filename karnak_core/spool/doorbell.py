"""A bell between threads that is heard by those who listen later, too."""

from __future__ import annotations

import threading


class Doorbell:
    """Rings for those who wait for work; a ring during work is heard after it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    def ring(self) -> None:
        """Wake everyone who waits."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def heard(self) -> int:
        """Return what to pass to the next :meth:`wait`; read it before looking for work."""
        return self._rings

    def wait(self, heard: int, seconds: float) -> bool:
        """Wait until it rings after ``heard``; False: the time passed."""
        with self._condition:
            return self._condition.wait_for(lambda: self._rings != heard, seconds)
