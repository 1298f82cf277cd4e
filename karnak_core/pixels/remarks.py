"""What compressed frames say beside their pixels, and what lies behind pixels: it goes, and no pixel changes.

Cameras write into a JPEG where and when it was taken, and a small picture of it; devices write comments into JPEG and
JPEG 2000. A profile, which decides about data elements, sees none of that.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import IO, Any, Final

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.codestream import jpeg_segments
from karnak_core.pixels.element import write_encapsulated, write_native
from karnak_core.pixels.errors import CannotDecode, CannotTranscode
from karnak_core.pixels.fragments import ITEM, frame_fragments
from karnak_core.pixels.frames import UNDEFINED, PixelElement
from karnak_core.pixels.image import KINDS, describe
from karnak_core.pixels.libraries import is_codec_error, library
from karnak_core.pixels.reading import reading, whole_number

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_COMMENT, _SCAN = 0xFE, 0xDA
_APPLICATION: Final = range(0xE0, 0xF0)
#: application data that says how the numbers are colours: by marker, how it begins
_COLORS: Final = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xE8: b"mrfx", 0xEE: b"Adobe"}
#: SPIFF's header, which is numbers, and the end of its directory, which may have names (ITU T.84 annex F)
_SPIFF: Final = re.compile(rb"SPIFF\x00.{24}|\x00\x00\x00\x01\xff\xd8", re.DOTALL)
#: comments of JPEG 2000 by which codecs say who they are: with them, most frames can stay as they are
_CODECS: Final = re.compile(
    rb"\x00\x01(Kakadu-v?|Created by (GDCM/)?OpenJPEG version |Creator: JasPer Version |OpenJPH Ver )[\d.]{1,12}\x00?"
)
#: JFIF without its small picture (ITU T.871 section 10.1): identifier, version, density, no columns, no rows
_JFIF: Final = 12
_JP2, _CODESTREAM = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
#: boxes of JP2 that make the image (ITU T.800 annex I)
_JP2_BOXES: Final = frozenset((b"jP  ", b"ftyp", b"jp2h", b"jp2c"))
_XL: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
#: boxes of JPEG XL that make the image (ISO/IEC 18181-2); jbrd has what makes it the same JPEG again
_XL_BOXES: Final = frozenset((b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp", b"jbrd"))
_J2K_COMMENT, _J2K_TILE = b"\xff\x64", b"\xff\x90"
#: what may fill a frame up to an even length
_FILLING: Final = b"\0\xff \n\r"
#: bytes at the beginning of a frame that mostly hold all in front of the pixels, and at its end
_HEAD, _TAIL = 16 << 10, 64
#: bytes that are copied at a time
_BLOCK: Final = 1 << 20
#: Samples per Pixel; Number of Frames
_SAMPLES, _FRAMES = BaseTag(0x00280002), BaseTag(0x00280008)
#: what says how many bytes a frame of one sample takes: with rows, columns, bits allocated
_SIZE: Final = (_SAMPLES, BaseTag(0x00280010), BaseTag(0x00280011), BaseTag(0x00280100))


def without_remarks(frame: bytes, transfer_syntax_uid: str) -> bytes:
    """Return a compressed frame with nothing but what makes its pixels; the same object where there is nothing else.

    Raises
    ------
    CannotDecode
        What comes before the pixels cannot be read.
    """
    try:
        if frame.startswith(_SOI):
            return _jpeg(frame)
        if frame.startswith(_CODESTREAM):
            return _codestream(frame)
        if frame.startswith(_JP2):
            return _boxes(frame, _JP2_BOXES)
        if frame.startswith(_XL):
            return _jpeg_xl(frame, transfer_syntax_uid)
    except (struct.error, IndexError) as error:
        raise CannotDecode("a compressed frame is cut off before its pixels") from error
    return frame


def remarks_in(file: IO[bytes], element: PixelElement, header: Dataset, transfer_syntax_uid: str) -> bool:
    """Tell whether pixel data has something beside its pixels that `write_without` takes out.

    Parameters
    ----------
    header
        What describes the pixels.

    Raises
    ------
    CannotDecode
        The pixel data is cut off.
    """
    if element.length != UNDEFINED:
        return element.tag in KINDS and _has_surplus(file, element, header)
    return any(_has_remarks(file, *one, transfer_syntax_uid) for one in _fragments(file, element.offset))


def write_without(
    file: IO[bytes], element: PixelElement, header: Dataset, transfer_syntax_uid: str, write: IO[bytes]
) -> None:
    """Write the elements of the pixels again, without what is beside them.

    Raises
    ------
    CannotTranscode
        It is not clear what belongs to which frame.
    """
    if element.length != UNDEFINED:
        _write_native(file, element, header, transfer_syntax_uid, write)
        return
    with reading("NumberOfFrames"):
        count = whole_number(header.get("NumberOfFrames") or 1)
    if count < 1:
        raise CannotTranscode("Number of Frames is less than 1")
    frames, _ = frame_fragments(file, element.offset, count)

    def bare() -> Iterator[bytes]:
        for parts in frames:
            whole = b"".join([_read(file, offset, length) for offset, length in parts])
            yield without_remarks(whole, transfer_syntax_uid)

    write_encapsulated(write, count, bare(), extended="ExtendedOffsetTable" in header)


def _has_remarks(file: IO[bytes], offset: int, length: int, syntax: str) -> bool:
    """Look at the beginning and the end of a fragment, and at all of it only where that does not tell."""
    head = _read(file, offset, min(length, _HEAD))
    if not head.startswith((_SOI, _CODESTREAM, _JP2, _XL)):
        return False
    whole = head
    try:
        if length > _HEAD:
            if head.startswith((_SOI, _CODESTREAM)):
                tail = _read(file, offset + length - _TAIL, _TAIL)
                # what is in front of the pixels, as if it were all
                if tail.rstrip(_FILLING).endswith(_EOI) and _is_bare(head, syntax):
                    return False
            whole = _read(file, offset, length)
        return without_remarks(whole, syntax) is not whole
    except CannotDecode:
        return True  # the rest of it may be in the next fragment


def _is_bare(head: bytes, syntax: str) -> bool:
    try:
        return without_remarks(head, syntax) is head
    except CannotDecode:
        return False  # there is more than that in front of the pixels


def _jpeg(frame: bytes) -> bytes:
    parts = [_SOI]
    offset, same = 2, True
    while True:
        while frame[offset + 1] == 0xFF:
            offset += 1
        mark, marker, length = struct.unpack_from(">BBH", frame, offset)
        if mark != 0xFF or marker == 0 or 0xD0 <= marker <= 0xD9 or length < 2:
            raise CannotDecode("a compressed frame is corrupt: a JPEG marker is missing")
        segment = frame[offset : offset + 2 + length]
        offset += 2 + length
        if offset > len(frame):
            raise CannotDecode("a compressed frame is cut off inside a JPEG marker")
        kept = _kept(marker, segment)
        same = same and kept is segment
        parts.append(kept)
        if marker == _SCAN:
            break
    end = frame.rfind(_EOI, offset) + 2
    if end > 1 and (not same or frame[end:].strip(_FILLING)):
        # cameras put a second picture behind the first one
        *_, last = jpeg_segments(frame[:end], alone=False)
        parts.append(frame[offset : last.end + 2])
    elif same:
        return frame
    else:
        parts.append(frame[offset:])
    return b"".join(parts)


def _kept(marker: int, segment: bytes) -> bytes:
    """Return what stays of a marker segment."""
    if marker == _COMMENT:
        return b""
    if marker not in _APPLICATION:
        return segment
    if marker == 0xE8 and _SPIFF.fullmatch(segment, 4):
        return segment
    begins = _COLORS.get(marker)
    if begins is None or not segment.startswith(begins, 4):
        return b""
    if marker == 0xE0 and len(segment) > 4 + len(begins) + 9:
        # its small picture
        return struct.pack(">BBH", 0xFF, marker, 2 + len(begins) + 9) + segment[4 : 4 + _JFIF] + b"\0\0"
    return segment


def _codestream(frame: bytes) -> bytes:
    offset, parts = 2, [frame[:2]]
    while frame[offset : offset + 2] != _J2K_TILE:
        marker, length = frame[offset : offset + 2], struct.unpack_from(">H", frame, offset + 2)[0]
        if length < 2 or offset + 2 + length > len(frame):
            raise CannotDecode("a compressed frame is corrupt: the header of a JPEG 2000 codestream has no end")
        if marker != _J2K_COMMENT or _CODECS.fullmatch(frame, offset + 4, offset + 2 + length):
            parts.append(frame[offset : offset + 2 + length])
        offset += 2 + length
    end = frame.rfind(_EOI) + 2
    if end < offset or not frame[end:].strip(_FILLING):
        end = len(frame)
    if sum(map(len, parts)) == offset and end == len(frame):
        return frame
    return b"".join((*parts, frame[offset:end]))


def _boxes(frame: bytes, known: frozenset[bytes]) -> bytes:
    parts: list[bytes] = []
    offset, same = 0, True
    while offset < len(frame.rstrip(b"\0")):
        length, kind = struct.unpack_from(">I4s", frame, offset)
        size, head = length, 8
        if length == 1:
            (size,), head = struct.unpack_from(">Q", frame, offset + 8), 16
        end = offset + size if length else len(frame)
        if end - offset < head or end > len(frame):
            raise CannotDecode("a compressed frame is corrupt: a box has no end")
        if kind not in known:
            same = False
        elif kind == b"jp2c":
            stream = frame[offset + head : end]
            bare = _codestream(stream)
            same = same and bare is stream
            parts += (struct.pack(">I4s", len(bare) + 8, b"jp2c"), bare)
        else:
            parts.append(frame[offset:end])
        offset = end
    return frame if same else b"".join(parts)


def _jpeg_xl(frame: bytes, transfer_syntax_uid: str) -> bytes:
    if transfer_syntax_uid != ts.JPEG_XL_RECOMPRESSION:
        return _boxes(frame, _XL_BOXES - {b"jbrd"})
    # what the JPEG said lies compressed in it
    codecs: Any = library("imagecodecs")
    try:
        jpeg = bytes(codecs.jpegxl_decode_jpeg(frame))
        bare = _jpeg(jpeg)
        return _boxes(frame, _XL_BOXES) if bare is jpeg else bytes(codecs.jpegxl_encode_jpeg(bare))
    except CannotDecode:
        raise
    except BaseException as error:  # codecs raise what they like
        if not is_codec_error(error):
            raise
        raise CannotDecode(f"a compressed frame is no JPEG in JPEG XL: {type(error).__name__}") from error


def _has_surplus(file: IO[bytes], element: PixelElement, header: Dataset) -> bool:
    if element.length == _gray_length(header):
        return False
    try:
        image = describe(header, element.tag)
    except CannotDecode:
        return False  # it cannot be told where the pixels end
    expected = -(-image.frame_bits * image.number_of_frames // 8)
    surplus = element.length - expected
    # as much as a frame is perhaps one
    if not 1 < surplus < max(image.frame_bits // 8, 2):
        return False
    return any(any(_read(file, element.offset + start, length)) for start, length in _blocks(expected, element.length))


def _gray_length(header: Dataset) -> int | None:
    """Return how many bytes pixels of one number each take, sooner than `describe`; None: one has to look closer."""
    bits = 1
    for tag in _SIZE:
        element = header.get_item(tag)
        if not isinstance(element, RawDataElement) or element.value is None or len(element.value) != 2:
            return None
        number = int.from_bytes(element.value, "little" if element.is_little_endian else "big")
        if tag == _SAMPLES and number != 1:
            return None
        bits *= number
    frames = header.get_item(_FRAMES)
    if frames is not None:
        if not isinstance(frames, RawDataElement) or not (frames.value or b"").strip(b" \0").isdigit():
            return None
        bits *= int((frames.value or b"").strip(b" \0"))
    return None if bits % 8 else bits // 8


def _write_native(file: IO[bytes], element: PixelElement, header: Dataset, syntax: str, write: IO[bytes]) -> None:
    if syntax == ts.BIG_ENDIAN:
        raise CannotTranscode("behind the last frame is something else, and Big Endian is not written")
    image = describe(header, element.tag)
    expected = -(-image.frame_bits * image.number_of_frames // 8)
    parts = (_read(file, element.offset + start, length) for start, length in _blocks(0, expected))
    write_native(write, element.tag, element.vr or "OW", expected, parts, implicit=syntax == ts.IMPLICIT)


def _blocks(start: int, end: int) -> Iterator[tuple[int, int]]:
    return ((at, min(_BLOCK, end - at)) for at in range(start, end, _BLOCK))


def _fragments(file: IO[bytes], offset: int) -> Iterator[tuple[int, int]]:
    """Yield where the fragments behind the Basic Offset Table are, up to where they end or cannot be read."""
    is_table = True
    while len(head := os.pread(file.fileno(), 8, offset)) == 8:
        group, number, length = struct.unpack("<HHI", head)
        if group << 16 | number != ITEM or length == UNDEFINED:
            return
        if not is_table and length:
            yield offset + 8, length
        is_table = False
        offset += 8 + length


def _read(file: IO[bytes], offset: int, length: int) -> bytes:
    value = os.pread(file.fileno(), length, offset)
    if len(value) < length:
        raise CannotDecode("the pixel data is cut off inside a fragment")
    return value
