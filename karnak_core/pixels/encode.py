"""One frame of numbers to a compressed frame, by the libraries' codecs: what each of them must be given."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.codestream import without_color_marks
from karnak_core.pixels.errors import CannotTranscode
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.libraries import OPENJPEG, is_codec_error, library

#: predictors of JPEG lossless (ITU T.81 Table H.1); SV1 is called after its own
PREDICTORS: Final[Mapping[str, int]] = {ts.JPEG_LOSSLESS: 6, ts.JPEG_LOSSLESS_SV1: 1}
#: bytes that a lossy frame of the JPEG 2000 family may have, whatever the ratio: of a small image most are header
LEAST: Final = 512
#: quantization steps between which one is looked for that gives an HTJ2K frame its ratio
STEPS: Final = (1e-6, 0.5)
#: the same for JPEG 2000: what noise is, as a part of the signal. Decibels are what the codec is told
NOISE: Final = (1e-10, 1e-1)
#: OpenJPEG's own number of resolutions, 6, halves both sides five times
SMALLEST_SIDE: Final = 32
#: how often the distance between them is halved
HALVINGS: Final = 12


@dataclass(frozen=True, kw_only=True)
class TranscodeOptions:
    """How much may be lost in lossy transfer syntaxes."""

    #: JPEG and JPEG XL: 1 to 100
    quality: int = 85
    #: JPEG 2000 and HTJ2K: bytes before by bytes afterwards, more than 1
    ratio: float = 10.0
    #: JPEG-LS near-lossless: what a number may differ by, 1 to 255, and never more than half of the largest number
    near_lossless_error: int = 2
    #: pixel data of more bytes than this has an Extended Offset Table, as the Basic one has 32 bits
    largest_with_basic_offsets: int = 0xF0000000


Encode = Callable[[Frame], bytes]


def encoder(
    transfer_syntax_uid: str, image: ImageDescription, options: TranscodeOptions
) -> tuple[Encode, ImageDescription]:
    """Return what compresses frames, and the description that the compressed ones need.

    Parameters
    ----------
    image
        The frames that are given; by pixel.

    Raises
    ------
    CannotTranscode
        There is no encoder; or, by what is returned, the codec refuses a frame.
    """
    make = _ENCODERS.get(transfer_syntax_uid)
    if make is None:
        raise CannotTranscode(f"no library encodes pixels in transfer syntax {transfer_syntax_uid}")
    encode, described = make(transfer_syntax_uid, image, options)

    def safely(frame: Frame) -> bytes:
        try:
            return encode(frame)
        except BaseException as error:  # codecs raise what they like
            if not is_codec_error(error) or isinstance(error, CannotTranscode):
                raise
            keyword = ts.SYNTAXES[transfer_syntax_uid].keyword
            raise CannotTranscode(f"the codec of {keyword} refuses the pixels: {type(error).__name__}") from error

    return safely, described


_Made = tuple[Encode, ImageDescription]


def unsigned(frame: Frame, bits: int) -> Frame:
    """Return the lowest bits of a frame's numbers, without a sign, in the smallest type that holds them."""
    narrow = np.dtype("u1" if bits <= 8 else "u2")
    if frame.dtype.kind == "u":
        return np.ascontiguousarray(frame, dtype=narrow)
    container: Any = np.ascontiguousarray(frame).view(f"u{frame.dtype.itemsize}")
    return np.asarray((container & ((1 << bits) - 1)).astype(narrow, copy=False))


def _rle(_uid: str, image: ImageDescription, _options: TranscodeOptions) -> _Made:
    def encode(frame: Frame) -> bytes:
        return bytes(
            library("rle.utils").encode_pixel_data(
                np.ascontiguousarray(frame).tobytes(),
                rows=image.rows,
                columns=image.columns,
                samples_per_pixel=image.samples_per_pixel,
                bits_allocated=image.bits_allocated,
                number_of_frames=1,
                byteorder="<",
            )
        )

    return encode, replace(image, planar_configuration=1 if image.samples_per_pixel > 1 else 0)


def _jpeg_lossless(uid: str, image: ImageDescription, _options: TranscodeOptions) -> _Made:
    # the same before and after: there is no transform. Not YCBCR: what the codec makes of it, few others can decode
    space = "GRAYSCALE" if image.samples_per_pixel == 1 else "RGB"
    is_other = image.samples_per_pixel > 1 and image.photometric_interpretation != "RGB"

    def encode(frame: Frame) -> bytes:
        encoded: bytes = library("imagecodecs").jpeg8_encode(
            unsigned(frame, image.bits_stored),
            lossless=True,
            predictor=PREDICTORS[uid],
            bitspersample=image.bits_stored,
            colorspace=space,
            outcolorspace=space,
        )
        return without_color_marks(encoded) if is_other else encoded

    return encode, image


