"""The body of a STOW-RS request: instances in, blocks of a multipart/related message out (RFC 2387, RFC 2046).

A body can be iterated as often as it has to be sent, each time from its start; no more than a block of it is in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

from karnak_core.model import Outgoing

#: bytes given to the network at once
BLOCK: Final = 256 * 1024
#: bytes that an instance needs besides its file, at most
OVERHEAD: Final = 128


class SpoolFileError(Exception):
    """A file is not as it was recorded. No OSError: that would be taken for one of the network."""

    def __init__(self, outgoing: Outgoing, reason: str) -> None:
        self.outgoing = outgoing
        self.reason = reason
        super().__init__(reason)


class MultipartBody:
    """Part 10 files as parts of one message, with the length known beforehand."""

    def __init__(self, group: Sequence[Outgoing]) -> None:
        self._group = group
        # random: what is sent cannot contain it, whoever made it (RFC 2046 section 5.1.1)
        self._boundary = f"karnak-{secrets.token_hex(16)}"
        self._end = f"\r\n--{self._boundary}--\r\n".encode()
        self._heads = [self._head(outgoing, first=index == 0) for index, outgoing in enumerate(group)]
        self._length = sum(map(len, self._heads)) + sum(outgoing.size for outgoing in group) + len(self._end)

    @property
    def content_type(self) -> str:
        """What the request's header ``Content-Type`` has to say."""
        return f'multipart/related; type="application/dicom"; boundary={self._boundary}'

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """Yield the message from its start.

        Raises
        ------
        SpoolFileError
            A file is missing or not as long as it was recorded.
        """
        block = bytearray()
        for piece in self._pieces():
            block += piece
            if len(block) >= BLOCK:
                yield bytes(block)
                block.clear()
        if block:
            yield bytes(block)

    def _pieces(self) -> Iterator[bytes]:
        for head, outgoing in zip(self._heads, self._group, strict=True):
            yield head
            yield from _blocks(outgoing)
        yield self._end

    def _head(self, outgoing: Outgoing, *, first: bool) -> bytes:
        before = "" if first else "\r\n"
        return (
            f"{before}--{self._boundary}\r\nContent-Type: application/dicom\r\nContent-Length: {outgoing.size}\r\n\r\n"
        ).encode()


def _blocks(outgoing: Outgoing) -> Iterator[bytes]:
    left = outgoing.size
    try:
        with outgoing.open() as file:
            while left and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                yield block
    except FileNotFoundError as error:
        raise SpoolFileError(outgoing, "the spool file is missing") from error
    except OSError as error:
        raise SpoolFileError(outgoing, f"the spool file cannot be read: {error.strerror}") from error
    if left:
        raise SpoolFileError(outgoing, "the spool file is shorter than it was recorded")
