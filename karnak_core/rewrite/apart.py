"""An instance's file taken apart: the elements to be changed, and where the pixel data lies."""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
)

from karnak_core.deidentify import decode_dataset
from karnak_core.deidentify.encode import tag_of
from karnak_core.elements import UNDEFINED, UnreadableDataSet, after_sequence, is_explicit, value_of
from karnak_core.errors import Permanent
from karnak_core.part10 import plain_dataset
from karnak_core.rewrite.pieces import Stretch

PIXEL_DATA: Final = 0x7FE00010
#: offset tables, total length, Float and Double Float Pixel Data, Pixel Data; anything else in that group is data like
#: all other
CARRIED: Final = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00008, 0x7FE00009, PIXEL_DATA))
PIXEL_VRS: Final = frozenset((b"OB", b"OW", b"OF", b"OD", b"OV", b"UN", b"UV"))
#: bytes of all elements but pixel data: a larger data set is not changed
LARGEST_HEADER: Final = 256 << 20
#: bytes of a file that is read at once, pixel data included
READ_WHOLE: Final = 64 << 10
#: stands for pixel data while the rest is changed: a value, so that it is there for conditions
_PLACEHOLDER: Final = b"\0\0"
#: offset tables, total length, and pixel data in its three forms
_PIXEL_TAG: Final = re.compile(rb"\xe0\x7f[\x01\x02\x03\x08\x09\x10]\0")


@dataclass(frozen=True, kw_only=True)
class PixelElement:
    """An element with pixels, or where they are, left where it is."""

    tag: int
    #: empty: the data set is in implicit VR
    vr: str
    #: bytes in the file: where the value starts, and where the element ends, delimiters included
    start: int
    end: int
    #: true: of undefined length, as encapsulated pixel data is (PS3.5 section A.4)
    undefined: bool


@dataclass(frozen=True, kw_only=True)
class Apart:
    """An instance taken apart; valid while its file is open."""

    #: every element; for those with pixels ``placeholders`` stand
    dataset: Dataset
    placeholders: Mapping[int, DataElement | RawDataElement]
    pixels: tuple[PixelElement, ...]
    #: the elements as they are encoded, those with pixels left out
    encoded: bytes
    implicit: bool
    little: bool
    #: where the pixel elements are
    file: IO[bytes]
    #: all of the file, where it is small; empty: it is not
    whole: bytes
    #: how the data set in ``file`` is encoded: never deflated
    transfer_syntax_uid: str

    def bytes_at(self, start: int, end: int) -> memoryview | Stretch:
        """Return bytes of the file, or where they are."""
        return memoryview(self.whole)[start:end] if self.whole else Stretch(start, end - start)


