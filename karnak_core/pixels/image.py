"""What a data set says of its pixels (PS3.3 sections C.7.6.3 and C.7.6.24), checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from karnak_core.expressions.values import UNREADABLE
from karnak_core.pixels.errors import CannotDecode
from karnak_core.pixels.reading import reading, whole_number

Frame = NDArray[Any]
Kind = Literal["pixel", "float", "double"]

PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
KINDS: Final[dict[int, Kind]] = {
    PIXEL_DATA: "pixel",
    FLOAT_PIXEL_DATA: "float",
    DOUBLE_FLOAT_PIXEL_DATA: "double",
}
#: samples per pixel by photometric interpretation (PS3.3 section C.7.6.3.1.2)
SAMPLES: Final = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
    "XYB": 3,
}
#: bytes of one decoded frame that are held in memory at most
LARGEST_FRAME: Final = 1 << 30


@dataclass(frozen=True, kw_only=True)
class ImageDescription:
    """How the pixels of an image are stored; it is that of its data set."""

    #: pixels, 1–65535 each
    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    #: bits of a number that mean something, the lowest ones once a frame is decoded
    bits_stored: int
    high_bit: int
    #: 0: unsigned, 1: signed, two's complement
    pixel_representation: int
    photometric_interpretation: str
    #: 0: by pixel, 1: by plane; decoded frames are by pixel whatever it says
    planar_configuration: int
    number_of_frames: int
    kind: Kind

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers of a decoded frame, in the machine's byte order; one bit is a ``uint8``, 0 or 1."""
        if self.kind != "pixel":
            return np.dtype("f4" if self.kind == "float" else "f8")
        return np.dtype(f"{'i' if self.pixel_representation else 'u'}{max(self.bits_allocated, 8) // 8}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a decoded frame: (rows, columns) or (rows, columns, samples)."""
        size = (self.rows, self.columns)
        return size if self.samples_per_pixel == 1 else (*size, self.samples_per_pixel)

    @property
    def frame_bits(self) -> int:
        """Bits of one frame in native form (PS3.5 section 8.1.1); chroma of YBR_*_422 is there once for two pixels."""
        samples = self.rows * self.columns * self.samples_per_pixel
        if self.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            samples = self.rows * self.columns * 2
        return samples * self.bits_allocated

    @property
    def lowest(self) -> int:
        """The lowest number that bits stored can say."""
        return -(1 << (self.bits_stored - 1)) if self.pixel_representation else 0

    @property
    def highest(self) -> int:
        """The highest number that bits stored can say."""
        return (1 << (self.bits_stored - self.pixel_representation)) - 1


def describe(header: Dataset, tag: int) -> ImageDescription:
    """Return what a header says of the pixels in the element ``tag``.

    Raises
    ------
    CannotDecode
        An attribute is missing or cannot be, or they contradict one another.
    """
    kind = KINDS[tag]
    pixel = kind == "pixel"
    allocated = _number(header, "BitsAllocated", None)
    with reading("the pixels cannot be read: PhotometricInterpretation", CannotDecode):
        photometric = str(header.get("PhotometricInterpretation") or "").strip()
    image = ImageDescription(
        rows=_number(header, "Rows", None),
        columns=_number(header, "Columns", None),
        samples_per_pixel=_number(header, "SamplesPerPixel", None if pixel else 1),
        bits_allocated=allocated,
        bits_stored=_number(header, "BitsStored", None) if pixel else allocated,
        high_bit=_number(header, "HighBit", _number(header, "BitsStored", allocated) - 1) if pixel else allocated - 1,
        pixel_representation=_number(header, "PixelRepresentation", None) if pixel else 0,
        photometric_interpretation=photometric or ("" if pixel else "MONOCHROME2"),
        planar_configuration=_number(header, "PlanarConfiguration", 0),
        number_of_frames=_number(header, "NumberOfFrames", 1) or 1,
        kind=kind,
    )
    _check(image)
    return image


def _number(header: Dataset, keyword: str, default: int | None) -> int:
    try:
        value = header.get(keyword)
        if value is None or value == "":
            if default is None:
                raise CannotDecode(f"the pixels cannot be read: {keyword} is missing (DICOM PS3.3 section C.7.6.3)")
            return default
        return whole_number(value)
    except UNREADABLE:  # their messages may quote a value
        raise CannotDecode(f"the pixels cannot be read: {keyword} is not one number") from None


def _check(image: ImageDescription) -> None:
    wrong = ""
    if not 1 <= image.rows <= 0xFFFF or not 1 <= image.columns <= 0xFFFF:
        wrong = f"{image.columns} columns, {image.rows} rows"
    elif image.number_of_frames < 1:
        wrong = "Number of Frames is less than 1"
    elif SAMPLES.get(image.photometric_interpretation) != image.samples_per_pixel:
        wrong = f"{image.samples_per_pixel} samples per pixel of Photometric Interpretation {_shown(image)}"
    elif image.kind != "pixel":
        if image.bits_allocated != {"float": 32, "double": 64}[image.kind]:
            wrong = f"Bits Allocated {image.bits_allocated} for {image.kind} pixels"
    elif image.bits_allocated not in (1, 8, 16, 32, 64):
        wrong = f"Bits Allocated {image.bits_allocated}"
    elif not 1 <= image.bits_stored <= image.bits_allocated:
        wrong = f"Bits Stored {image.bits_stored} of Bits Allocated {image.bits_allocated}"
    elif not image.bits_stored - 1 <= image.high_bit < image.bits_allocated:
        wrong = f"High Bit {image.high_bit} for Bits Stored {image.bits_stored}"
    elif image.pixel_representation not in (0, 1) or image.planar_configuration not in (0, 1):
        wrong = "Pixel Representation or Planar Configuration is neither 0 nor 1"
    elif image.frame_bits // 8 > LARGEST_FRAME:
        wrong = f"a frame of {image.frame_bits // 8} bytes"
    if wrong:
        raise CannotDecode(f"the pixels cannot be read: {wrong} (DICOM PS3.3 section C.7.6.3)")


def _shown(image: ImageDescription) -> str:
    # a value that is none of the defined terms may be anything
    known = image.photometric_interpretation in SAMPLES
    return image.photometric_interpretation if known else "that is not a known one"
