"""A small instance as a file that is on no disk, for parts that are given a path."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

#: instances up to this size, in bytes, are kept in the ledger as a whole
SMALL_BYTES: Final = 64 << 10


class MemoryFile:
    """Bytes under a path, valid in this process and its children until closed."""

    def __init__(self, data: bytes) -> None:
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("instance")
            self.path = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")
            os.write(self._descriptor, data)
        else:
            self._descriptor, name = tempfile.mkstemp(prefix="instance-")
            self.path = Path(name)
            os.write(self._descriptor, data)

    def close(self) -> None:
        """Give up the bytes; may be called twice."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if not self.path.is_relative_to("/proc"):
            self.path.unlink(missing_ok=True)

    def __del__(self) -> None:
        self.close()
