"""Read from an instance what a pattern needs; as little as possible of the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from karnak_core.errors import Permanent
from karnak_core.model import Outgoing
from karnak_plugins.folder_dest.pattern import SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID


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
    return {**found, **_read(outgoing.path, missing)} if missing else found


def _read(path: Path, tags: Collection[int]) -> Mapping[int, str]:
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=sorted(map(Tag, tags)))
        return {tag: _text(ds[tag].value) for tag in tags if tag in ds}
    except FileNotFoundError as error:
        raise Permanent("the spool file is missing") from error
    except Exception as error:  # pydicom raises what it likes on broken data sets
        raise Permanent(f"the data set cannot be read: {type(error).__name__}") from error


def _text(value: object) -> str:
    if isinstance(value, MultiValue):
        return "_".join(str(one) for one in value)
    # sequences and binary values of private elements have no text
    return "" if value is None or isinstance(value, bytes | pydicom.Sequence) else str(value)
