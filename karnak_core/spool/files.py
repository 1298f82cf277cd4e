"""Instance files: one Part 10 file for each instance, named by the process that wrote it.

A file is written under its final name and exists for the gateway only once the ledger names it; what no row names is
left over from a crash, and is removed as soon as the process that wrote it is gone (it holds a lock while it lives).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

#: files in one folder before the next is begun; a folder is removed when it is empty
FILES_PER_FOLDER = 2000
#: the folders that writers make; the spool may hold others, a file system's ``lost+found`` for one
FOLDER_NAME = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")


class SpoolFolder:
    """The folder that holds the files; any number of processes use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, relative: str) -> Path:
        """Return where a file named in the ledger is."""
        return self.directory / relative

    def free_bytes(self) -> int:
        """Return how many bytes of the file system an unprivileged process may still write."""
        stat = os.statvfs(self.directory)
        return stat.f_bavail * stat.f_frsize

    def remove(self, relatives: Iterable[str]) -> None:
        """Remove files; one that is gone already is fine."""
        for relative in relatives:
            try:
                os.unlink(self.directory / relative)
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("spool file cannot be removed: %s", error.strerror)

    def files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield every instance file as its relative path and its directory entry."""
        for folder in self._folders():
            # another node may have removed it since
            with contextlib.suppress(FileNotFoundError), os.scandir(folder.path) as entries:
                for entry in entries:
                    yield f"{folder.name}/{entry.name}", entry

    def sweep(self, named: Collection[str], dead: Collection[str]) -> int:
        """Remove what dead writers left and the ledger does not name; return how many files.

        Parameters
        ----------
        named
            Relative paths that the ledger names, read *after* ``dead`` was found.
        dead
            What :meth:`dead_writers` returned.
        """
        orphans = [
            relative
            for relative, entry in self.files()
            if relative not in named and entry.name.partition("-")[0] in dead
        ]
        self.remove(orphans)
        self._remove_empty_folders(dead)
        for writer in dead:
            if not any(name.startswith(f"{writer}-") for name in os.listdir(self.directory)):
                (self.directory / f"{writer}.alive").unlink(missing_ok=True)
        return len(orphans)

    def _remove_empty_folders(self, dead: Collection[str]) -> None:
        """Remove folders that hold nothing; a living writer's newest is in use."""
        numbered = [(*folder.name.split("-", 1), folder.path) for folder in self._folders()]
        newest = {writer: max(int(n, 16) for w, n, _ in numbered if w == writer) for writer, _, _ in numbered}
        for writer, number, path in numbered:
            if writer in dead or int(number, 16) < newest[writer]:
                try:
                    os.rmdir(path)
                except OSError:  # it still holds files
                    continue

    def _folders(self) -> list[os.DirEntry[str]]:
        with os.scandir(self.directory) as entries:
            return [entry for entry in entries if FOLDER_NAME.fullmatch(entry.name) and entry.is_dir()]

    def dead_writers(self) -> set[str]:
        """Return the names of writers whose process is gone."""
        # a writer has its lock file before its first folder: one without it is older than what the disk remembers
        writers = {folder.name.partition("-")[0] for folder in self._folders()}
        dead = {writer for writer in writers if not (self.directory / f"{writer}.alive").exists()}
        for lock in self.directory.glob("*.alive"):
            try:
                with open(lock, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, FileNotFoundError):
                # it lives, or another node has swept it meanwhile
                continue
            dead.add(lock.stem)
        return dead


class SpoolWriter:
    """Makes new files for one process; used by any number of threads."""

    def __init__(self, folder: SpoolFolder) -> None:
        self.folder = folder
        self.name = secrets.token_hex(6)
        # locked before it gets the name by which others look for it: an unlocked one is a dead writer's
        unlocked = folder.directory / f"{self.name}.new"
        self._alive = open(unlocked, "wb")  # noqa: SIM115 - held while we live
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        os.rename(unlocked, folder.directory / f"{self.name}.alive")
        self._lock = threading.Lock()
        self._count = 0
        self._folder_fd = -1
        self._folder_name = ""

    def create(self) -> tuple[str, int]:
        """Create a new file; return its relative path and a descriptor to write to."""
        with self._lock:
            if self._count % FILES_PER_FOLDER == 0:
                self._next_folder()
            name = f"{self.name}-{self._count:x}.dcm"
            relative = f"{self._folder_name}/{name}"
            self._count += 1
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._folder_fd)
        return relative, descriptor

    def sync_folders(self, relatives: Iterable[str]) -> None:
        """Make the names of these files durable: the folders that hold them are fsynced, each once."""
        for name in {relative.partition("/")[0] for relative in relatives}:
            descriptor = os.open(self.folder.directory / name, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Give up the lock: whatever this writer left unnamed may be swept."""
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1
        self._alive.close()

    def _next_folder(self) -> None:
        name = f"{self.name}-{self._count // FILES_PER_FOLDER:x}"
        path = self.folder.directory / name
        # it exists where the last attempt failed after this line
        path.mkdir(mode=0o700, exist_ok=True)
        parent = os.open(self.folder.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
        self._folder_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._folder_name = name
