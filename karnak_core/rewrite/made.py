"""A file that exists only until it is sent: in memory when it is small, else in the gateway's workspace."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from karnak_core.errors import Retryable

#: bytes up to which a file is kept in memory
IN_MEMORY: Final = 1 << 20


class MadeFile:
    """A file to write to and then to send from; gone when closed, and when the process ends.

    Parameters
    ----------
    size
        How large it will be, about.
    workspace
        A folder on a disk, for large ones.

    Raises
    ------
    Retryable
        It cannot be made now.
    """

    def __init__(self, size: int, workspace: Path) -> None:
        self.in_memory = size <= IN_MEMORY and hasattr(os, "memfd_create")
        try:
            if self.in_memory:
                self._file = os.fdopen(os.memfd_create("made"), "w+b")
            else:
                workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file = tempfile.TemporaryFile("w+b", dir=workspace)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise Retryable(f"cannot make a temporary file: {error.strerror}") from error
        # by this name any code of this process opens it, though it has none in a folder
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")

    @property
    def file(self) -> tempfile._TemporaryFileWrapper[bytes]:
        """The file, open for reading and writing."""
        return self._file  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """Bytes written so far."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Give it up; may be called twice."""
        self._file.close()
