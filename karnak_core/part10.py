"""The beginning of a Part 10 file: preamble and file meta information (PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from karnak_core import __version__
from karnak_core.model import Outgoing

#: an arbitrary UUID as a UID (PS3.5 section B.2), ours for good
IMPLEMENTATION_CLASS_UID: Final = "2.25.214903384120471984562301935811642078415"
IMPLEMENTATION_VERSION_NAME: Final = f"KARNAK_{__version__}"[:16]


def file_beginning(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae_title: str
) -> bytes:
    """Return preamble, prefix and file meta information; the data set follows in its own transfer syntax."""
    elements = b"".join(
        (
            _long(0x0001, b"OB", b"\0\1"),
            _short(0x0002, b"UI", sop_class_uid, "\0"),
            _short(0x0003, b"UI", sop_instance_uid, "\0"),
            _short(0x0010, b"UI", transfer_syntax_uid, "\0"),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, "\0"),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, " "),
            _short(0x0016, b"AE", calling_ae_title, " "),
        )
    )
    group_length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + group_length + elements


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What the file meta information says, and where the data set begins."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int


def read_beginning(file: IO[bytes]) -> Beginning:
    """Read preamble and file meta information.

    Raises
    ------
    ValueError
        It is no Part 10 file, or one without a SOP class, SOP instance or transfer syntax.
    """
    start = file.read(132)
    if start[128:] != b"DICM":
        raise ValueError("no DICOM file: DICM is missing behind the preamble (DICOM PS3.10 section 7.1)")
    found: dict[int, str] = {}
    offset = len(start)
    while len(head := file.read(8)) == 8:
        group, element, vr, length = struct.unpack("<HH2sH", head)
        if group != 0x0002:
            break
        offset += 8
        if vr in (b"OB", b"UN"):
            length = int.from_bytes(file.read(4), "little")
            offset += 4
        value = file.read(min(length, 1 << 20))
        if len(value) < length:
            raise ValueError("the file ends inside the file meta information")
        offset += length
        found[element] = value.decode("ascii", "replace").strip("\0 ")
    missing = [name for element, name in _NEEDED.items() if not found.get(element)]
    if missing:
        raise ValueError(f"the file meta information has no {', '.join(missing)} (DICOM PS3.10 section 7.1)")
    return Beginning(
        sop_class_uid=found[0x0002],
        sop_instance_uid=found[0x0003],
        transfer_syntax_uid=found[0x0010],
        dataset_offset=offset,
    )


def read_outgoing(path: Path) -> Outgoing:
    """Return what is needed to send a Part 10 file as it is; study and series are left empty.

    Raises
    ------
    ValueError
        As :func:`read_beginning`.
    """
    with open(path, "rb") as file:
        beginning = read_beginning(file)
    return Outgoing(
        path=path,
        dataset_offset=beginning.dataset_offset,
        size=path.stat().st_size,
        sop_class_uid=beginning.sop_class_uid,
        sop_instance_uid=beginning.sop_instance_uid,
        study_instance_uid="",
        series_instance_uid="",
        transfer_syntax_uid=beginning.transfer_syntax_uid,
    )


_NEEDED: Final = {
    0x0002: "Media Storage SOP Class UID",
    0x0003: "Media Storage SOP Instance UID",
    0x0010: "Transfer Syntax UID",
}


def _short(element: int, vr: bytes, text: str, padding: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += padding.encode()
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _long(element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHI", 0x0002, element, vr, 0, len(value)) + value
