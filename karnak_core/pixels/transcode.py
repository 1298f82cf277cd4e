"""Pixels from one transfer syntax to another, frame by frame: decoded, changed where asked, encoded, checked, written.

At most two frames are held at a time. What cannot be done right raises, and what was written is to be thrown away then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, Final

import numpy as np
from pydicom import Dataset

from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.attributes import (
    NewUID,
    derived_uid,
    described,
    purpose_of_source,
    remember_loss,
    say_derived,
    say_lossy,
)
from karnak_core.pixels.choose import fitting
from karnak_core.pixels.codestream import trimmed
from karnak_core.pixels.element import write_encapsulated, write_native
from karnak_core.pixels.encode import TranscodeOptions, encoder
from karnak_core.pixels.errors import CannotTranscode
from karnak_core.pixels.frames import PixelSource
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.libraries import is_codec_error, library
from karnak_core.pixels.native import to_bytes
from karnak_core.pixels.overlays import embedded_overlays
from karnak_core.pixels.remarks import without_remarks
from karnak_core.pixels.verify import verify

#: bytes that are copied at a time, a multiple of every word's size
BLOCK: Final = 1 << 20
Edit = Callable[[int, Frame], Frame]
_DEFAULTS: Final = TranscodeOptions()


@dataclass(frozen=True, kw_only=True)
class Transcoded:
    """What was written, and the header that belongs to it."""

    #: without elements of group 7FE0; SOP Instance UID is another one after lossy compression
    header: Dataset
    transfer_syntax_uid: str
    #: bytes written: the element Pixel Data, with those of an Extended Offset Table in front of it
    size: int
    #: bytes of the native frames by bytes of the compressed ones; None: they are not compressed
    ratio: float | None
    #: true: something was lost now
    lossy: bool


def transcode(
    source: PixelSource,
    header: Dataset,
    target: str,
    write: IO[bytes],
    *,
    options: TranscodeOptions = _DEFAULTS,
    edit: Edit | None = None,
    new_uid: NewUID = derived_uid,
    only_pixels: bool = False,
) -> Transcoded:
    """Write the pixels of a data set in another transfer syntax, and return the header that goes before them.

    Parameters
    ----------
    source
        The pixels; the description in its own header goes, whatever ``header`` says.
    header
        What is sent, without pixels; it is not changed. Its SOP Instance UID is that of the object before.
    target
        A transfer syntax UID that fits the pixels: see :func:`karnak_core.pixels.fitting`. It may be the source's own
        where ``edit`` changes them.
    write
        Binary, seekable; the element is written at its position, in the target's encoding.
    edit
        Changes a frame, given its index, to one of the same shape and type.
    new_uid
        Returns the SOP Instance UID of a lossy copy, of the one before and of what was done.
    only_pixels
        True: of frames that are not decoded, what they say beside their pixels does not go along.

    Raises
    ------
    CannotDecode
        The source cannot be decoded.
    CannotTranscode
        The target cannot hold the pixels, the codec refuses them, or what it made is not the same.
    """
    start = write.tell()
    if source.is_native and target in ts.NATIVE and edit is None:
        _copy_native(source, write, target)
        return _result(described(header, source.image), target, write.tell() - start)
    if edit is None and target == source.transfer_syntax_uid:
        frames = source.image.number_of_frames
        encoded = (source.encoded_frame(index) for index in range(frames))
        if only_pixels:
            encoded = (without_remarks(frame, target) for frame in encoded)
        write_encapsulated(write, frames, encoded, extended=_is_large(source, options))
        return _result(described(header, source.image), target, write.tell() - start)
    _refuse_overlays_in_pixels(header)
    if target == ts.JPEG_XL_RECOMPRESSION:
        return _recompress(source, header, target, write, options, edit, only_pixels=only_pixels)
    image = source.output_image
    if target not in ts.NATIVE and fitting(target, image) != target:
        name = ts.SYNTAXES[target].keyword if target in ts.SYNTAXES else target
        raise CannotTranscode(
            f"{name} cannot hold pixels in {image.photometric_interpretation} with Bits Allocated "
            f"{image.bits_allocated}, Bits Stored {image.bits_stored}"
        )
    frames_of = _edited(source, edit)
    if target in ts.NATIVE:
        new = described(header, image)
        _write_native(source, image, frames_of, write, target)
        _remember_losses(new, source)
        return _result(new, target, write.tell() - start)
    encode, compressed = encoder(target, image, options)

    def check(encoded: bytes, frame: Frame) -> bytes:
        verify(encoded, frame, image, compressed, target, options)
        return encoded

    checked = _checked(encode, check, frames_of, image.number_of_frames)
    size = write_encapsulated(write, image.number_of_frames, checked, extended=_is_large(source, options))
    new = described(header, compressed)
    _remember_losses(new, source)
    ratio = image.frame_bits // 8 * image.number_of_frames / size
    syntax = ts.SYNTAXES[target]
    if not syntax.lossless:
        parameters = f"{target} {options.quality} {options.ratio} {options.near_lossless_error}"
        say_lossy(new, syntax.method, ratio)
        before = purpose_of_source(header, source.transfer_syntax_uid)
        say_derived(new, before, target, ratio, new_uid, parameters)
    return _result(new, target, write.tell() - start, ratio, lossy=not syntax.lossless)


def _checked(
    encode: Callable[[Frame], bytes], check: Callable[[bytes, Frame], bytes], frames: Iterator[Frame], count: int
) -> Iterator[bytes]:
    """Yield compressed frames that were checked; of several, one is checked while the next one is compressed.

    Codecs let other threads work. More than these two frames are not held.
    """
    if count == 1:
        yield from (check(encode(frame), frame) for frame in frames)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="check-frames") as checker:
        waiting: Future[bytes] | None = None
        for frame in frames:
            encoded = encode(frame)
            if waiting is not None:
                yield waiting.result()
            waiting = checker.submit(check, encoded, frame)
        if waiting is not None:
            yield waiting.result()


def _result(header: Dataset, target: str, size: int, ratio: float | None = None, *, lossy: bool = False) -> Transcoded:
    return Transcoded(header=header, transfer_syntax_uid=target, size=size, ratio=ratio, lossy=lossy)


def _edited(source: PixelSource, edit: Edit | None) -> Iterator[Frame]:
    for index in range(source.image.number_of_frames):
        frame = source.frame(index)
        if edit is not None:
            shape, dtype = frame.shape, frame.dtype
            frame = edit(index, frame)
            if frame.shape != shape or frame.dtype.newbyteorder("=") != dtype.newbyteorder("="):
                raise TypeError("an edited frame has another shape or type")
        yield frame


def _copy_native(source: PixelSource, write: IO[bytes], target: str) -> None:
    """Copy values whole, with what lies in their unused bits; only bytes that are in another order are swapped."""
    total = -(-source.image.frame_bits * source.image.number_of_frames // 8)

    def blocks() -> Iterator[bytes | bytearray]:
        for offset in range(0, total, BLOCK):
            yield source.native_bytes(offset, min(BLOCK, total - offset))

    write_native(
        write, source.element.tag, _native_vr(source.image, target), total, blocks(), implicit=target == ts.IMPLICIT
    )


def _native_vr(image: ImageDescription, target: str) -> str:
    if image.kind != "pixel":
        return "OF" if image.kind == "float" else "OD"
    # PS3.5 sections A.1 and A.2
    return "OW" if image.bits_allocated > 8 or target == ts.IMPLICIT else "OB"


def _write_native(
    source: PixelSource, image: ImageDescription, frames: Iterator[Frame], write: IO[bytes], target: str
) -> None:
    length = -(-image.frame_bits * image.number_of_frames // 8)
    parts = _packed(frames) if image.bits_allocated == 1 else (to_bytes(frame) for frame in frames)
    write_native(write, source.element.tag, _native_vr(image, target), length, parts, implicit=target == ts.IMPLICIT)


def _packed(frames: Iterator[Frame]) -> Iterator[bytes]:
    """Yield frames of one bit without gaps between them; what does not fill a byte waits for the next one."""
    rest: Frame = np.empty(0, dtype="u1")
    for frame in frames:
        bits = np.concatenate((rest, frame.reshape(-1)))
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()


def _is_large(source: PixelSource, options: TranscodeOptions) -> bool:
    # of native frames, as the compressed ones are not there yet; they are rarely larger, and never much
    bits = source.image.frame_bits * source.image.number_of_frames
    return bits // 8 + 1024 * source.image.number_of_frames > options.largest_with_basic_offsets


def _remember_losses(header: Dataset, source: PixelSource) -> None:
    """Say of losses what the source's transfer syntax says, or completes: it will be known no more."""
    if source.transfer_syntax_uid in ts.DCT:
        native = source.output_image.frame_bits // 8 * source.image.number_of_frames
        remember_loss(header, ts.SYNTAXES[ts.JPEG_BASELINE].method, native / source.encoded_length)


