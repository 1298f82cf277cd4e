"""Write an uncompressed data set in Explicit or Implicit VR Little Endian, when the peer takes nothing else.

Only the header is held in memory. The values of Pixel Data and of other large elements are copied in blocks, their
bytes swapped where the source is Big Endian, so that a large object passes in little memory; only what lies in
sequences is held, whatever its size. Nothing is decoded that need not be, and nothing is lost:
what cannot be carried over raises.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset, read_deferred_data_element
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from karnak_core.elements import DEEPEST_NESTING, UnreadableDataSet, after_sequence, is_explicit, value_of
from karnak_core.errors import DeliveryError, Permanent, Retryable
from karnak_core.model import Outgoing
from karnak_core.part10 import BLOCK, plain_dataset
from karnak_core.rewrite import MadeFile

UNDEFINED: Final = 0xFFFFFFFF
PIXEL_DATA: Final = 0x7FE00010
#: bytes of one number in the value (PS3.5 section 7.3)
WORD_SIZES: Final = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
#: VRs whose values are the same bytes in every uncompressed transfer syntax
TEXT_VRS: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
#: VRs whose values are bytes, or numbers that are no more than swapped
BINARY_VRS: Final = frozenset(("OB", "UN", "SV", "UV", *WORD_SIZES))


@contextmanager
def reencoded(
    outgoing: Outgoing, transfer_syntax_uid: str, workspace: Path, beginning: bytes = b""
) -> Iterator[tuple[Path, int, int]]:
    """Give a temporary file with the data set in another transfer syntax: path, offset and length.

    Parameters
    ----------
    workspace
        A folder for a large one.
    beginning
        What is to stand before the data set.

    Raises
    ------
    Permanent
        The data set cannot be carried over without loss.
    """
    target = MadeFile(outgoing.size, workspace)
    with closing(target):
        try:
            target.file.write(beginning)
            _convert(outgoing, transfer_syntax_uid, target.file, workspace)
        except (DeliveryError, FileNotFoundError):
            raise
        except OSError as error:
            raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
        except Exception as error:  # pydicom raises what it likes on data sets it cannot write
            raise Permanent(
                f"cannot be written in transfer syntax {transfer_syntax_uid}: {type(error).__name__}"
            ) from error
        yield target.path, len(beginning), target.size


def _convert(outgoing: Outgoing, transfer_syntax_uid: str, target: IO[bytes], workspace: Path) -> None:
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    source_syntax = outgoing.transfer_syntax_uid
    big = source_syntax == ExplicitVRBigEndian
    with plain_dataset(outgoing.path, source_syntax, outgoing.dataset_offset, folder=workspace) as (source, offset):
        source.seek(offset)
        # pydicom looks at the first element, too
        source_implicit = not is_explicit(source.read(8), source_syntax)
        _check_whole(source, offset, source_implicit, big)
        source.seek(offset)
        header = _read_header(source, source_implicit, big)
        _write(header, source, target, big, implicit)
        _copy_pixel_data(source, header, target, source_implicit, big, implicit)
        rest = _read_header(source, source_implicit, big)
        _write(rest, source, target, big, implicit)


def _check_whole(source: IO[bytes], offset: int, implicit: bool, big: bool) -> None:
    """Raise `Permanent` unless the elements of the root fill the file, with pixel data once at most.

    pydicom takes what is left of a file for a value that is cut off: pixels, too, which nobody would find there.
    """
    size = source.seek(0, 2)
    if size <= offset:
        return
    order = ">" if big else "<"
    pixel_data = 0
    try:
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            while offset < size:
                group, element = struct.unpack_from(order + "HH", view, offset)
                pixel_data += group << 16 | element == PIXEL_DATA
                _, length, start, explicit = value_of(view, offset, not implicit, order)
                undefined = length == UNDEFINED
                offset = after_sequence(view, start, explicit, order) if undefined else start + length
    except UnreadableDataSet as error:
        raise Permanent(f"the data set cannot be read: {error}") from None
    except struct.error:
        offset = size + 1
    if offset > size:
        raise Permanent("the data set cannot be read: it ends inside an element")
    if pixel_data > 1:
        raise Permanent("the data set has more than one element Pixel Data")


def _read_header(source: IO[bytes], implicit: bool, big: bool) -> Dataset:
    """Read elements up to Pixel Data of the root level, where the file then stands; large values stay in the file."""
    return read_dataset(
        cast(BinaryIO, source),
        is_implicit_VR=implicit,
        is_little_endian=not big,
        stop_when=lambda tag, _vr, _length: int(tag) == PIXEL_DATA,
        defer_size=BLOCK,
    )


def _write(ds: Dataset, source: IO[bytes], target: IO[bytes], big: bool, implicit: bool) -> None:
    """Write the elements in their order, those whose values stayed in the file from there; it stands as before then."""
    here = source.tell()
    large = _take_large(ds, source, big)
    carried = correct_ambiguous_vr(_carried_over(ds, big), is_little_endian=True)
    _say_encoded(carried, implicit)
    sink = DicomFileLike(target)
    sink.is_implicit_VR = implicit
    sink.is_little_endian = True
    if not large:
        write_dataset(sink, carried)
    else:
        encoding = carried.get("SpecificCharacterSet")
        for tag in sorted([*carried.keys(), *large]):
            if tag in large:
                _copy_large(large[tag], source, target, big, implicit)
            elif tag.element or tag.group <= 6:
                # retired group lengths would not be right any more
                write_data_element(sink, carried.get_item(tag), encoding)
    source.seek(here)


def _take_large(ds: Dataset, source: IO[bytes], big: bool) -> dict[BaseTag, RawDataElement]:
    """Take out the elements that can be copied without looking at their values, with the VR; read the other ones."""
    large: dict[BaseTag, RawDataElement] = {}
    for tag in list(ds.keys()):
        raw = ds.get_item(tag, keep_deferred=True)
        if not isinstance(raw, RawDataElement) or raw.value is not None or not raw.length:
            continue
        vr = _copied_vr(raw, big)
        if vr is None:
            ds[tag] = read_deferred_data_element(None, cast(BinaryIO, source), None, raw)
        else:
            large[tag] = raw._replace(VR=vr)
            del ds[tag]
    return large


def _copied_vr(raw: RawDataElement, big: bool) -> str | None:
    """Return the VR with which a value is copied; None: it must be decoded."""
    if raw.length == UNDEFINED:
        return None
    vr = raw.VR
    if vr is None or (vr == "UN" and not big):
        known = not raw.tag.is_private and dictionary_has_tag(raw.tag)
        vr = dictionary_VR(raw.tag) if known else "UN"
        if vr.endswith("or OW"):
            # so in Implicit VR (PS3.5 section A.1), and too long for the other ones in Explicit VR
            vr = "OW"
    return vr if vr in BINARY_VRS or vr in TEXT_VRS else None


def _copy_large(raw: RawDataElement, source: IO[bytes], target: IO[bytes], big: bool, implicit: bool) -> None:
    vr = raw.VR or "UN"
    written_vr = vr if vr in EXPLICIT_VR_LENGTH_32 else "UN"  # PS3.5 section 6.2.2, note on long values
    padding = raw.length % 2
    length = raw.length + padding
    target.write(struct.pack("<HH", raw.tag.group, raw.tag.element))
    target.write(struct.pack("<I", length) if implicit else struct.pack("<2s2xI", written_vr.encode(), length))
    source.seek(raw.value_tell)
    word = {"SV": 8, "UV": 8}.get(vr) or WORD_SIZES.get(vr, 1)
    _copy(source, target, raw.length, word if big else 1, "a value")
    target.write((b" " if vr in TEXT_VRS and vr != "UI" else b"\0") * padding)


def _copy(source: IO[bytes], target: IO[bytes], length: int, word: int, what: str) -> None:
    while length:
        block = source.read(min(BLOCK, length))
        if not block:
            raise Permanent(f"{what} is shorter than its length says")
        length -= len(block)
        target.write(_swapped(block, word))


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
    _copy(source, target, length, word, "the pixel data")


def _carried_over(ds: Dataset, big: bool, depth: int = 0) -> Dataset:
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
                if depth >= DEEPEST_NESTING:
                    # pydicom's message about what it cannot write doubles with each level
                    raise Permanent(f"sequences are nested more than {DEEPEST_NESTING} deep")
                element.value = [_carried_over(item, big, depth + 1) for item in element.value]
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
