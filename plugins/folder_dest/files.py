"""Files and folders by descriptor: made, copied, compared and brought to disk; and what their errors mean."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import Outgoing
from karnak_core.part10 import read_beginning

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: not blocked by a FIFO that somebody put there
_THERE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK: Final = 1 << 20

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_BUSY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
#: the path cannot be had, however often it is tried
_IN_THE_WAY: Final = frozenset(
    {errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV, errno.ENOTEMPTY, errno.EEXIST}
)
#: the file system cannot copy by itself, or not between these two
_CANNOT_COPY: Final = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EBADF})


@contextmanager
def trouble(root: Path, *, inside: bool = False) -> Iterator[None]:
    """Turn an operating system error into what it means for the delivery.

    The reason names the folder ``root`` only: what is below it comes from data sets. ``inside`` : bool — it is
    something below ``root`` that is used, which another instance may not need.
    """
    try:
        yield
    except OSError as error:
        raise _meaning(error, root, inside) from error


def _meaning(error: OSError, root: Path, inside: bool) -> DeliveryError:
    words = os.strerror(error.errno) if error.errno else type(error).__name__
    reason = f"folder {root}: {words[:1].lower()}{words[1:]}"
    if error.errno in _FORBIDDEN:
        return Misconfigured(reason)
    if error.errno in _FULL | _BUSY or (inside and error.errno == errno.ENOENT):
        # ENOENT: somebody tidied a folder away while it was used
        return Retryable(reason)
    if error.errno == errno.EFBIG:
        return Permanent(f"{reason}: larger than its file system, or a limit of this process, allows")
    if error.errno in _IN_THE_WAY:
        if inside:
            return Permanent(f"{reason}: a link, a file or another file system is in the way inside")
        return Misconfigured(f"{reason}: not a folder")
    # a network share that is away, a disk that fails: no instance gets through
    return Unreachable(reason)


@contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_root(path: Path) -> int:
    """Open a folder; it is made where it is missing, and links are followed."""
    try:
        return os.open(path, _DIRECTORY)
    except FileNotFoundError:
        _make(path)
        return os.open(path, _DIRECTORY)


def _make(path: Path) -> None:
    if not path.parent.is_dir():
        _make(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    with opened(os.open(path.parent, _DIRECTORY)) as parent:
        sync_folder(parent)


def sync_folder(folder: int) -> None:
    """Bring the names in a folder to disk; network shares that cannot be asked for it are left alone."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
            raise


def open_folder(parent: int, name: str, *, settled: bool) -> int:
    """Open a folder in a folder; made where it is missing. A link is refused.

    ``settled`` : bool — it is known to be on disk; else that is seen to, whoever made it.
    """
    flags = _DIRECTORY | os.O_NOFOLLOW
    try:
        folder = os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        folder = os.open(name, flags, dir_fd=parent)
        settled = False
    if not settled:
        try:
            sync_folder(parent)
        except OSError:
            os.close(folder)
            raise
    return folder


def create(folder: int, name: str) -> int:
    """Make a new file and open it for writing."""
    return os.open(name, _NEW, 0o666, dir_fd=folder)


def copy(source: int, target: int, size: int) -> None:
    """Copy a file of ``size`` bytes into an empty one; without its bytes passing through here where that is possible.

    Raises
    ------
    Permanent
        The file is shorter.
    """
    done = 0
    try:
        while done < size and (count := os.copy_file_range(source, target, size - done, done, done)):
            done += count
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    while done < size:
        block = os.pread(source, min(_BLOCK, size - done), done)
        if not block:
            raise Permanent("the spool file is shorter than recorded")
        done += os.pwrite(target, block, done)


def sync_if_same(folder: int, name: str, source: int, outgoing: Outgoing) -> bool | None:
    """Compare a file with the one that is to be written; one with the same data set is brought to disk.

    The file meta information may differ: it names who sent it. None: there is no such file.
    """
    try:
        descriptor = os.open(name, _THERE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        # a link, or not readable: it cannot be the same, and may be replaced
        return False
    with opened(descriptor):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not _same(descriptor, source, outgoing):
            return False
        os.fsync(descriptor)
    sync_folder(folder)
    return True


def _same(there: int, source: int, outgoing: Outgoing) -> bool:
    try:
        with os.fdopen(there, "rb", closefd=False) as file:
            beginning = read_beginning(file)
    except (ValueError, struct.error):
        return False
    offset, remaining = beginning.dataset_offset, outgoing.size - outgoing.dataset_offset
    if beginning.transfer_syntax_uid != outgoing.transfer_syntax_uid or os.fstat(there).st_size - offset != remaining:
        return False
    while remaining > 0:
        count = min(_BLOCK, remaining)
        block = os.pread(there, count, offset)
        if not block or block != os.pread(source, count, outgoing.size - remaining):
            return False
        offset += len(block)
        remaining -= len(block)
    return True
