"""Data sets on their way out: from a file or chunks to gather lists of P-DATA-TF PDUs.

Nothing is joined or copied on the way, the last part of each chunk apart, and nothing is whole in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from karnak_core.dimse import pdu
from karnak_core.dimse.connection import MAX_BUFFERS, Buffer

#: what is read from a file and sent in one call, at most
BLOCK_BYTES: Final = 1 << 20
#: to a peer without a limit of its own
UNLIMITED_FRAGMENT: Final = 256 << 10

#: buffers and the bytes in them
Gather = tuple[list[Buffer], int]


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def fragment_length(max_pdu_length: int) -> int:
    """Return how much of a data set goes into one PDU to a peer that announced this maximum."""
    if max_pdu_length == 0:
        return UNLIMITED_FRAGMENT
    # even, as every fragment but the last has to be (PS3.8 Annex E.2)
    return min(max_pdu_length - pdu.PDV_HEADER_BYTES, UNLIMITED_FRAGMENT) & ~1


class BlockReader:
    """Reads files block by block into one buffer, which grows to what is needed of it."""

    def __init__(self) -> None:
        self._buffer = bytearray(64 << 10)

    def gathers(self, file: BinaryIO | _Readable, length: int, context_id: int, fragment: int) -> Iterator[Gather]:
        """Yield the `length` next bytes of a file as PDUs; each list is valid until the next is asked for.

        Raises
        ------
        EOFError
            If the file is shorter.
        """
        block = min(BLOCK_BYTES, fragment * (MAX_BUFFERS // 2 - 1))
        block = max(fragment, block - block % fragment)
        if len(self._buffer) < min(block, length):
            self._buffer = bytearray(min(block, length))
        view = memoryview(self._buffer)
        full = pdu.p_data_header(context_id, 0, fragment)
        while True:
            size = min(block, length)
            _read_exactly(file, view[:size])
            length -= size
            buffers: list[Buffer] = []
            start = 0
            while size - start > fragment or (size > start and length):
                end = start + fragment
                buffers += (full, view[start:end])
                start = end
            total = start + len(full) * (len(buffers) // 2)
            if not length:
                buffers += (pdu.p_data_header(context_id, pdu.LAST, size - start), view[start:size])
                yield buffers, total + len(full) + size - start
                return
            yield buffers, total


def gathers_of_chunks(chunks: Iterable[Buffer], context_id: int, fragment: int) -> Iterator[Gather]:
    """Yield chunks of any size as PDUs; a chunk is not used any more when the next is asked for.

    As only the end of the iteration says which fragment is the last, 1 to `fragment` bytes are held back.
    """
    full = pdu.p_data_header(context_id, 0, fragment)
    held = bytearray()
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        if len(held) + len(view) <= fragment:
            held += view
            continue
        start = fragment - len(held)
        buffers: list[Buffer] = [full, held, view[:start]]
        total = len(full) + fragment
        while len(view) - start > fragment:
            if len(buffers) + 2 > MAX_BUFFERS or total >= BLOCK_BYTES:
                yield buffers, total
                buffers, total = [], 0
            buffers += (full, view[start : start + fragment])
            total += len(full) + fragment
            start += fragment
        yield buffers, total
        held = bytearray(view[start:])
    yield [pdu.p_data_header(context_id, pdu.LAST, len(held)), held], pdu.P_DATA_HEADER.size + len(held)


def open_at(source: BinaryIO | Path | str | os.PathLike[str], offset: int) -> tuple[BinaryIO, bool]:
    """Return a file that stands at `offset`, and whether it is to be closed."""
    if isinstance(source, str | os.PathLike):
        file: BinaryIO = open(source, "rb", buffering=0)  # noqa: SIM115 - closed by the caller
        try:
            file.seek(offset)
        except BaseException:
            file.close()
            raise
        return file, True
    source.seek(offset)
    return source, False


def length_from(file: BinaryIO, offset: int) -> int:
    """Return the number of bytes of a file from `offset` on, and stand there."""
    end = file.seek(0, os.SEEK_END)
    file.seek(offset)
    return end - offset


def _read_exactly(file: BinaryIO | _Readable, view: memoryview) -> None:
    read = file.readinto(view)  # type: ignore[union-attr]
    while read != len(view):
        if not read:
            raise EOFError("the file is shorter than the data set")
        more = file.readinto(view[read:])  # type: ignore[union-attr]
        if not more:
            raise EOFError("the file is shorter than the data set")
        read += more
