"""A file that is nowhere as a whole: pieces in memory, and parts of another file that are read when they are sent."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from karnak_core.errors import Permanent, Retryable
from karnak_core.rewrite.made import MadeFile

#: bytes that the kernel copies at a time
COPIED: Final = 16 << 20
#: where nothing is
NOWHERE: Final = Path("/dev/null/gone")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of the other file."""

    start: int
    length: int


class Pieces:
    """What goes out instead of a spool file, until it is closed.

    Parameters
    ----------
    pieces
        Bytes, and where the rest of them lies in ``file``.
    file
        A descriptor, ours from now on; None: all is in memory. Its name is not needed any more.
    workspace
        A folder for the file that :attr:`path` may have to make.
    """

    def __init__(self, pieces: Sequence[bytes | memoryview | Stretch], file: int | None, workspace: Path) -> None:
        self._pieces = pieces
        self._file = file
        self._workspace = workspace
        self._made: MadeFile | None = None
        self.size: Final = sum([piece.length if isinstance(piece, Stretch) else len(piece) for piece in pieces])

    @property
    def path(self) -> Path:
        """The path of a file with all of it, which is written at the first time; valid until closed.

        Raises
        ------
        Permanent
            The other file is shorter than it was.
        Retryable
            There is no room for it now.
        """
        if self._made is None:
            if not self._pieces:
                return NOWHERE
            self._made = self._written()
        return self._made.path

    def open(self) -> BinaryIO:
        """Return a file to read, from the first byte on; no file is written for that."""
        return cast(BinaryIO, _Reader(self._pieces, self._file, self.size))

    def close(self) -> None:
        """Give it up; may be called twice. Nothing may read it any more."""
        self._pieces = ()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._made is not None:
            self._made.close()

    def __del__(self) -> None:
        self.close()

    def _written(self) -> MadeFile:
        made = MadeFile(self.size, self._workspace)
        try:
            for piece in self._pieces:
                if isinstance(piece, Stretch):
                    assert self._file is not None
                    _copy(self._file, piece, made.file)
                else:
                    made.file.write(piece)
            made.file.flush()
        except OSError as error:
            made.close()
            raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
        except BaseException:
            made.close()
            raise
        return made


def _copy(source: int, stretch: Stretch, target: IO[bytes]) -> None:
    """Let the kernel copy bytes to the end of the target."""
    target.flush()
    start, end = stretch.start, stretch.start + stretch.length
    while start < end:
        copied = os.sendfile(target.fileno(), source, start, min(COPIED, end - start))
        if not copied:
            raise Permanent("the spool file is shorter than what was received")
        start += copied
    target.seek(0, os.SEEK_END)


class _Reader(io.RawIOBase):
    """Reads pieces as one file. Where the other file is too short it ends, and goes on nowhere."""

    def __init__(self, pieces: Sequence[bytes | memoryview | Stretch], file: int | None, size: int) -> None:
        self._pieces = pieces
        self._descriptor = file
        self._size = size
        #: the next piece, and where in it
        self._index = 0
        self._within = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        if position < 0:
            raise ValueError(f"negative position {position}")
        self._index, self._within = 0, position
        self._skip()
        return position

    def tell(self) -> int:
        return sum(map(_length, self._pieces[: self._index])) + self._within

    def read(self, size: int = -1, /) -> bytes | None:
        if size <= 0 or self._index >= len(self._pieces):
            return super().read(size)
        # as much as the piece has of it, without a copy
        piece, within = self._pieces[self._index], self._within
        size = min(size, _length(piece) - within)
        if isinstance(piece, Stretch):
            assert self._descriptor is not None
            block = os.pread(self._descriptor, size, piece.start + within)
        else:
            block = bytes(piece[within : within + size])
        self._within += len(block)
        self._skip()
        return block

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as given, given.cast("B") as view:
            done, wanted = 0, len(view)
            while done < wanted and self._index < len(self._pieces):
                piece, within = self._pieces[self._index], self._within
                taken = min(_length(piece) - within, wanted - done)
                if isinstance(piece, Stretch):
                    assert self._descriptor is not None
                    with view[done : done + taken] as target:
                        taken = os.preadv(self._descriptor, [target], piece.start + within)
                    if not taken:
                        break
                else:
                    view[done : done + taken] = piece[within : within + taken]
                done += taken
                self._within += taken
                self._skip()
            return done

    def _skip(self) -> None:
        """Go on to the piece in which the position is."""
        pieces = self._pieces
        while self._index < len(pieces) and self._within >= (length := _length(pieces[self._index])):
            self._within -= length
            self._index += 1


def _length(piece: bytes | memoryview | Stretch) -> int:
    return piece.length if isinstance(piece, Stretch) else len(piece)
