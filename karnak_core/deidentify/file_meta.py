"""File meta information of a data set that goes out: nothing of the file that came in (PS3.10 section 7.1)."""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.visit import texts_of


def make_file_meta(
    dataset: Dataset, *, transfer_syntax_uid: str, implementation_class_uid: str, implementation_version_name: str
) -> FileMetaDataset:
    """Return the file meta information of a de-identified data set.

    Raises
    ------
    DeidentificationError
        It has no SOP class or no SOP instance UID.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = _uid(dataset, 0x00080016, "SOP Class UID")
    meta.MediaStorageSOPInstanceUID = _uid(dataset, 0x00080018, "SOP Instance UID")
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(implementation_class_uid)
    meta.ImplementationVersionName = implementation_version_name
    return meta


def file_head(
    dataset: Dataset, *, transfer_syntax_uid: str, implementation_class_uid: str, implementation_version_name: str
) -> bytes:
    """Return what stands before a de-identified data set in a file: preamble, prefix and file meta information.

    The same as `make_file_meta` and pydicom make it, but sooner.

    Raises
    ------
    DeidentificationError
        It has no SOP class or no SOP instance UID.
    """
    elements = b"".join(
        (
            _FIRST,
            _element(0x0002, "UI", _uid(dataset, 0x00080016, "SOP Class UID")),
            _element(0x0003, "UI", _uid(dataset, 0x00080018, "SOP Instance UID")),
            _element(0x0010, "UI", transfer_syntax_uid),
            _element(0x0012, "UI", implementation_class_uid),
            _element(0x0013, "SH", implementation_version_name),
        )
    )
    return b"".join((bytes(128), b"DICM", struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)), elements))


#: File Meta Information Version
_FIRST = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"


def _element(number: int, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return struct.pack("<HH2sH", 2, number, vr.encode("ascii"), len(value)) + value


def _uid(dataset: Dataset, tag: int, name: str) -> UID:
    texts = texts_of(dataset, tag)
    if not texts or not texts[0]:
        raise DeidentificationError(f"the new data set has no {name}")
    return UID(texts[0])