def _refuse_overlays_in_pixels(header: Dataset) -> None:
    for group in sorted(embedded_overlays(header)):
        raise CannotTranscode(
            f"an overlay lies in unused bits of the pixels (Overlay Bit Position of group {group:04X} is not 0), and "
            "would be lost"
        )


def _recompress(
    source: PixelSource,
    header: Dataset,
    target: str,
    write: IO[bytes],
    options: TranscodeOptions,
    edit: Edit | None,
    *,
    only_pixels: bool,
) -> Transcoded:
    """Write JPEG frames in JPEG XL without decoding them: they can be made the same JPEG again, byte by byte."""
    if source.transfer_syntax_uid != ts.JPEG_BASELINE or edit is not None:
        raise CannotTranscode("JPEGXLJPEGRecompression is for JPEG Baseline that is not changed")

    def recompressed() -> Iterator[bytes]:
        for index in range(source.image.number_of_frames):
            jpeg = trimmed(source.encoded_frame(index))
            if only_pixels:
                jpeg = without_remarks(jpeg, source.transfer_syntax_uid)
            try:
                encoded = bytes(library("imagecodecs").jpegxl_encode_jpeg(jpeg))
                same = bytes(library("imagecodecs").jpegxl_decode_jpeg(encoded)) == jpeg
            except BaseException as error:  # codecs raise what they like
                if not is_codec_error(error):
                    raise
                raise CannotTranscode(
                    f"the codec of JPEGXLJPEGRecompression refuses: {type(error).__name__}"
                ) from error
            if not same:
                raise CannotTranscode("JPEGXLJPEGRecompression does not give the same JPEG back")
            yield encoded

    start = write.tell()
    frames = source.image.number_of_frames
    size = write_encapsulated(write, frames, recompressed(), extended=_is_large(source, options))
    new = described(header, replace(source.image, planar_configuration=0))
    _remember_losses(new, source)
    ratio = source.output_image.frame_bits // 8 * frames / size
    return _result(new, target, write.tell() - start, ratio)
