"""The part of a ``folder`` destination: copies spool files to their place, atomically and for good.

A file is written under a temporary name in ``.karnak`` at the top of the folder, brought to disk, and renamed to its
place: who reads the folder never sees a part of a file, and what a crash leaves behind is found without searching.
Below the folder everything is reached by the descriptors of directories, never through a symbolic link: no value of a
data set leads out of it, and no link does.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from karnak_core.errors import Permanent, Retryable
from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_plugins.folder_dest.config import FolderDestination
from karnak_plugins.folder_dest.files import (
    copy,
    create,
    open_folder,
    open_root,
    opened,
    sync_folder,
    sync_if_same,
    trouble,
)
from karnak_plugins.folder_dest.pattern import Pattern
from karnak_plugins.folder_dest.values import values

#: the folder of files that are being written; no pattern gives a name with a dot in front
UNFINISHED: Final = ".karnak"
PREFIX: Final = "writing-"
#: seconds without a change; older ones were left behind by a crash, whoever wrote them
LEFT_BEHIND_AFTER: Final = 3600.0
#: folders remembered to be on disk
_SETTLED: Final = 4096

REPLACED: Final = "replaced a file of the same SOP instance with other content"


class FolderWriter:
    """Writes instances into a folder; used by one thread, beside others in the same folder."""

    def __init__(self, config: FolderDestination, context: OpenContext) -> None:
        self._root = config.root(context.data_directory)
        self._pattern = Pattern.parse(config.pattern)
        self._settled: set[tuple[str, ...]] = set()
        self._remove_left_behind()

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        """Return the instance's own transfer syntax: a folder takes every one."""
        return (outgoing.transfer_syntax_uid,)

    def send(self, outgoing: Outgoing) -> Sent:
        """Write one instance; on return file and name are on disk."""
        *folders, name = self._names(outgoing)
        with (
            _spool_file(outgoing) as source,
            self._open_root() as root,
            trouble(self._root, inside=True),
            opened(self._descend(root, folders)) as folder,
        ):
            same = sync_if_same(folder, name, source, outgoing)
            if same:
                return Sent(duplicate=True)
            with self._unfinished(root) as (unfinished, temporary, target):
                copy(source, target, outgoing.size)
                os.fsync(target)
                os.rename(temporary, name, src_dir_fd=unfinished, dst_dir_fd=folder)
            sync_folder(folder)
        return Sent(warning="" if same is None else REPLACED)

    def probe(self) -> str:
        """Make a file in the folder and remove it again."""
        with self._open_root() as root, trouble(self._root):
            with self._unfinished(root) as (_, _, target):
                os.write(target, bytes(4096))
                os.fsync(target)
            space = os.fstatvfs(root)
        return f"a file can be written in {self._root}; {_in_words(space.f_bavail * space.f_frsize)} free"

    def close(self) -> None:
        """Forget what is known of the folder; nothing stays open between two instances."""
        self._settled.clear()

    def _names(self, outgoing: Outgoing) -> tuple[str, ...]:
        if not self._pattern.tells_apart(outgoing.sop_instance_uid):
            raise Permanent("the SOP Instance UID is no valid UID and cannot be part of a file name")
        return self._pattern.fill_in(values(outgoing, self._pattern.tags))

    @contextmanager
    def _open_root(self) -> Iterator[int]:
        with trouble(self._root):
            root = open_root(self._root)
        with opened(root):
            yield root

    def _descend(self, root: int, folders: Sequence[str]) -> int:
        """Open the folder of a file, folder by folder from the top."""
        folder = os.dup(root)
        for depth, name in enumerate(folders, start=1):
            path = tuple(folders[:depth])
            with opened(folder) as parent:
                folder = open_folder(parent, name, settled=path in self._settled)
            if len(self._settled) >= _SETTLED:
                self._settled.clear()
            self._settled.add(path)
        return folder

    @contextmanager
    def _unfinished(self, root: int) -> Iterator[tuple[int, str, int]]:
        """Make a file to write to: its folder, name and descriptor; removed at the end unless it was renamed."""
        name = f"{PREFIX}{secrets.token_hex(12)}"
        with opened(open_folder(root, UNFINISHED, settled=True)) as folder, opened(create(folder, name)) as target:
            _hold(target)
            try:
                yield folder, name, target
            finally:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def _remove_left_behind(self) -> None:
        """Remove temporary files of writers that were killed; a folder that is away is no reason to fail here."""
        before = time.time() - LEFT_BEHIND_AFTER
        with suppress(OSError), os.scandir(self._root / UNFINISHED) as found:
            for entry in found:
                with suppress(OSError):
                    if not entry.name.startswith(PREFIX) or not entry.is_file(follow_symlinks=False):
                        continue
                    if entry.stat(follow_symlinks=False).st_mtime < before or _is_free(entry.path):
                        os.unlink(entry.path)


def _hold(target: int) -> None:
    """Lock a file as long as it is open: the system lets go of it for a process that was killed."""
    with suppress(OSError):  # a share without locks: who is killed there leaves the file behind for a while
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_free(path: str) -> bool:
    """Tell whether nobody writes to a file: its writer holds a lock; an empty one may not have come to that yet."""
    with opened(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)) as descriptor:
        if not os.fstat(descriptor).st_size:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _spool_file(outgoing: Outgoing) -> Iterator[int]:
    try:
        source = os.open(outgoing.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Permanent("the spool file is missing") from error
    except OSError as error:
        raise Retryable(f"the spool file cannot be opened: {os.strerror(error.errno or 0)}") from error
    with opened(source):
        if os.fstat(source).st_size != outgoing.size:
            raise Permanent("the spool file has not the size that was recorded")
        yield source


def _in_words(size: int) -> str:
    amount, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"
