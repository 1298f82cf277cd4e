from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karnak_core.dimse import pdu
from karnak_core.dimse.connection import MAX_BUFFERS
from karnak_core.dimse.outgoing import BlockReader, fragment_length, gathers_of_chunks


def parse(gathers, fragment):
    """Check the PDUs of gather lists and return the data set in them."""
    stream = b""
    for buffers, total in gathers:
        assert len(buffers) < MAX_BUFFERS
        joined = b"".join(bytes(buffer) for buffer in buffers)
        assert len(joined) == total
        stream += joined
    data, last = b"", False
    while stream:
        kind, length, pdv_length, context_id, control = pdu.P_DATA_HEADER.unpack_from(stream)
        assert (kind, length, context_id, last) == (pdu.P_DATA_TF, pdv_length + 4, 7, False)
        part = stream[12 : 6 + length]
        last = control == pdu.LAST
        assert len(part) == fragment or (last and len(part) <= fragment)
        data += part
        stream = stream[6 + length :]
    assert last
    return data


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 64).map(lambda n: 2 * n))
def test_chunks_of_any_size_become_full_fragments(chunks, fragment):
    assert parse(gathers_of_chunks(chunks, 7, fragment), fragment) == b"".join(chunks)


@given(st.binary(max_size=5000), st.integers(1, 3000).map(lambda n: 2 * n))
def test_a_file_becomes_full_fragments(data, fragment):
    assert parse(BlockReader().gathers(io.BytesIO(data), len(data), 7, fragment), fragment) == data


class Dribble(io.RawIOBase):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readinto(self, buffer):
        part = self._file.read(min(len(buffer), 7))
        buffer[: len(part)] = part
        return len(part)


def test_short_reads_are_completed():
    data = bytes(range(200))
    assert parse(BlockReader().gathers(Dribble(data), 200, 7, 64), 64) == data


def test_a_file_that_ends_too_early_is_an_error():
    with pytest.raises(EOFError):
        list(BlockReader().gathers(io.BytesIO(bytes(100)), 101, 7, 64))


@pytest.mark.parametrize(
    ("announced", "fragment"), [(0, 256 << 10), (4096, 4090), (4097, 4090), (131072, 131066), (1 << 30, 256 << 10)]
)
def test_a_fragment_is_even_and_fits_the_pdu_of_the_peer(announced, fragment):
    assert fragment_length(announced) == fragment
