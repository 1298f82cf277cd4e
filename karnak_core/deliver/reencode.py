"""Write an uncompressed data set in Explicit or Implicit VR Little Endian, when the peer takes nothing else.

Only the header is held in memory. The value of Pixel Data is copied in blocks, its bytes swapped where the source is
Big Endian, so that a large object passes in little memory. Nothing is decoded that need not be, and nothing is lost:
what cannot be carried over raises.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset
from pydicom.filewriter import correct_ambiguous_vr, write_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from karnak_core.errors import DeliveryError, Permanent, Retryable
from karnak_core.model import Outgoing

BLOCK: Final = 1 << 20
UNDEFINED: Final = 0xFFFFFFFF
PIXEL_DATA: Final = 0x7FE00010
#: bytes of one number in the value (PS3.5 section 7.3)
WORD_SIZES: Final = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
#: VRs whose values are the same bytes in every uncompressed transfer syntax
TEXT_VRS: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)


@contextmanager
def reencoded(outgoing: Outgoing, transfer_syntax_uid: str, workspace: Path) -> Iterator[tuple[Path, int, int]]:
    """Give a temporary file in ``workspace`` with the data set in another transfer syntax: path, offset and length.

    Raises
    ------
    Permanent
        The data set cannot be carried over without loss.
    """
    workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=workspace, prefix="reencode-") as target:
        try:
            _convert(outgoing, transfer_syntax_uid, target.file, workspace)
        except (DeliveryError, FileNotFoundError):
            raise
        except OSError as error:
            raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
        except Exception as error:  # pydicom raises what it likes on data sets it cannot write
            raise Permanent(
                f"cannot be written in transfer syntax {transfer_syntax_uid}: {type(error).__name__}"
            ) from error
        target.flush()
        yield Path(target.name), 0, target.tell()


def _convert(outgoing: Outgoing, transfer_syntax_uid: str, target: IO[bytes], workspace: Path) -> None:
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    source_syntax = outgoing.transfer_syntax_uid
    big = source_syntax == ExplicitVRBigEndian
    with _plain(outgoing, workspace) as (source, offset):
        source.seek(offset)
        header = _read_header(source, source_syntax == ImplicitVRLittleEndian, big)
        _write(header, target, big, implicit)
        _copy_pixel_data(source, header, target, source_syntax == ImplicitVRLittleEndian, big, implicit)
        rest = _read_header(source, source_syntax == ImplicitVRLittleEndian, big)
        _write(rest, target, big, implicit)


@contextmanager
def _plain(outgoing: Outgoing, workspace: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Give a file with the data set not deflated, and where it begins."""
    with open(outgoing.path, "rb") as source:
        if outgoing.transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
            yield source, outgoing.dataset_offset
            return
        with tempfile.TemporaryFile(dir=workspace) as inflated:
            source.seek(outgoing.dataset_offset)
            inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            while block := source.read(BLOCK):
                while block:
                    inflated.write(inflater.decompress(block, BLOCK))
                    block = inflater.unconsumed_tail
            inflated.write(inflater.flush())
            yield inflated, 0


def _read_header(source: IO[bytes], implicit: bool, big: bool) -> Dataset:
    """Read elements up to Pixel Data of the root level, where the file then stands."""
    ds = read_dataset(
        cast(BinaryIO, source),
        is_implicit_VR=implicit,
        is_little_endian=not big,
        stop_when=lambda tag, _vr, _length: int(tag) == PIXEL_DATA,
    )
    return ds


def _write(ds: Dataset, target: IO[bytes], big: bool, implicit: bool) -> None:
    carried = correct_ambiguous_vr(_carried_over(ds, big), is_little_endian=True)
    _say_encoded(carried, implicit)
    sink = DicomFileLike(target)
    sink.is_implicit_VR = implicit
    sink.is_little_endian = True
    write_dataset(sink, carried)


def _copy_pixel_data(
    source: IO[bytes], header: Dataset, target: IO[bytes], source_implicit: bool, big: bool, implicit: bool
) -> None:
    start = source.read(8)
    if not start:
        return
    if len(start) < 8:
        raise Permanent("the data set ends inside an element")
    order = ">" if big else "<"
    if source_implicit:
        vr = "OW" if header.get("BitsAllocated", 16) > 8 else "OB"
        # Implicit VR means OW (PS3.5 section A.1); OB and OW differ in nothing for 8 bits in Little Endian
        vr = "OW" if implicit or vr == "OW" else vr
        (length,) = struct.unpack("<I", start[4:])
    else:
        vr = start[4:6].decode("ascii")
        (length,) = struct.unpack(order + "I", source.read(4))
    if length == UNDEFINED:
        raise Permanent("compressed pixel data in an uncompressed transfer syntax")
    target.write(struct.pack("<HH", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF))
    target.write(struct.pack("<I", length) if implicit else struct.pack("<2s2xI", vr.encode(), length))
    word = WORD_SIZES.get(vr, 1) if big else 1
    if big and vr == "OW" and header.get("BitsAllocated") in (32, 64):
        # a pixel cell is one number, not words of 16 bits each: so pydicom reads and writes it
        word = header.BitsAllocated // 8
    left = length
    while left:
        block = source.read(min(BLOCK, left))
        if not block:
            raise Permanent("the pixel data is shorter than its length says")
        left -= len(block)
        target.write(_swapped(block, word))


def _carried_over(ds: Dataset, big: bool) -> Dataset:
    """Return the data set with what depends on the encoding decoded, and texts as the bytes that they are.

    A text that is not in its data set's character set would not survive being decoded and encoded again.
    """
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for tag in list(ds.keys()):
        raw = ds.get_item(tag)
        text_vr = _text_vr(raw)
        if text_vr is None:
            element = ds[tag]
            if element.VR == "SQ":
                element.value = [_carried_over(item, big) for item in element.value]
            elif big and element.VR in WORD_SIZES and isinstance(element.value, bytes):
                # pydicom keeps these as they are
                element.value = _swapped(element.value, WORD_SIZES[element.VR])
            text_vr = element.VR if element.VR in TEXT_VRS and isinstance(raw, RawDataElement) else None
            elements[tag] = element
        if text_vr is not None and isinstance(raw, RawDataElement):
            value = raw.value or b""
            padding = b"\0" if text_vr == "UI" else b" "
            elements[tag] = raw._replace(VR=text_vr, value=value + padding * (len(value) % 2))
    return Dataset(elements)


def _text_vr(element: DataElement | RawDataElement) -> str | None:
    """Return the VR of a text that is not decoded yet; None: it is none, or one has to look closer."""
    if not isinstance(element, RawDataElement):
        return None
    vr = element.VR
    if vr is None and not element.tag.is_private and dictionary_has_tag(element.tag):
        vr = dictionary_VR(element.tag)
    return vr if vr in TEXT_VRS else None


def _say_encoded(ds: Dataset, implicit: bool) -> None:
    """Let pydicom write undecoded elements as they are, at every level."""
    # what pydicom compares it with, so that it finds it unchanged
    ds.set_original_encoding(implicit, True, ds._character_set)
    for element in ds.elements():
        if element.VR == "SQ" and isinstance(element, DataElement):
            for item in element.value:
                _say_encoded(item, implicit)


def _swapped(data: bytes, word: int) -> bytes:
    if word == 1:
        return data
    swapped: Any = np.frombuffer(data, dtype=f">u{word}").astype(f"<u{word}")
    return bytes(swapped.tobytes())
