"""Knows when the last of so many files is complete in a folder: inotify, as looking again and again costs CPU."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import time
from pathlib import Path
from types import TracebackType

IN_CLOSE_WRITE, IN_MOVED_TO, IN_Q_OVERFLOW = 0x08, 0x80, 0x4000
#: seconds between two reads: short against what is measured, long against what a read costs
READ_SECONDS = 0.004
_EVENT = struct.Struct("iIII")


class FolderWatch:
    """Counts the files that were closed after writing, or moved in, since the watch was opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_CLOSE_WRITE | IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        self._already = {entry.name for entry in os.scandir(folder)}
        self._names: set[str] = set()
        self._last = time.perf_counter()
        self._expected = 0
        self._complete = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def count(self) -> int:
        """How many different files have arrived."""
        return len(self._names)

    def expect(self, count: int) -> None:
        """Say how many files are to come, and start to count."""
        self._expected = count
        self._thread.start()

    def wait(self, seconds: float) -> float | None:
        """Wait for the last file at most ``seconds``; return when it came (perf_counter), None if it has not."""
        return self._last if self._complete.wait(seconds) else None

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._descriptor)

    def _read(self) -> None:
        while not self._complete.is_set() and not self._closing.wait(READ_SECONDS):
            try:
                events = os.read(self._descriptor, 1 << 20)
            except BlockingIOError:
                continue
            before = len(self._names)
            self._note(events)
            if len(self._names) > before:
                self._last = time.perf_counter()
            if len(self._names) >= self._expected:
                self._complete.set()

    def _note(self, events: bytes) -> None:
        position = 0
        while position < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, position)
            position += _EVENT.size
            if mask & IN_Q_OVERFLOW:
                self._names |= {entry.name for entry in os.scandir(self._folder)} - self._already
            else:
                self._names.add(os.fsdecode(events[position : position + length].rstrip(b"\0")))
            position += length
