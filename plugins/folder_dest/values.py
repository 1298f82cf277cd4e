"""Read from an instance what a pattern needs; as little as possible of the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import BinaryIO, Final, cast

import pydicom
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from karnak_core.errors import DeliveryError, Permanent
from karnak_core.model import Outgoing
from karnak_core.part10 import PIXELS, plain_dataset
from karnak_plugins.folder_dest.pattern import SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID

#: bytes; a longer value names no file, and is not read
LARGEST_READ: Final = 64 << 10


def values(outgoing: Outgoing, tags: Collection[int]) -> Mapping[int, str]:
    """Return the values of data elements as text; those without text are left out.

    Raises
    ------
    Permanent
        The data set cannot be read.
    """
    carried = {
        0x00080016: outgoing.sop_class_uid,
        SOP_INSTANCE_UID: outgoing.sop_instance_uid,
        0x0020000D: outgoing.study_instance_uid,
        0x0020000E: outgoing.series_instance_uid,
        TRANSFER_SYNTAX_UID: outgoing.transfer_syntax_uid,
    }
    found = {tag: carried[tag] for tag in tags if carried.get(tag)}
    missing = set(tags) - found.keys()
    return {**found, **_read(outgoing, missing)} if missing else found


def _read(outgoing: Outgoing, tags: Collection[int]) -> Mapping[int, str]:
    try:
        ds = _header(outgoing, tags)
        return {tag: _text(ds[tag].value) for tag in tags if tag in ds and not _is_large(ds, tag)}
    except DeliveryError:
        raise
    except FileNotFoundError as error:
        raise Permanent("the spool file is missing") from error
    except Exception as error:  # pydicom raises what it likes on broken data sets
        raise Permanent(f"the data set cannot be read: {type(error).__name__}") from error


def _header(outgoing: Outgoing, tags: Collection[int]) -> Dataset:
    wanted = sorted(map(Tag, tags))
    if outgoing.transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        return pydicom.dcmread(
            outgoing.path, stop_before_pixels=True, specific_tags=list(wanted), defer_size=LARGEST_READ
        )
    # pydicom would inflate it in memory as a whole
    with plain_dataset(outgoing.path, outgoing.transfer_syntax_uid, outgoing.dataset_offset) as (plain, offset):
        plain.seek(offset)
        return read_dataset(
            cast(BinaryIO, plain),
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: int(tag) in PIXELS,
            specific_tags=list(wanted),
            defer_size=LARGEST_READ,
        )


def _is_large(ds: Dataset, tag: int) -> bool:
    element = ds.get_item(tag, keep_deferred=True)
    return isinstance(element, RawDataElement) and element.value is None and element.length > 0


def _text(value: object) -> str:
    if isinstance(value, MultiValue):
        return "_".join(str(one) for one in value)
    # sequences and binary values of private elements have no text
    return "" if value is None or isinstance(value, bytes | pydicom.Sequence) else str(value)
