"""A changed data set and its pixel data put together to a Part 10 file."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from karnak_core.deidentify import encode_around
from karnak_core.elements import UNDEFINED, UnreadableDataSet
from karnak_core.errors import Permanent, Retryable
from karnak_core.headers import read_header
from karnak_core.model import Header, Outgoing
from karnak_core.part10 import file_beginning
from karnak_core.rewrite.apart import PIXEL_DATA, Apart, PixelElement
from karnak_core.rewrite.made import MadeFile
from karnak_core.rewrite.words import in_little_endian

#: bytes that the kernel copies at a time
COPIED: Final = 16 << 20
#: about how many bytes file meta information has
BEGINNING: Final = 512


@dataclass(frozen=True, kw_only=True)
class Together:
    """A changed instance: its file, and what is in it."""

    made: MadeFile
    outgoing: Outgoing
    #: preamble and file meta information
    beginning: bytes
    #: the elements as they are encoded, those of group 7FE0 left out
    encoded: bytes
    implicit: bool
    little: bool

    def close(self) -> None:
        """Give up the file; may be called twice."""
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
        There is no room for the file now.
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
    header = _header(before + behind, syntax)
    beginning = file_beginning(
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=header.sop_instance_uid,
        transfer_syntax_uid=syntax,
        calling_ae_title=source_ae_title,
    )
    pixel_bytes = new_pixels.size if new_pixels else sum(one.end - one.start for one in kept)
    made = MadeFile(BEGINNING + len(before) + len(behind) + pixel_bytes, workspace)
    try:
        made.file.write(beginning)
        made.file.write(before)
        for element in kept:
            made.file.write(_head(element, implicit, little))
            _copy(apart.file, element.start, element.end - element.start, made.file)
        if new_pixels is not None:
            _copy(new_pixels.file, 0, pixel_bytes, made.file)
        made.file.write(behind)
        size = made.size
    except OSError as error:
        made.close()
        raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
    except BaseException:
        made.close()
        raise
    return Together(
        made=made,
        outgoing=Outgoing(
            path=made.path,
            dataset_offset=len(beginning),
            size=size,
            sop_class_uid=header.sop_class_uid,
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            transfer_syntax_uid=syntax,
            facts=header.facts,
        ),
        beginning=beginning,
        encoded=before + behind,
        implicit=implicit,
        little=little,
    )


def _header(encoded: bytes, syntax: str) -> Header:
    try:
        header = read_header(encoded, syntax)
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


def _copy(source: IO[bytes], start: int, length: int, target: IO[bytes]) -> None:
    """Let the kernel copy bytes to the end of the target."""
    target.flush()
    end = start + length
    while start < end:
        copied = os.sendfile(target.fileno(), source.fileno(), start, min(COPIED, end - start))
        if not copied:
            raise Permanent("the pixel data is shorter than its length says")
        start += copied
    target.seek(0, os.SEEK_END)
