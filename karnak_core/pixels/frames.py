"""Decoded frames of a data set in a file, one at a time: never more than one is held in memory."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, replace
from typing import IO, BinaryIO, Final, Self, cast

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from karnak_core.pixels.decode import decode_frame
from karnak_core.pixels.errors import CannotDecode
from karnak_core.pixels.fragments import Fragments, frame_fragments
from karnak_core.pixels.image import KINDS, PIXEL_DATA, Frame, ImageDescription, describe
from karnak_core.pixels.native import frame_extent, read_little_endian, to_frame, word_size
from karnak_core.pixels.reading import reading
from karnak_core.pixels.syntaxes import DCT, NATIVE, can_decode, why_not_decoded

UNDEFINED: Final = 0xFFFFFFFF
PIXEL_GROUP: Final = 0x7FE0
#: photometric interpretations that decoders turn into RGB
DECODED_TO_RGB: Final = frozenset(("YBR_ICT", "YBR_RCT"))


@dataclass(frozen=True, kw_only=True)
class PixelElement:
    """Where Pixel Data, Float Pixel Data or Double Float Pixel Data is in a file."""

    tag: int
    vr: str
    #: where the value begins, behind tag, VR and length
    offset: int
    #: bytes; 0xFFFFFFFF: undefined, it is encapsulated
    length: int


class PixelSource:
    """The frames of one data set.

    Parameters
    ----------
    file
        Binary, seekable; it is read under a lock, so that several threads may ask for frames.
    header
        The root level without the elements of group 7FE0.
    transfer_syntax_uid
        How pixels are encoded; not a deflated one: inflate it first.
    element
        Where they are.

    Attributes
    ----------
    image : ImageDescription
        What the header says.
    photometric_interpretation : str
        That of the frames that :meth:`frame` returns: chroma is at full width then, and colours that a codec has
        turned into luminance and chroma are RGB again.
    end : int
        Where in the file the next element begins.

    Raises
    ------
    CannotDecode
        The description contradicts itself or the data, or the data is cut off, or in a syntax that cannot be decoded.
    """

    def __init__(self, file: IO[bytes], header: Dataset, transfer_syntax_uid: str, element: PixelElement) -> None:
        self.header = header
        self.transfer_syntax_uid = transfer_syntax_uid
        self.element = element
        self.image = describe(header, element.tag)
        self.is_native = transfer_syntax_uid in NATIVE
        self._file = file
        self._lock = threading.Lock()
        self._word = 1
        self._fragments: list[Fragments] = []
        if self.is_native:
            self._open_native()
        else:
            self._open_encapsulated()
        self.photometric_interpretation = self._decoded_photometric_interpretation()

    @classmethod
    def open(cls, file: IO[bytes], transfer_syntax_uid: str, dataset_offset: int = 0) -> Self:
        """Read the header of the data set that begins at ``dataset_offset``, and find its pixels.

        Raises
        ------
        CannotDecode
            As the class; or there are no pixels.
        """
        header, element = read_header(file, transfer_syntax_uid, dataset_offset)
        if element is None:
            raise CannotDecode("there is no pixel data")
        return cls(file, header, transfer_syntax_uid, element)

    @property
    def output_image(self) -> ImageDescription:
        """The description of the frames as :meth:`frame` returns them."""
        return replace(
            self.image,
            photometric_interpretation=self.photometric_interpretation,
            planar_configuration=0,
            high_bit=self.image.bits_stored - 1,
        )

    def frame(self, index: int) -> Frame:
        """Return the stored values of a frame, (rows, columns) or (rows, columns, samples), from 0.

        It is the caller's own where it is writable; no lookup table and no rescaling is applied.

        Raises
        ------
        CannotDecode
            It is cut off, corrupt, or not what the header says.
        """
        if not 0 <= index < self.image.number_of_frames:
            raise IndexError(index)
        if self.is_native:
            start, length, skip = frame_extent(self.image, index)
            with self._lock:
                data = read_little_endian(self._file, self.element.offset, start, length, self._word)
            return to_frame(data, self.image, skip)
        return decode_frame(self.encoded_frame(index), self.image, self.transfer_syntax_uid)

    def encoded_frame(self, index: int) -> bytes:
        """Return a frame of encapsulated pixel data as it is, its fragments joined."""
        parts = []
        with self._lock:
            for offset, length in self._fragments[index]:
                self._file.seek(offset)
                parts.append(self._file.read(length))
                if len(parts[-1]) < length:
                    raise CannotDecode("the pixel data is cut off inside a fragment")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def encoded_length(self) -> int:
        """Bytes of all frames of encapsulated pixel data."""
        return sum(length for fragments in self._fragments for _, length in fragments)

    def native_bytes(self, start: int, length: int) -> bytes | bytearray:
        """Return bytes of the value of native pixel data as they are in Little Endian."""
        with self._lock:
            return read_little_endian(self._file, self.element.offset, start, length, self._word)

    def _open_native(self) -> None:
        length = self.element.length
        if length == UNDEFINED:
            raise CannotDecode("compressed pixel data in an uncompressed transfer syntax")
        if self.transfer_syntax_uid == ExplicitVRBigEndian:
            self._word = word_size(self.element.vr, self.image.bits_allocated)
        expected = -(-self.image.frame_bits * self.image.number_of_frames // 8)
        if length < expected:
            raise CannotDecode(f"the pixel data has {length} bytes, its frames {expected}")
        if length - expected >= max(self.image.frame_bits // 8, 2):
            raise CannotDecode(f"the pixel data has {length} bytes, its frames only {expected}")
        self.end = self.element.offset + length
        if self._file.seek(0, 2) < self.element.offset + expected:
            raise CannotDecode("the pixel data is cut off: the file ends inside it")

    def _open_encapsulated(self) -> None:
        if self.element.tag != PIXEL_DATA or self.element.length != UNDEFINED:
            raise CannotDecode("uncompressed pixel data in a compressed transfer syntax")
        if not can_decode(self.transfer_syntax_uid):
            raise CannotDecode(why_not_decoded(self.transfer_syntax_uid))
        self._fragments, self.end = frame_fragments(self._file, self.element.offset, self.image.number_of_frames)

    def _decoded_photometric_interpretation(self) -> str:
        said = self.image.photometric_interpretation
        # decoding a cosine transform rounds anyway, and everybody expects RGB of it
        if said in DECODED_TO_RGB or (self.transfer_syntax_uid in DCT and said.startswith("YBR_")):
            return "RGB"
        if said == "YBR_FULL_422":
            return "YBR_FULL"
        if said.startswith("YBR_PARTIAL"):
            raise CannotDecode(f"pixels in {said} cannot be decoded")
        return said


def read_header(
    file: IO[bytes], transfer_syntax_uid: str, dataset_offset: int = 0
) -> tuple[Dataset, PixelElement | None]:
    """Read the root level up to the pixels; elements of group 7FE0 are left out.

    Returns
    -------
    tuple
        The header, and where the pixels are; None: there are none. Values are not decoded.

    Raises
    ------
    CannotDecode
        It is no data set.
    """
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    big = transfer_syntax_uid == ExplicitVRBigEndian
    file.seek(dataset_offset)
    with reading("the header", CannotDecode):
        header = read_dataset(
            cast(BinaryIO, file),
            is_implicit_VR=implicit,
            is_little_endian=not big,
            stop_when=lambda tag, _vr, _length: int(tag) in KINDS,
        )
    for tag in [tag for tag in header.keys() if tag.group == PIXEL_GROUP]:  # noqa: SIM118 (keys are not decoded)
        del header[tag]
    start = file.tell()
    return header, _element(file, start, header, big)


def _element(file: IO[bytes], start: int, header: Dataset, big: bool) -> PixelElement | None:
    file.seek(start)
    order = ">" if big else "<"
    head = file.read(12)
    if len(head) < 8:
        return None
    group, number = struct.unpack(order + "HH", head[:4])
    tag = group << 16 | number
    if tag not in KINDS:
        return None
    vr = head[4:6].decode("latin-1")
    if vr in ("OB", "OW", "UN", "OF", "OD") and len(head) == 12:
        (length,) = struct.unpack(order + "I", head[8:12])
        return PixelElement(tag=tag, vr=vr, offset=start + 12, length=length)
    (length,) = struct.unpack("<I", head[4:8])
    vr = {"pixel": "OW", "float": "OF", "double": "OD"}[KINDS[tag]]
    return PixelElement(tag=tag, vr=vr, offset=start + 8, length=length)
