"""Pixels of an instance that its profile wants cleaned: decoded, cleaned and encoded again before it goes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from karnak_core.errors import Permanent, Retryable
from karnak_core.pixels import PixelElement, PixelSource, transcode
from karnak_core.pixels.cleaning import Cleaning, syntax_of_cleaned
from karnak_core.pixels.image import KINDS
from karnak_core.rewrite import Apart, MadeFile

UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class CleanedPixels:
    """Pixels that may go out, and the header that belongs to them."""

    dataset: Dataset
    transfer_syntax_uid: str
    #: whole elements of group 7FE0; to be closed
    made: MadeFile


def cleaned_pixels(apart: Apart, dataset: Dataset, cleaning: Cleaning, workspace: Path) -> CleanedPixels:
    """Return the cleaned pixels of an instance.

    Parameters
    ----------
    dataset
        What is sent of the rest; it is changed to what is true of the cleaned pixels.
    cleaning
        What is to be done to them.

    Raises
    ------
    Permanent
        They cannot be decoded, cleaned or encoded: the instance must not go out.
    Retryable
        There is no room for them now.
    """
    source = _source(apart)
    cleaning.header(dataset)
    edit = cleaning.edit(source.output_image)
    target = syntax_of_cleaned(apart.transfer_syntax_uid, source.output_image)
    made = MadeFile(source.output_image.frame_bits // 8 * source.image.number_of_frames, workspace)
    try:
        done = transcode(source, dataset, target, made.file, edit=edit)
    except OSError as error:
        made.close()
        raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
    except BaseException:
        made.close()
        raise
    return CleanedPixels(dataset=done.header, transfer_syntax_uid=target, made=made)


def _source(apart: Apart) -> PixelSource:
    pixels = [element for element in apart.pixels if element.tag in KINDS]
    if len(pixels) != 1:
        raise Permanent("the pixels have to be cleaned, and there is more or less than one element of them")
    (element,) = pixels
    length = UNDEFINED if element.undefined else element.end - element.start
    where = PixelElement(tag=element.tag, vr=element.vr, offset=element.start, length=length)
    return PixelSource(apart.file, apart.dataset, apart.transfer_syntax_uid, where)
