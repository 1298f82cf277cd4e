"""The pixels of what goes to one destination: cleaned where a profile says so, in the wanted transfer syntax."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from karnak_core.errors import Permanent, Retryable
from karnak_core.pixels import (
    CannotTranscode,
    Edit,
    Frame,
    PixelElement,
    PixelSource,
    TranscodeOptions,
    candidates,
    fitting,
    output_syntax,
    transcode,
)
from karnak_core.pixels.cleaning import Cleaning, syntax_of_cleaned
from karnak_core.pixels.image import KINDS
from karnak_core.pixels.remarks import remarks_in, write_without
from karnak_core.pixels.syntaxes import can_decode
from karnak_core.rewrite import Apart, MadeFile

UNDEFINED: Final = 0xFFFFFFFF
#: what can become one another without looking at pixels
NATIVE: Final = frozenset(
    (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
)


@dataclass(frozen=True, kw_only=True)
class PixelRule:
    """What a destination wants pixels to be in."""

    #: transfer syntax UID; empty: as they were received
    wanted: str = ""
    #: true: what is compressed stays as it is
    only_uncompressed: bool = False
    options: TranscodeOptions = field(default_factory=TranscodeOptions)

    def target(self, received: str) -> str:
        """Return the transfer syntax that an instance should go out in; its pixels may not allow it."""
        if not self.wanted:
            return received
        # a deflated data set has uncompressed pixels
        original = str(ExplicitVRLittleEndian) if received == DeflatedExplicitVRLittleEndian else received
        return output_syntax(self.wanted, original, only_uncompressed=self.only_uncompressed)

    def alternatives(self, received: str) -> tuple[str, ...]:
        """Return what an instance can go out in, the best first: what the peer accepts decides."""
        target = self.target(received)
        if received not in NATIVE and not can_decode(received):
            return (received,)
        return tuple(str(syntax) for syntax in candidates(target, received))


@dataclass(frozen=True, kw_only=True)
class NewPixels:
    """Pixels that were decoded and encoded again, and the header that belongs to them."""

    dataset: Dataset
    transfer_syntax_uid: str
    #: whole elements of group 7FE0
    made: MadeFile


def new_pixels(
    apart: Apart,
    dataset: Dataset,
    cleaning: Cleaning | None,
    target: str,
    options: TranscodeOptions,
    workspace: Path,
    *,
    only_used_bits: bool = False,
    only_pixels: bool = False,
) -> NewPixels | None:
    """Return the pixels of an instance, cleaned, in the transfer syntax ``target`` or the nearest that holds them.

    Parameters
    ----------
    dataset
        What is sent of the rest.
    cleaning
        What has to be done to them; None: nothing.
    target
        A transfer syntax UID; the received one: it is kept if it can be.
    only_used_bits
        True: something else than pixels may lie in the other bits, and must not go out.
    only_pixels
        True: nor must what compressed frames say beside their pixels.

    Returns
    -------
    NewPixels or None
        None: they stay as they are.

    Raises
    ------
    Permanent
        They cannot be decoded, cleaned or encoded.
    Retryable
        There is no room for them now.
    """
    elements = [element for element in apart.pixels if element.tag in KINDS]
    kept = [element for element in elements if dataset.get_item(element.tag) is apart.placeholders[element.tag]]
    change = cleaning is not None or only_used_bits
    if not kept or (not change and target == apart.transfer_syntax_uid):
        return None
    if len(elements) != 1:
        raise CannotTranscode("the instance has more than one element with pixels")
    (element,) = elements
    length = UNDEFINED if element.undefined else element.end - element.start
    where = PixelElement(tag=element.tag, vr=element.vr, offset=element.start, length=length)
    source = PixelSource(apart.file, apart.dataset, apart.transfer_syntax_uid, where)
    image = source.output_image
    edit: Edit | None = None
    if cleaning is not None:
        cleaning.header(dataset)
        edit = cleaning.edit(image)
    elif only_used_bits:
        edit = _as_decoded
    if change and target == apart.transfer_syntax_uid:
        target = syntax_of_cleaned(target, image)
    target = fitting(target, image, apart.transfer_syntax_uid)
    if edit is None and target == apart.transfer_syntax_uid:
        return None
    made = MadeFile(image.frame_bits // 8 * image.number_of_frames, workspace)
    try:
        done = transcode(source, dataset, target, made.file, options=options, edit=edit, only_pixels=only_pixels)
    except OSError as error:
        made.close()
        raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
    except BaseException:
        made.close()
        raise
    return NewPixels(dataset=done.header, transfer_syntax_uid=done.transfer_syntax_uid, made=made)


def bare_pixels(apart: Apart, dataset: Dataset, workspace: Path) -> NewPixels | None:
    """Return pixels that go out as they are without what else stands in their elements; None: there is nothing else.

    Raises
    ------
    Permanent
        It cannot be taken out, or it cannot be told whether there is something.
    Retryable
        There is no room for them now.
    """
    syntax = apart.transfer_syntax_uid
    elements = [
        PixelElement(
            tag=element.tag,
            vr=element.vr,
            offset=element.start,
            length=UNDEFINED if element.undefined else element.end - element.start,
        )
        for element in apart.pixels
        if element.tag in KINDS and dataset.get_item(element.tag) is apart.placeholders[element.tag]
    ]
    if not any(remarks_in(apart.file, element, apart.dataset, syntax) for element in elements):
        return None
    if len(elements) != 1:
        raise CannotTranscode("the instance has more than one element with pixels")
    made = MadeFile(sum(element.end - element.start for element in apart.pixels), workspace)
    try:
        write_without(apart.file, elements[0], apart.dataset, syntax, made.file)
    except OSError as error:
        made.close()
        raise Retryable(f"cannot write a temporary file: {error.strerror}") from error
    except BaseException:
        made.close()
        raise
    return NewPixels(dataset=dataset, transfer_syntax_uid=syntax, made=made)


def _as_decoded(_index: int, frame: Frame) -> Frame:
    return frame


def refusal(error: Permanent, syntax: str) -> str:
    """Return why an instance goes out, or does not, in another transfer syntax than the wanted one."""
    return f"not in transfer syntax {syntax}: {error.reason}"
