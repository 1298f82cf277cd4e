"""The check looks around pixels, too: into comments of compressed frames, tables, and behind the end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from karnak_core.leaks import Encoded, beside_pixels, find_leaks

NAME = b"Quill-Starlord"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


SCAN = b"\xff\xda\0\2" + bytes(range(1, 200)) * 90
JPEG, JPEG_2000 = b"\xff\xd8" + segment(0xDB, bytes(60)), b"\xff\x4f" + segment(0x51, bytes(40))


def encapsulated(*frames: bytes, table: bytes = b"") -> bytes:
    fragments = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one for one in (table, *frames))
    return element(fragments + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), undefined=True)


def element(value: bytes, *, tag: int = 0x7FE00010, vr: bytes = b"OB", undefined: bool = False) -> bytes:
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, 0xFFFFFFFF if undefined else len(value)) + value


@pytest.fixture
def places(received: Dataset, encode: Callable[..., Encoded]) -> Callable[..., list[str]]:
    """Return where something is found when these elements of pixels go out."""

    def places(pixels: bytes, *, implicit: bool = False, little: bool = True) -> list[str]:
        file = BytesIO(b"before" + pixels + b"behind")
        beside = beside_pixels(file, 6, 6 + len(pixels), implicit=implicit, little=little)
        nothing = encode(Dataset())
        return [str(leak) for leak in find_leaks(encode(received), nothing, beside=beside)]

    return places


FOUND = ["the received part of Patient's Name stands in (7FE0,0010), beside the pixels"]


@pytest.mark.parametrize(
    "pixels",
    [
        encapsulated(JPEG + segment(0xFE, NAME) + SCAN + b"\xff\xd9"),
        encapsulated(JPEG + SCAN, JPEG + segment(0xE1, b"Exif\0\0" + NAME) + SCAN),
        encapsulated(JPEG_2000 + segment(0x64, b"\0\1" + NAME) + b"\xff\x90" + SCAN),
        encapsulated(JPEG + SCAN + b"\xff\xd9" + NAME),
        encapsulated(SCAN, NAME + b".." + SCAN * 9),
        encapsulated(SCAN + NAME),
        encapsulated(NAME + b".." + SCAN * 9),
        encapsulated(JPEG + SCAN, table=NAME),
        element(SCAN + NAME),
        element(NAME, tag=0x7FE00001, vr=b"OV") + element(SCAN),
    ],
    ids=["comment", "Exif", "JPEG 2000", "behind", "fragment", "end", "beginning", "table", "native", "offsets"],
)
def test_name_beside_pixels_is_found(pixels: bytes, places: Callable[..., list[str]]) -> None:
    assert places(pixels)[:1] == FOUND
    assert places(pixels.replace(NAME, b"of nobody at a")) == []


def test_name_behind_native_pixels_is_found_however_they_are_encoded(places: Callable[..., list[str]]) -> None:
    value = SCAN + NAME
    assert places(struct.pack("<HHI", 0x7FE0, 0x0010, len(value)) + value, implicit=True)[:1] == FOUND
    assert places(struct.pack(">HH2s2xI", 0x7FE0, 0x0010, b"OW", len(value)) + value, little=False)[:1] == FOUND


def test_short_words_among_pixels_are_an_accident_and_in_comments_are_not(places: Callable[..., list[str]]) -> None:
    assert places(element(SCAN + b" peter ")) == []
    assert places(encapsulated(JPEG + segment(0xFE, b"for peter") + SCAN)) == FOUND


@pytest.mark.parametrize("cut", [1, 5, 9, 13, 20, 30])
def test_what_is_cut_off_is_looked_at_as_far_as_it_goes(cut: int, places: Callable[..., list[str]]) -> None:
    whole = encapsulated(JPEG + SCAN)
    assert places(whole[:cut]) == places(whole[:-cut]) == []


def test_pixels_are_not_read_as_a_whole() -> None:
    read = 0

    class Counting(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            value = super().read(size)
            read += len(value)
            return value

    pixels = element(encapsulate([bytes(1 << 20)] * 20), undefined=True)
    beside_pixels(Counting(pixels), 0, len(pixels), implicit=False, little=True)
    assert read < 1 << 20
