"""Is there room for another instance?"""

from __future__ import annotations

from karnak_core.spool import room
from karnak_core.spool.files import SpoolFolder


class Space:
    """Watches the free space of the spool's file system."""

    def __init__(self, folder: SpoolFolder, reserve: int) -> None:
        self._folder = folder
        #: bytes that must stay free; below, nothing more is accepted
        self.reserve = reserve

    def enough(self) -> bool:
        """Say whether the free space is above the reserve."""
        return self._folder.free_bytes() >= room.needed(self.reserve)
