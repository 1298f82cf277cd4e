"""A data set in UTF-8 instead of the character sets it came in: for new values that do not fit into those."""

from __future__ import annotations

from pydicom.charset import STAND_ALONE_ENCODINGS, convert_encodings, decode_bytes, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import TEXT_VR_DELIMS

from karnak_core.deidentify.encode import TEXT_VRS
from karnak_core.deidentify.errors import DeidentificationError, tag_text
from karnak_core.deidentify.items import UNDEFINED, encoded_items
from karnak_core.deidentify.level import SPECIFIC_CHARACTER_SET
from karnak_core.deidentify.undecoded import Element, items_of, vr_of
from karnak_core.deidentify.visit import texts_of

UTF_8 = ("ISO_IR 192",)
_ESCAPE = 0x1B


def in_utf8(dataset: Dataset) -> Dataset:
    """Return a copy whose texts are in UTF-8, at every level; the data set given stays as it is.

    Raises
    ------
    DeidentificationError
        A text cannot be decoded.
    """
    return _level(dataset, (), root=True)


def _level(source: Dataset, inherited: tuple[str, ...], *, root: bool) -> Dataset:
    terms = texts_of(source, SPECIFIC_CHARACTER_SET) or inherited
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for tag, element in list(source.items()):
        vr = vr_of(source, element)
        if tag == SPECIFIC_CHARACTER_SET:
            continue
        if vr == "SQ":
            elements[tag] = _sequence(element, [_level(item, terms, root=False) for item in items_of(source, element)])
        elif vr in TEXT_VRS and isinstance(element, RawDataElement) and element.value:
            elements[tag] = _converted(element, vr, terms)
        else:
            elements[tag] = element
    if root:
        elements[BaseTag(SPECIFIC_CHARACTER_SET)] = DataElement(SPECIFIC_CHARACTER_SET, "CS", UTF_8[0])
    copy_set = Dataset(elements, parent_encoding="utf8")
    copy_set.is_undefined_length_sequence_item = getattr(source, "is_undefined_length_sequence_item", False)
    implicit, little = source.original_encoding
    copy_set.set_original_encoding(implicit, little, ["utf8"])
    return copy_set


def _sequence(element: Element, items: list[Dataset]) -> Element:
    """Return a sequence with other items, encoded if it was: what nothing changes stays as it was received."""
    if isinstance(element, RawDataElement):
        implicit, little = items[0].original_encoding if items else (True, True)
        value = encoded_items([dict(item.items()) for item in items], implicit=bool(implicit), little=bool(little))
        if value is not None:
            undefined = element.length == UNDEFINED
            return element._replace(value=value, length=UNDEFINED if undefined else len(value))
    copy = DataElement(element.tag, "SQ", Sequence(items))
    undefined = isinstance(element, RawDataElement) and element.length == UNDEFINED
    copy.is_undefined_length = undefined or (isinstance(element, DataElement) and element.is_undefined_length)
    return copy


def _converted(element: RawDataElement, vr: str, terms: tuple[str, ...]) -> RawDataElement:
    value = element.value or b""
    if value.isascii() and _ESCAPE not in value:
        return element
    encoded = _decoded(element.tag, vr, value, terms).encode("utf-8")
    encoded += b" " * (len(encoded) % 2)
    return element._replace(value=encoded, length=len(encoded))


def _decoded(tag: BaseTag, vr: str, value: bytes, terms: tuple[str, ...]) -> str:
    known = terms or ("",)
    try:
        if any(term not in python_encoding for term in known):
            raise ValueError
        if known[0] in STAND_ALONE_ENCODINGS:
            known = known[:1]
        encodings = convert_encodings(list(known))
        if _ESCAPE not in value:
            return value.decode(encodings[0])
        text = decode_bytes(value, encodings, TEXT_VR_DELIMS)
        if "\N{REPLACEMENT CHARACTER}" not in text:  # what pydicom puts for what it cannot decode
            return text
    except (ValueError, LookupError):
        pass
    raise DeidentificationError(f"{tag_text(tag)} {vr}: its value cannot be decoded in its character set")
