"""A changed data set and its pixel data put together to a Part 10 file, of which the pixel data is not copied."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from karnak_core.deidentify import encode_around
from karnak_core.deidentify.encode import tag_of
from karnak_core.elements import UNDEFINED, UnreadableDataSet
from karnak_core.errors import Permanent, Retryable
from karnak_core.headers import WANTED, header_of, read_header
from karnak_core.model import Header, Outgoing
from karnak_core.part10 import file_beginning
from karnak_core.rewrite.apart import PIXEL_DATA, Apart, PixelElement
from karnak_core.rewrite.made import MadeFile
from karnak_core.rewrite.pieces import Pieces, Stretch
from karnak_core.rewrite.words import in_little_endian

_WANTED: Final = tuple(map(tag_of, WANTED))


@dataclass(frozen=True, kw_only=True)
class Together:
    """A changed instance, and what is in it."""

    made: Pieces
    outgoing: Outgoing
    #: preamble and file meta information
    beginning: bytes
    #: the elements as they are encoded, those of group 7FE0 left out
    encoded: bytes
    #: where in what goes out the elements with pixels begin and end
    pixels: tuple[int, int]
    implicit: bool
    little: bool

    def close(self) -> None:
        """Give up what goes out; may be called twice."""
        self.made.close()


def put_together(
    apart: Apart,
    dataset: Dataset,
    workspace: Path,
    *,
    source_ae_title: str,
    transfer_syntax_uid: str | None = None,
    new_pixels: MadeFile | None = None,
) -> Together:
    """Return the file of a changed data set; nothing of the old file's meta information is in it.

    Parameters
    ----------
    dataset
        The elements; a placeholder of ``apart`` stands for the pixel element that is to be carried over.
    source_ae_title
        Who says that it has written the file (PS3.10 table 7.1-1).
    transfer_syntax_uid
        Another one than the received; None: the same.
    new_pixels
        Whole elements of group 7FE0, encoded in ``transfer_syntax_uid``, instead of the received ones.

    Raises
    ------
    Permanent
        It cannot be encoded, or lacks its SOP class or a UID.
    Retryable
        No more files can be open now.
    """
    syntax = transfer_syntax_uid or apart.transfer_syntax_uid
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    kept = [element for element in apart.pixels if dataset.get_item(element.tag) is apart.placeholders[element.tag]]
    if new_pixels is not None:
        kept = []
    elif kept and little != apart.little:
        raise Permanent("pixel data in another byte order has to be transcoded")
    if little and not apart.little:
        dataset = in_little_endian(dataset)
    carried = {element.tag for element in apart.pixels} if new_pixels is not None else {one.tag for one in kept}
    before, behind = encode_around(dataset, PIXEL_DATA, carried, implicit=implicit, little=little)
    encoded = before + behind
    header = _header(dataset, encoded, syntax)
    beginning = file_beginning(
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=header.sop_instance_uid,
        transfer_syntax_uid=syntax,
        calling_ae_title=source_ae_title,
    )
    pieces: list[bytes | memoryview | Stretch] = [beginning, before]
    for element in kept:
        pieces += (_head(element, implicit, little), apart.bytes_at(element.start, element.end))
    if new_pixels is not None:
        pieces.append(Stretch(0, new_pixels.size))
    pieces.append(behind)
    made = Pieces(pieces, _other_file(apart, pieces, new_pixels), workspace)
    return Together(
        made=made,
        outgoing=Outgoing(
            path=made,
            dataset_offset=len(beginning),
            size=made.size,
            sop_class_uid=header.sop_class_uid,
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            transfer_syntax_uid=syntax,
            facts=header.facts,
        ),
        beginning=beginning,
        encoded=encoded,
        pixels=(len(beginning) + len(before), made.size - len(behind)),
        implicit=implicit,
        little=little,
    )


def _header(dataset: Dataset, encoded: bytes, syntax: str) -> Header:
    try:
        values = _values(dataset)
        header = read_header(encoded, syntax) if values is None else header_of(values)
    except UnreadableDataSet as error:
        raise Permanent(f"the new data set cannot be read: {error}") from None
    missing = [
        name
        for name, uid in (
            ("SOP Class UID", header.sop_class_uid),
            ("SOP Instance UID", header.sop_instance_uid),
        )
        if not uid
    ]
    if missing:
        raise Permanent(f"the new data set has no {', no '.join(missing)}")
    return header


def _values(dataset: Dataset) -> dict[int, bytes] | None:
    """Return the values that a header needs as they are encoded; None where one of them is not yet."""
    elements = dict(dataset.items())
    found: dict[int, bytes] = {}
    for tag in _WANTED:
        element = elements.get(tag)
        if element is None:
            continue
        if not isinstance(element, RawDataElement) or element.value is None:
            return None
        found[tag] = element.value
    return found


def _head(element: PixelElement, implicit: bool, little: bool) -> bytes:
    """Return tag, VR and length (PS3.5 section 7.1)."""
    order = "<" if little else ">"
    length = UNDEFINED if element.undefined else element.end - element.start
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if implicit:
        return struct.pack(f"{order}HHI", group, number, length)
    # Implicit VR means OW (PS3.5 section A.1)
    vr = element.vr or "OW"
    return struct.pack(f"{order}HH2sHI", group, number, vr.encode("ascii"), 0, length)


def _other_file(
    apart: Apart, pieces: Sequence[bytes | memoryview | Stretch], new_pixels: MadeFile | None
) -> int | None:
    """Return a descriptor of the file that has what is not in memory; it stays open when ``apart`` is closed."""
    if not any(isinstance(piece, Stretch) for piece in pieces):
        return None
    try:
        return os.dup((apart.file if new_pixels is None else new_pixels.file).fileno())
    except OSError as error:
        raise Retryable(f"cannot keep the spool file open: {error.strerror}") from error
