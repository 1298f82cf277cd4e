"""The part of a ``checksum_list`` destination, and the lines that it writes."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from karnak_core.errors import Misconfigured, Permanent, Retryable
from karnak_core.model import OpenContext, Outgoing, Sent

from karnak_example.config import ChecksumListDestination


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a list."""

    #: of the whole file, as ``sha256sum`` prints it
    sha256: str
    sop_instance_uid: str
    #: bytes
    size: int

    def __str__(self) -> str:
        return f"{self.sha256}  {self.sop_instance_uid}  {self.size}"

    @classmethod
    def parse(cls, line: str) -> Entry:
        """Read a line; ValueError: it is none."""
        sha256, sop_instance_uid, size = line.split()
        if len(bytes.fromhex(sha256)) != 32:
            raise ValueError("not a SHA-256")
        return cls(sha256=sha256, sop_instance_uid=sop_instance_uid, size=int(size))


class ChecksumList:
    """Appends to one file.

    Karnak makes one of these for each worker thread, by calling the kind's ``open`` with the configuration and the
    context, and calls the methods from that thread only. There are several processes; what two parts share, here the
    file, needs a lock.
    """

    def __init__(self, config: ChecksumListDestination, context: OpenContext) -> None:
        # Cheap and without failing: the file may be on a share that is away just now. ``send`` says so then.
        self._path = context.data_directory / config.file

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        """Return what is known to be taken: every transfer syntax, so the one that the instance has."""
        return (outgoing.transfer_syntax_uid,)

    def send(self, outgoing: Outgoing) -> Sent:
        """Append the instance's line.

        To return means: it is there, even if the power fails now. Karnak removes its own file after that. When the
        power fails in between, Karnak sends the instance again; whatever a part does has to be fit to be done twice.
        Here the list names the instance twice.
        """
        try:
            with open(outgoing.path, "rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            # this instance will never go; it is kept as failed, with the reason, for a person
            raise Permanent("the spool file is missing") from error
        entry = Entry(sha256=sha256, sop_instance_uid=outgoing.sop_instance_uid, size=outgoing.size)
        with self._opened() as descriptor:
            _append(descriptor, f"{entry}\n".encode())
        return Sent()

    def probe(self) -> str:
        """Say whether the file can be written; for ``karnak probe``, and before work is sent after trouble."""
        with self._opened() as descriptor:
            return f"{self._path} can be written; it has {os.fstat(descriptor).st_size} bytes"

    def close(self) -> None:
        """Give back what is open: nothing is, between two instances."""

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file for one at a time, and say what it means when that, or something inside, fails."""
        # Reasons are stored, shown and mailed: no value from the data set, and no UID, belongs in them. Equal causes
        # have equal reasons; people count them.
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield descriptor
            finally:
                os.close(descriptor)
        except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
            # no instance will go until somebody changes something: the destination is held, no instance is blamed
            raise Misconfigured(f"{self._path}: {error.strerror}") from error
        except OSError as error:
            # a full disk, a share that is away: later, by itself
            raise Retryable(f"{self._path}: {error.strerror}") from error


def _append(descriptor: int, line: bytes) -> None:
    """Append a line, wholly or not at all, and bring it to disk."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        # the power failed in the middle of a line
        line = b"\n" + line
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(None, "no space for a whole line")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def read_list(path: Path) -> Iterator[tuple[int, Entry | None]]:
    """Yield each line's number with what it says; None for one that cannot be read."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, Entry.parse(line)
            except ValueError:
                yield number, None
