"""One compressed frame to numbers, whatever the codec; what does not fit its description is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.codestream import Codestream, read_jpeg, read_jpeg_2000, trimmed
from karnak_core.pixels.errors import CannotDecode
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.libraries import OPENJPEG, is_codec_error, library
from karnak_core.pixels.native import meaningful_bits
from karnak_core.pixels.scans import probed
from karnak_core.pixels.xl import read_jpeg_xl

SOF3: Final = frozenset((ts.JPEG_LOSSLESS, ts.JPEG_LOSSLESS_SV1))
LS: Final = frozenset((ts.JPEG_LS, ts.JPEG_LS_NEAR))
WAVELET: Final = frozenset((ts.JPEG_2000_LOSSLESS, ts.JPEG_2000, ts.HTJ2K_LOSSLESS, ts.HTJ2K_RPCL, ts.HTJ2K))
XL: Final = frozenset((ts.JPEG_XL_LOSSLESS, ts.JPEG_XL_RECOMPRESSION, ts.JPEG_XL))


def decode_frame(encoded: bytes, image: ImageDescription, transfer_syntax_uid: str) -> Frame:
    """Return the stored values of a compressed frame, by pixel.

    Colours come as RGB where a codec has a colour transform of its own (JPEG with a cosine transform, JPEG 2000).

    Raises
    ------
    CannotDecode
        The codec refuses it, or it is not what the image's description says.
    """
    try:
        if transfer_syntax_uid == ts.RLE:
            return _rle(encoded, image)
        if transfer_syntax_uid in WAVELET:
            return _jpeg_2000(encoded, image)
        if transfer_syntax_uid in XL:
            return _jpeg_xl(encoded, image)
        return _jpeg(encoded, image, transfer_syntax_uid)
    except CannotDecode:
        raise
    except BaseException as error:  # codecs raise what they like
        if not is_codec_error(error):
            raise
        raise CannotDecode(f"a compressed frame cannot be decoded: {type(error).__name__}") from error


def _jpeg(encoded: bytes, image: ImageDescription, transfer_syntax_uid: str) -> Frame:
    encoded = trimmed(encoded)
    stream = read_jpeg(encoded)
    _check_size(stream, image)
    if transfer_syntax_uid in LS:
        return conform(library("imagecodecs").jpegls_decode(encoded), image, stream)
    if stream.samples == 1 or transfer_syntax_uid in SOF3:
        # no transform: what is called a colour space here is only that of the codec
        space = {1: "GRAYSCALE", 3: "RGB"}[stream.samples]
        spaces = {"colorspace": space, "outcolorspace": space}
    else:
        spaces = {"colorspace": "RGB" if _is_rgb(stream, image) else "YCBCR", "outcolorspace": "RGB"}
    more = probed(encoded)
    decode = library("imagecodecs").jpeg8_decode
    frame: Frame = decode(encoded, **spaces)
    # the codec makes up what is missing, and says nothing; of what is whole it reads no further
    if not np.array_equal(frame, decode(more, **spaces)):
        raise CannotDecode("a compressed frame is cut off: a scan ends before its last pixel")
    return conform(frame, image, stream)


def _is_rgb(stream: Codestream, image: ImageDescription) -> bool:
    """Say whether a cosine-transformed frame holds RGB as it is; the stream's own word goes before the data set's."""
    if stream.is_rgb or stream.is_ycc:
        return stream.is_rgb
    return image.photometric_interpretation == "RGB"


def _jpeg_2000(encoded: bytes, image: ImageDescription) -> Frame:
    encoded, stream = read_jpeg_2000(trimmed(encoded))
    _check_size(stream, image)
    with OPENJPEG:
        frame = library("openjpeg").decode(encoded, 0)
    return conform(frame, image, stream)


def _jpeg_xl(encoded: bytes, image: ImageDescription) -> Frame:
    # before anything is decoded: the decoder takes the memory for what a few bytes say
    size = read_jpeg_xl(encoded)
    if (size.rows, size.columns) != (image.rows, image.columns):
        raise CannotDecode(
            f"a compressed frame has {size.columns} columns and {size.rows} rows, but its data set says "
            f"{image.columns} and {image.rows}"
        )
    frame: Frame = library("imagecodecs").jpegxl_decode(encoded)
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.dtype.kind != "u":
        raise CannotDecode("a compressed frame of floating-point numbers")
    stream = Codestream(
        rows=frame.shape[0],
        columns=frame.shape[1],
        samples=frame.shape[2] if frame.ndim == 3 else 1,
        # the decoder gives the numbers of the stream in the smallest type that holds them
        precision=min(image.bits_stored, 8 * frame.dtype.itemsize),
    )
    _check_size(stream, image)
    if int(frame.max()) >> stream.precision:
        raise CannotDecode("a compressed frame has numbers of more bits than Bits Stored says")
    return conform(frame, image, stream)


def _rle(encoded: bytes, image: ImageDescription) -> Frame:
    _check_rle(encoded, image)
    pixels = image.rows * image.columns
    if image.bits_allocated == 1:
        raise CannotDecode("RLE frames of one bit cannot be decoded")
    try:
        codec = library("rle.rle").decode_frame
    except CannotDecode:
        data = _rle_without_library(encoded, image)
    else:
        data = _rle_with_library(codec, encoded, pixels, image.bits_allocated)
    flat: Frame = np.frombuffer(data, dtype=image.dtype.newbyteorder("<"))
    if image.samples_per_pixel > 1:
        # always by plane (PS3.5 section G.2)
        planes = flat.reshape(image.samples_per_pixel, image.rows, image.columns)
        flat = np.ascontiguousarray(planes.transpose(1, 2, 0))
    # the container as it is: what is above Bits Stored may be anything, as in native pixel data
    return meaningful_bits(flat.reshape(image.shape), image)


def _rle_with_library(codec: Callable[..., bytearray], encoded: bytes, pixels: int, bits: int) -> bytearray:
    try:
        # it says nothing of segments that are too long, and the frame would be another one: two pixels more, as one
        # byte may be padding, must be too many for it
        codec(encoded, pixels + 2, bits, "<")
    except ValueError:
        return codec(encoded, pixels, bits, "<")
    raise CannotDecode("an RLE frame has more pixels than its data set says")


def _check_rle(encoded: bytes, image: ImageDescription) -> None:
    expected = image.samples_per_pixel * max(image.bits_allocated // 8, 1)
    count = int.from_bytes(encoded[:4], "little")
    if len(encoded) < 64 or count != expected:
        raise CannotDecode(f"an RLE frame of {count} segments, not {expected} (DICOM PS3.5 section G.5)")


def _rle_without_library(encoded: bytes, image: ImageDescription) -> bytearray:
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    decoded, _ = get_decoder(ts.RLE).as_buffer(
        encapsulate([encoded]),
        index=0,
        raw=True,
        decoding_plugin="pydicom",
        rows=image.rows,
        columns=image.columns,
        samples_per_pixel=image.samples_per_pixel,
        bits_allocated=image.bits_allocated,
        bits_stored=image.bits_stored,
        pixel_representation=image.pixel_representation,
        photometric_interpretation=image.photometric_interpretation,
        planar_configuration=1,
        number_of_frames=1,
        pixel_keyword="PixelData",
    )
    return bytearray(decoded)


def _check_size(stream: Codestream, image: ImageDescription) -> None:
    if (stream.rows, stream.columns, stream.samples) != (image.rows, image.columns, image.samples_per_pixel):
        raise CannotDecode(
            f"a compressed frame has {stream.columns} columns, {stream.rows} rows and {stream.samples} samples per "
            f"pixel, but its data set says {image.columns}, {image.rows} and {image.samples_per_pixel}"
        )


def conform(frame: Frame, image: ImageDescription, stream: Codestream) -> Frame:
    """Return a decoded frame in the type that its data set says, with its sign.

    Most codecs do not know of signs, and streams are found whose precision is not Bits Stored.

    Raises
    ------
    CannotDecode
        There are numbers that Bits Stored cannot say, or it is not clear which ones are negative.
    """
    if frame.shape != image.shape:
        raise CannotDecode("a compressed frame does not have the size that its header says")
    stored, precision = image.bits_stored, stream.precision
    if precision == stored and stream.signed == bool(image.pixel_representation):
        return frame.astype(image.dtype, copy=False)
    if precision == stored:
        # the codec knows of no sign, or of another one: the bits are right
        bits: Frame = frame.astype(image.dtype)
        unused = 8 * bits.dtype.itemsize - stored
        np.left_shift(bits, unused, out=bits)
        return np.right_shift(bits, unused, out=bits)
    wide = np.dtype(f"i{min(2 * max(frame.dtype.itemsize, image.dtype.itemsize), 8)}")
    numbers: Any = frame.astype(wide, copy=False)
    if precision < stored:
        ambiguous = image.pixel_representation and not stream.signed and int(numbers.max()) >> (precision - 1)
        if ambiguous or (not image.pixel_representation and int(numbers.min()) < 0):
            raise CannotDecode(f"signed pixels of {stored} bits in a stream of {precision} bits without a sign")
        return np.asarray(numbers.astype(image.dtype))
    if precision > 62:
        raise CannotDecode(f"a compressed frame of {precision} bits per sample")
    low = numbers & ((1 << stored) - 1)
    meant = (low ^ (1 << (stored - 1))) - (1 << (stored - 1)) if image.pixel_representation else low
    # more bits than those stored must be zero or repeat the sign
    whole = numbers & ((1 << precision) - 1)
    if not bool(np.all((whole == low) | (whole == (meant & ((1 << precision) - 1))))):
        raise CannotDecode(f"a compressed frame has numbers of more bits than Bits Stored {stored} says")
    return np.asarray(meant.astype(image.dtype))