def _jpeg(_uid: str, image: ImageDescription, options: TranscodeOptions) -> _Made:
    bits = 8 if image.bits_allocated == 8 else 12
    if image.samples_per_pixel == 1:
        spaces = {"colorspace": "GRAYSCALE", "outcolorspace": "GRAYSCALE"}
        described = replace(image, bits_stored=bits, high_bit=bits - 1)
    else:
        source = "RGB" if image.photometric_interpretation == "RGB" else "YCBCR"
        spaces = {"colorspace": source, "outcolorspace": "YCBCR", "subsampling": "422"}
        described = replace(image, photometric_interpretation="YBR_FULL_422")

    def encode(frame: Frame) -> bytes:
        numbers = unsigned(frame, bits)
        return bytes(library("imagecodecs").jpeg8_encode(numbers, options.quality, bitspersample=bits, **spaces))

    return encode, described


def _jpeg_ls(uid: str, image: ImageDescription, options: TranscodeOptions) -> _Made:
    # no more than half of the largest number: what is more no decoder takes (ITU T.87 section C.2.3)
    error = min(options.near_lossless_error, image.highest // 2) if uid == ts.JPEG_LS_NEAR else 0

    def encode(frame: Frame) -> bytes:
        return bytes(
            library("jpeg_ls").encode_pixel_data(
                unsigned(frame, image.bits_stored).tobytes(),
                lossy_error=error,
                rows=image.rows,
                columns=image.columns,
                samples_per_pixel=image.samples_per_pixel,
                bits_stored=image.bits_stored,
                planar_configuration=0,
            )
        )

    return encode, image


def _component_transform(image: ImageDescription, lossless: bool) -> tuple[bool, ImageDescription]:
    """Say whether colours are transformed, as only RGB is, and what they are called then (PS3.5 section 8.2.4)."""
    if image.photometric_interpretation != "RGB":
        return False, image
    return True, replace(image, photometric_interpretation="YBR_RCT" if lossless else "YBR_ICT")


def _narrow(image: ImageDescription) -> np.dtype[Any]:
    """Return the smallest type that holds the bits, which the codecs of the JPEG 2000 family want."""
    return np.dtype(f"{image.dtype.kind}{1 if image.bits_stored <= 8 else 2}")


def _jpeg_2000_lossless(_uid: str, image: ImageDescription, _options: TranscodeOptions) -> _Made:
    transform, described = _component_transform(image, lossless=True)
    narrow = _narrow(image)

    def encode(frame: Frame) -> bytes:
        # pylibjpeg-openjpeg refuses small images, and takes one thread at a time
        return bytes(
            library("imagecodecs").jpeg2k_encode(
                np.ascontiguousarray(frame, dtype=narrow),
                reversible=True,
                codecformat="J2K",
                bitspersample=image.bits_stored,
                mct=transform,
                numthreads=1,
            )
        )

    return encode, described


def _jpeg_2000(_uid: str, image: ImageDescription, options: TranscodeOptions) -> _Made:
    transform, described = _component_transform(image, lossless=False)
    narrow = _narrow(image)

    if min(image.rows, image.columns) < SMALLEST_SIDE:
        return _small_jpeg_2000(image, options, transform), described
    # the codec counts bits that are stored
    bits = image.rows * image.columns * image.samples_per_pixel * image.bits_stored
    ratio = min(options.ratio, max(1.0, bits / 8 / LEAST))

    def encode(frame: Frame) -> bytes:
        with OPENJPEG:
            return bytes(
                library("openjpeg.utils").encode_buffer(
                    np.ascontiguousarray(frame, dtype=narrow).tobytes(),
                    image.columns,
                    image.rows,
                    image.samples_per_pixel,
                    image.bits_stored,
                    bool(image.pixel_representation),
                    photometric_interpretation=1 if transform else 0,
                    use_mct=transform,
                    compression_ratios=[ratio],
                )
            )

    return encode, described


def _small_jpeg_2000(image: ImageDescription, options: TranscodeOptions, transform: bool) -> Encode:
    """Return what compresses frames that are too small to be halved as often as pylibjpeg-openjpeg does it.

    The other codec can be told how often; it takes decibels for a ratio, and those that give it are looked for.
    """
    resolutions = min(image.rows, image.columns).bit_length()

    def once(numbers: Frame, noise: float) -> bytes:
        return bytes(
            library("imagecodecs").jpeg2k_encode(
                numbers,
                -10 * math.log10(noise),
                reversible=False,
                codecformat="J2K",
                bitspersample=image.bits_stored,
                mct=transform,
                resolutions=resolutions,
                numthreads=1,
            )
        )

    def encode(frame: Frame) -> bytes:
        numbers = np.ascontiguousarray(frame, dtype=_narrow(image))
        noise = _loss_for(lambda part: len(once(numbers, part)), max(frame.nbytes / options.ratio, LEAST), NOISE)
        return once(numbers, noise)

    return encode


@cache
def _takes(function: str, parameter: str) -> bool:
    """Say whether the installed version of a codec knows a parameter."""
    return parameter in inspect.signature(getattr(library("imagecodecs"), function)).parameters


def _htj2k(uid: str, image: ImageDescription, options: TranscodeOptions) -> _Made:
    lossless = uid != ts.HTJ2K
    transform, described = _component_transform(image, lossless)
    narrow = _narrow(image)
    more: dict[str, Any] = {"rgb": transform}
    if uid == ts.HTJ2K_RPCL:
        # tile-part lengths, and a smallest resolution of 64 pixels in one direction (PS3.5 section 10.18); the order is
        # the codec's own, where it knows of no other
        more["tlm"] = True
        more["resolutions"] = max(5, ((min(image.rows, image.columns) - 1) // 64).bit_length())
        if _takes("htj2k_encode", "prog_order"):
            more["prog_order"] = "RPCL"
    if _takes("htj2k_encode", "bitspersample"):
        more["bitspersample"] = image.bits_stored
    elif not lossless:
        # for the codec all bits are used, and what is lost may make a number larger than it was
        bits = 8 * narrow.itemsize
        described = replace(described, bits_stored=bits, high_bit=bits - 1)

    def once(frame: Frame, step: float | None) -> bytes:
        codec = library("imagecodecs").htj2k_encode
        return bytes(codec(np.ascontiguousarray(frame, dtype=narrow), step, reversible=lossless, **more))

    if lossless:
        return lambda frame: once(frame, None), described
    found: list[float] = []

    def encode(frame: Frame) -> bytes:
        if not found:
            # the codec knows no ratio: the step that gives it for the first frame is that of all
            wanted = max(frame.nbytes / options.ratio, LEAST)
            found.append(_loss_for(lambda step: len(once(frame, step)), wanted, STEPS))
        return once(frame, found[0])

    return encode, described


def _loss_for(size: Callable[[float], int], wanted: float, bounds: tuple[float, float]) -> float:
    """Return the smallest loss, between two, that makes a frame of no more bytes than wanted; else the largest."""
    low, high = bounds
    if size(low) <= wanted:
        return low
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if size(middle) <= wanted else (middle, high)
    return high


def _jpeg_xl_lossless(_uid: str, image: ImageDescription, _options: TranscodeOptions) -> _Made:
    def encode(frame: Frame) -> bytes:
        numbers = unsigned(frame, image.bits_stored)
        return bytes(
            library("imagecodecs").jpegxl_encode(
                numbers, lossless=True, effort=3, usecontainer=False, bitspersample=image.bits_stored, numthreads=1
            )
        )

    return encode, image


def _jpeg_xl(_uid: str, image: ImageDescription, options: TranscodeOptions) -> _Made:
    # as the codec's own program has it: 1 is visually lossless, at a quality of 90
    distance = 0.1 + (100 - options.quality) * 0.09

    def encode(frame: Frame) -> bytes:
        return bytes(
            library("imagecodecs").jpegxl_encode(
                unsigned(frame, image.bits_stored),
                distance=distance,
                usecontainer=False,
                bitspersample=image.bits_stored,
                numthreads=1,
            )
        )

    return encode, replace(image, photometric_interpretation="XYB") if image.samples_per_pixel == 3 else image


_ENCODERS: Final[dict[str, Callable[[str, ImageDescription, TranscodeOptions], _Made]]] = {
    ts.RLE: _rle,
    ts.JPEG_LOSSLESS: _jpeg_lossless,
    ts.JPEG_LOSSLESS_SV1: _jpeg_lossless,
    ts.JPEG_BASELINE: _jpeg,
    ts.JPEG_EXTENDED: _jpeg,
    ts.JPEG_LS: _jpeg_ls,
    ts.JPEG_LS_NEAR: _jpeg_ls,
    ts.JPEG_2000_LOSSLESS: _jpeg_2000_lossless,
    ts.JPEG_2000: _jpeg_2000,
    ts.HTJ2K_LOSSLESS: _htj2k,
    ts.HTJ2K_RPCL: _htj2k,
    ts.HTJ2K: _htj2k,
    ts.JPEG_XL_LOSSLESS: _jpeg_xl_lossless,
    ts.JPEG_XL: _jpeg_xl,
}
