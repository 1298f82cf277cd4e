"""Which files there are, and under which name one is written that never says whose it is."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from karnak_core.errors import Permanent
from karnak_core.model import Outgoing

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID: Final = 64
#: of new files and folders, before the umask
_FILE_MODE: Final = 0o666
PRIVATE_MODE: Final = 0o600


class AlreadyThere(Permanent):
    """The file to be written exists."""


def files_in(folder: Path, without: Path | None, trouble: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield everything that is no folder, sorted; links are followed, each folder is visited once.

    Parameters
    ----------
    without
        A folder that is left out.
    trouble
        Is told of folders that cannot be read.
    """
    left_out = _identity(without) if without is not None else None
    visited = {_identity(folder)}
    for root, folders, files in os.walk(folder, followlinks=True, onerror=trouble):
        kept = []
        for name in sorted(folders):
            found = _identity(Path(root, name))
            if found is None or found == left_out or found in visited:
                continue
            visited.add(found)
            kept.append(name)
        folders[:] = kept
        yield from (Path(root, name) for name in sorted(files))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def name_of_instance(outgoing: Outgoing) -> Path:
    """Return ``study/series/instance.dcm`` by the UIDs of what is written; raises Permanent where they are none."""
    parts = (outgoing.study_instance_uid, outgoing.series_instance_uid, outgoing.sop_instance_uid)
    if not all(_UID.fullmatch(uid) and len(uid) <= _LONGEST_UID for uid in parts):
        raise Permanent("a UID of the new data set is none, so that no file can be named by it")
    return Path(parts[0], parts[1], f"{parts[2]}.dcm")


@contextmanager
def written(path: Path, *, overwrite: bool, private: bool = False) -> Iterator[IO[bytes]]:
    """Give a file to write to that is called ``path`` when everything is in it, and is gone when that fails.

    Raises
    ------
    AlreadyThere
        The file exists, and is not to be overwritten.
    Permanent
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not overwrite and path.exists():
            raise AlreadyThere(_EXISTS)
        temporary = path.with_name(f".karnak-{secrets.token_hex(8)}")
        mode = PRIVATE_MODE if private else _FILE_MODE
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            if overwrite:
                os.replace(temporary, path)
            else:
                _move(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise Permanent(f"cannot be written: {error.strerror or 'the file system refuses it'}") from error


_EXISTS: Final = "a file of this name exists; --overwrite replaces it"


def _move(temporary: Path, path: Path) -> None:
    """Give a file its name unless another one has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise AlreadyThere(_EXISTS) from None
    except OSError:
        # no hard links here, as on a memory stick: take the name first
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            raise AlreadyThere(_EXISTS) from None
        os.replace(temporary, path)