@contextmanager
def taken_apart(path: Path, transfer_syntax_uid: str, dataset_offset: int, workspace: Path) -> Iterator[Apart]:
    """Give an instance taken apart.

    Parameters
    ----------
    workspace
        A folder for a temporary file, where the data set is deflated.

    Raises
    ------
    Permanent
        The data set cannot be read, or has more than 256 MiB beside its pixel data.
    Retryable
        There is no room for the temporary file.
    FileNotFoundError
        ``path`` is missing.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        with plain_dataset(path, transfer_syntax_uid, dataset_offset, folder=workspace) as (inflated, offset):
            yield _apart(inflated, offset, ExplicitVRLittleEndian)
        return
    with open(path, "rb") as file:
        yield _apart(file, dataset_offset, transfer_syntax_uid)


def _apart(file: IO[bytes], offset: int, syntax: str) -> Apart:
    size = os.fstat(file.fileno()).st_size
    try:
        if size <= READ_WHOLE:
            return _searched(os.pread(file.fileno(), size, 0), file, offset, syntax)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _searched(mapped, file, offset, syntax)
    except ValueError as error:
        if isinstance(error, UnreadableDataSet):
            raise Permanent(f"the data set cannot be read: {error}") from None
        raise Permanent("the data set cannot be read: the file is empty") from None
    except struct.error:
        raise Permanent("the data set cannot be read: it ends inside an element") from None


def _searched(data: bytes | mmap.mmap, file: IO[bytes], offset: int, syntax: str) -> Apart:
    if len(data) <= offset:
        raise ValueError
    whole = data if isinstance(data, bytes) else b""
    with memoryview(data) as all_of_it, all_of_it[offset:] as view:
        found = _PIXEL_TAG.search(data, offset, offset + LARGEST_HEADER)
        if found is not None and syntax != ExplicitVRBigEndian:
            # to look for the tag is faster than to step over all elements; within a sequence, the space before it
            # is not filled by whole elements, and so is found to be wrong
            with suppress(Permanent, UnreadableDataSet, struct.error):
                return _from(view, file, whole, offset, syntax, found.start() - offset)
        return _from(view, file, whole, offset, syntax, 0)


def _from(view: memoryview, file: IO[bytes], whole: bytes, offset: int, syntax: str, start: int) -> Apart:
    """Take the data set in ``view`` apart, of which no pixels are before ``start``."""
    implicit, little = not is_explicit(view[:8].tobytes(), syntax), syntax != ExplicitVRBigEndian
    split, pixels, end = _regions(view, not implicit, "<" if little else ">", start)
    if split + len(view) - end > LARGEST_HEADER:
        raise Permanent(f"the data set has more than {LARGEST_HEADER >> 20} MiB beside its pixel data")
    before, behind = view[:split].tobytes(), view[end:].tobytes()
    placeholders: dict[int, DataElement | RawDataElement] = {
        found.tag: RawDataElement(
            tag_of(found.tag), found.vr or None, len(_PLACEHOLDER), _PLACEHOLDER, 0, implicit, little
        )
        for found in pixels
    }
    return Apart(
        dataset=decode_dataset(before, implicit=implicit, little=little, then=placeholders.values(), behind=behind),
        placeholders=placeholders,
        pixels=tuple(replace(found, start=offset + found.start, end=offset + found.end) for found in pixels),
        encoded=before + behind,
        implicit=implicit,
        little=little,
        file=file,
        whole=whole,
        transfer_syntax_uid=syntax,
    )


def _regions(view: memoryview, explicit: bool, order: str, offset: int) -> tuple[int, list[PixelElement], int]:
    """Find where the elements with pixels begin, which they are, and where they end; ``offset``: none is before."""
    read_tag = struct.Struct(order + "HH").unpack_from
    size = len(view)
    begin: int | None = None
    found: list[PixelElement] = []
    while offset < size:
        group, element = read_tag(view, offset)
        tag = group << 16 | element
        carried = tag in CARRIED
        if tag > PIXEL_DATA or (begin is not None and not carried):
            break
        vr, length, start, nested_explicit = value_of(view, offset, explicit, order)
        undefined = length == UNDEFINED
        end = after_sequence(view, start, nested_explicit, order) if undefined else start + length
        if end > size:
            raise UnreadableDataSet(f"element ({group:04X},{element:04X}) reaches beyond the end of the data set")
        if carried:
            if explicit and vr not in PIXEL_VRS:
                raise UnreadableDataSet(f"element ({group:04X},{element:04X}) has a VR that pixels do not have")
            begin = offset if begin is None else begin
            found.append(PixelElement(tag=tag, vr=vr.decode("ascii"), start=start, end=end, undefined=undefined))
        offset = end
    split = offset if begin is None else begin
    behind = offset
    while offset < size:
        group, element = read_tag(view, offset)
        if group << 16 | element <= PIXEL_DATA:
            # other pixels, perhaps, which nobody would clean
            raise UnreadableDataSet("its elements are not in the order of their tags")
        _, length, start, nested_explicit = value_of(view, offset, explicit, order)
        undefined = length == UNDEFINED
        offset = after_sequence(view, start, nested_explicit, order) if undefined else start + length
    return split, found, behind
