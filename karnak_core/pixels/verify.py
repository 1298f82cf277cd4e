"""Compressed frames decoded again before they are sent, by another decoder than the encoder's where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom.pixels.processing import convert_color_space

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.codestream import read_jpeg, trimmed
from karnak_core.pixels.decode import SOF3, conform, decode_frame
from karnak_core.pixels.encode import TranscodeOptions
from karnak_core.pixels.errors import CannotDecode, CannotTranscode
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.libraries import is_codec_error, library
from karnak_core.pixels.native import meaningful_bits


def verify(
    encoded: bytes,
    frame: Frame,
    image: ImageDescription,
    described: ImageDescription,
    transfer_syntax_uid: str,
    options: TranscodeOptions,
) -> None:
    """Check that a compressed frame is the one that was compressed.

    Parameters
    ----------
    frame, image
        What was compressed.
    described
        What the data set will say of it.

    Raises
    ------
    CannotTranscode
        A lossless frame differs, one of JPEG-LS by more than its error, another lossy one is not like it at all; or
        it cannot be decoded.
    """
    syntax = ts.SYNTAXES[transfer_syntax_uid]
    try:
        decoded = _decoded(encoded, described, transfer_syntax_uid)
    except CannotDecode as error:
        raise CannotTranscode(f"what {syntax.keyword} made of a frame is not decoded again: {error.reason}") from error
    if syntax.lossless:
        same = bool(np.array_equal(decoded, frame))
    else:
        if image.photometric_interpretation == "YBR_FULL" and described.photometric_interpretation != "YBR_FULL":
            # decoded as RGB
            frame = convert_color_space(frame, "YBR_FULL", "RGB")
        same = _is_like(decoded, frame, image, options.near_lossless_error if syntax.uid == ts.JPEG_LS_NEAR else None)
    if not same:
        raise CannotTranscode(f"what {syntax.keyword} made of a frame is not the same when it is decoded again")


def _decoded(encoded: bytes, described: ImageDescription, transfer_syntax_uid: str) -> Frame:
    if transfer_syntax_uid == ts.RLE:
        return _by(_rle, encoded, described)
    if transfer_syntax_uid in SOF3:
        return _by(_jpeg_lossless, encoded, described)
    # JPEG-LS, JPEG 2000 and HTJ2K are encoded by another library, or another build of it, than they are decoded by
    return decode_frame(encoded, described, transfer_syntax_uid)


def _by(decode: Callable[[bytes, ImageDescription], Frame], encoded: bytes, described: ImageDescription) -> Frame:
    try:
        return decode(encoded, described)
    except BaseException as error:  # codecs raise what they like
        if not is_codec_error(error) or isinstance(error, CannotDecode):
            raise
        raise CannotDecode(f"a compressed frame cannot be decoded: {type(error).__name__}") from error


def _rle(encoded: bytes, image: ImageDescription) -> Frame:
    offsets: Any = np.frombuffer(encoded, "<u4", 16)
    count = int(offsets[0])
    bounds = [*(int(offset) for offset in offsets[1 : count + 1]), len(encoded)]
    size = image.rows * image.columns
    width = image.bits_allocated // 8
    planes = np.empty((image.samples_per_pixel, size, width), dtype="u1")
    if count != image.samples_per_pixel * width:
        raise CannotDecode(f"an RLE frame of {count} segments")
    for number in range(count):
        segment = library("imagecodecs").packbits_decode(encoded[bounds[number] : bounds[number + 1]])
        # the most significant byte comes first (PS3.5 section G.2)
        planes[number // width, :, width - 1 - number % width] = np.frombuffer(segment, "u1")[:size]
    numbers = planes.reshape(image.samples_per_pixel, size * width).view(image.dtype.newbyteorder("<"))
    frame = numbers.reshape(image.samples_per_pixel, image.rows, image.columns).transpose(1, 2, 0)
    return meaningful_bits(np.ascontiguousarray(frame).reshape(image.shape), image)


def _jpeg_lossless(encoded: bytes, image: ImageDescription) -> Frame:
    encoded = trimmed(encoded)
    return conform(library("imagecodecs").jpegsof3_decode(encoded), image, read_jpeg(encoded))


def _is_like(decoded: Frame, frame: Frame, image: ImageDescription, error: int | None) -> bool:
    """Say whether a lossy frame is what was compressed, and not merely something that decodes."""
    difference = np.abs(decoded.astype("i4") - frame)
    if error is not None:
        return int(difference.max()) <= error
    span = int(frame.max()) - int(frame.min())
    return float(difference.mean()) <= max(span / 4, (image.highest - image.lowest) / 64)
