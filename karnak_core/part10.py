"""The beginning of a Part 10 file, preamble and file meta information (PS3.10 section 7.1), and what follows it."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from pydicom.uid import DeflatedExplicitVRLittleEndian

from karnak_core import __version__
from karnak_core.errors import Permanent, Retryable
from karnak_core.model import Outgoing

#: an arbitrary UUID as a UID (PS3.5 section B.2), ours for good
IMPLEMENTATION_CLASS_UID: Final = "2.25.214903384120471984562301935811642078415"
IMPLEMENTATION_VERSION_NAME: Final = f"KARNAK_{__version__}"[:16]
#: bytes that are read, inflated and copied at a time
BLOCK: Final = 1 << 20
#: no data set is inflated to more bytes than this: a few megabytes can be made to hold terabytes
LARGEST_INFLATED: Final = 8 << 30
#: what :func:`pydicom.dcmread` does not read with ``stop_before_pixels``
PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))


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


@contextmanager
def plain_dataset(
    path: Path,
    transfer_syntax_uid: str,
    dataset_offset: int,
    *,
    folder: Path | None = None,
    largest: int = LARGEST_INFLATED,
) -> Iterator[tuple[IO[bytes], int]]:
    """Give a file with the data set not deflated, and where it begins there.

    A deflated one (PS3.5 section A.5) is inflated to a file without a name, whose space is free again at the end,
    whatever happens. It is in Explicit VR Little Endian then.

    Parameters
    ----------
    folder
        Where that file is; ``None``: beside ``path``, or where temporary files go if nothing can be written there.
    largest
        Bytes that it may have.

    Raises
    ------
    Permanent
        It cannot be inflated, or becomes too large.
    Retryable
        There is no room for it now.
    FileNotFoundError
        ``path`` is missing.
    """
    with open(path, "rb") as source:
        if transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
            yield source, dataset_offset
            return
        source.seek(dataset_offset)
        with _temporary_file(path.parent if folder is None else folder, anywhere=folder is None) as inflated:
            try:
                # the other half is for what arrives meanwhile
                room = shutil.disk_usage(inflated.fileno()).free // 2
                _inflate(source, inflated, largest, room)
                inflated.flush()
            except zlib.error as error:
                raise Permanent("the data set cannot be inflated (DICOM PS3.5 section A.5)") from error
            except OSError as error:
                raise Retryable(f"cannot inflate the data set to a temporary file: {error.strerror}") from error
            inflated.seek(0)
            yield inflated, 0


def _temporary_file(folder: Path, *, anywhere: bool) -> IO[bytes]:
    try:
        if not anywhere:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        # nothing can be made in /proc/PID/fd, where files are that have no other name
        if anywhere and folder != Path(tempfile.gettempdir()):
            return _temporary_file(Path(tempfile.gettempdir()), anywhere=False)
        raise Retryable(f"cannot make a temporary file: {error.strerror}") from error


def _inflate(source: IO[bytes], target: IO[bytes], largest: int, room: int) -> None:
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    written = 0
    while not inflater.eof:
        block = inflater.unconsumed_tail or source.read(BLOCK)
        inflated = inflater.decompress(block, BLOCK)
        if not block and not inflated and not inflater.eof:
            raise Permanent("the deflated data set is cut off")
        written += len(inflated)
        if written > largest:
            raise Permanent(f"the deflated data set is larger than {largest} bytes when inflated; no more is allowed")
        if written > room:
            raise Retryable("there is no room to inflate the data set")
        target.write(inflated)


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
