"""What is in a data set or in an item of a sequence, without decoding more than is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from karnak_core.deidentify.errors import DeidentificationError, tag_text
from karnak_core.deidentify.items import ItemReader, MalformedItems, codecs_in
from karnak_core.expressions.values import usual_vr

Element = DataElement | RawDataElement

_MAY_BE_SEQUENCES = frozenset({None, "SQ", "UN"})
_ITEM = b"\xfe\xff\x00\xe0"


def vr_of(level: Dataset, element: Element) -> str:
    """Return an element's VR; that of the dictionaries where it comes without one, or as UN."""
    vr = element.VR
    if vr is not None and vr != "UN":
        return str(vr)
    known = usual_vr(level, int(element.tag))
    if known == "UN" and isinstance(element, RawDataElement) and (element.value or b"").startswith(_ITEM):
        # perhaps a sequence that is newer than the dictionary, or passed through something that did not know it
        return "SQ" if _read_items(level, element) is not None else known
    return known


def items_of(level: Dataset, element: Element) -> Sequence[Dataset]:
    """Return the items of a sequence; raises `DeidentificationError` when they cannot be read."""
    if isinstance(element, RawDataElement):
        if not element.value:
            return ()
        value = _read_items(level, element)
        if value is None:
            raise DeidentificationError(f"{tag_text(element.tag)} SQ: its items cannot be read")
        return value
    return element.value or ()


def _read_items(level: Dataset, element: RawDataElement) -> Sequence[Dataset] | None:
    implicit, little = element.is_implicit_VR, element.is_little_endian
    if element.VR == "UN":  # encoded as if it were implicit VR little endian (PS3.5 section 6.2.2 note 2)
        implicit = little = True
    value, encoding = element.value or b"", codecs_in(level)
    try:
        return ItemReader(value, implicit=implicit, little=little).items(encoding)
    except MalformedItems:
        if implicit:
            return None
    try:  # some devices write implicit VR in the items of explicit VR
        return ItemReader(value, implicit=True, little=little).items(encoding)
    except MalformedItems:
        return None


def tags_of(dataset: Dataset) -> Iterator[int]:
    """Return the tags of all elements of all levels; raises `DeidentificationError` for items that cannot be read."""
    pending = [dataset]
    while pending:
        level = pending.pop()
        for tag, element in list(level.items()):
            yield int(tag)
            if element.VR in _MAY_BE_SEQUENCES and vr_of(level, element) == "SQ":
                pending += items_of(level, element)
