"""Data elements as text. Reads root level elements one by one and changes nothing that is encoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from pydicom.charset import STAND_ALONE_ENCODINGS, convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.tag import Tag
from pydicom.valuerep import TEXT_VR_DELIMS

from karnak_core.expressions.spots import ExpressionError, RuleError

_SPECIFIC_CHARACTER_SET = 0x00080005
_ESCAPE = 0x1B

#: One value even when it holds a backslash; leading spaces count (DICOM PS3.5 section 6.2).
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})
#: Text in the Specific Character Set of the data set; the other text VRs are ASCII.
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_ASCII = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})

#: What pydicom raises on bytes that are not what they should be.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class UnreadableError(RuleError):
    """The element has no text that can be relied on; names tag, VR and reason, never the value."""


def text_values(dataset: Dataset, tag: int) -> tuple[str, ...]:
    """Return the values of a root level element as text, without their padding.

    Text is decoded as Specific Character Set says, numbers are written in decimal, AT as eight hex digits.

    Returns
    -------
    tuple of str
        Empty when the element is absent, empty or a sequence.

    Raises
    ------
    UnreadableError
        The bytes cannot be decoded, or the VR has no text (OB, OW, UN and their like).
    """
    element, vr = _element(dataset, tag)
    if element is None or vr == "SQ" or _is_empty(element.value):
        return ()
    problem = "its value cannot be decoded"
    try:
        texts = tuple(_texts(dataset, element, vr))
    except UnreadableError as error:
        problem = str(error)
    except UNREADABLE:
        pass  # the message may quote the value
    else:
        if not any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
            return texts if any(texts) or len(texts) > 1 else ()
        problem = "it holds characters that could not be decoded"
    raise UnreadableError(f"{_name(tag, vr)}: {problem}")


def first_value(dataset: Dataset, tag: int) -> str | None:
    """Return the first value of an element of this level as text: an expression's ``stringValue``.

    Returns
    -------
    str or None
        None when the element is absent, is a sequence, or has an empty first value.

    Raises
    ------
    ExpressionError
        The bytes cannot be decoded, or the VR has no text.
    """
    try:
        values = text_values(dataset, tag)
    except UnreadableError as error:
        problem = str(error)
    else:
        return values[0] or None if values else None
    raise ExpressionError(problem)


def has_first_value(dataset: Dataset, tag: int) -> bool:
    """Tell whether a root level element is present and its first value is not empty; False for sequences."""
    element, vr = _element(dataset, tag)
    if element is None or vr == "SQ" or _is_empty(element.value):
        return False
    if vr not in _TEXT | _ASCII | _NUMBERS:
        return True
    return text_values(dataset, tag)[:1] not in ((), ("",))


def is_present_anywhere(dataset: Dataset, tag: int) -> bool:
    """Tell whether an element is present, empty or not, at the root level or in an item at any depth.

    Raises
    ------
    UnreadableError
        A sequence cannot be decoded.
    """
    pending = [dataset]
    while pending:
        level = pending.pop()
        if tag in level:
            return True
        for key in level.keys():  # noqa: SIM118 - iterating over a data set decodes its elements
            if _element(level, key)[1] == "SQ":
                pending += _items(level, key)
    return False


def _items(level: Dataset, key: int) -> list[Dataset]:
    try:
        return list(level[key].value or ())
    except UNREADABLE:
        pass
    raise UnreadableError(f"{_name(key, 'SQ')}: its items cannot be decoded")


def _element(dataset: Dataset, tag: int) -> tuple[RawDataElement | DataElement | None, str]:
    """Return the element, still encoded if it is, and its VR."""
    if tag not in dataset:
        return None, ""
    try:
        element = dataset.get_item(tag)
    except UNREADABLE:
        element = None
    if element is None:
        raise UnreadableError(f"{_name(tag, '')}: it cannot be read")
    if isinstance(element, RawDataElement) and element.VR in (None, "UN"):
        return element, usual_vr(dataset, int(element.tag))
    return element, str(element.VR)


def usual_vr(dataset: Dataset, tag: int) -> str:
    """Return the VR of the dictionaries, for elements of a level that come without one; "UN" if they do not know it."""
    if not tag >> 16 & 1:
        return public_vr(tag)
    if tag & 0xFFFF < 0x100:
        return "LO" if tag & 0xFFFF >= 0x10 else "UN"  # private creators (DICOM PS3.5 section 7.8.1)
    try:
        creator = text_values(dataset, tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8)
        return private_dictionary_VR(tag, creator[0]) if creator else "UN"
    except (KeyError, UnreadableError):
        return "UN"


@lru_cache(maxsize=8192)
def public_vr(tag: int) -> str:
    """Return the VR of the data dictionary (DICOM PS3.6); "UN" for tags that are not in it."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _texts(dataset: Dataset, element: RawDataElement | DataElement, vr: str) -> Iterator[str]:
    if vr in _TEXT or vr in _ASCII:
        value: Any = element.value
        if isinstance(value, bytes):
            text = _decoded(dataset, value) if vr in _TEXT else value.decode("iso8859")
            value = text if vr in _ONE_VALUE else text.split("\\")
        for one in _each(value):
            text = "" if one is None else str(one)
            yield text.rstrip(" \0") if vr in _ONE_VALUE else text.strip(" \0")
    elif vr in _NUMBERS:
        # Some VRs hang on other elements (US or SS): pydicom settles them, and keeps what it decoded.
        for one in _each(dataset[element.tag].value):
            yield _number(one, vr)
    else:
        raise UnreadableError("this VR has no text")


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _number(value: Any, vr: str) -> str:
    if vr == "AT":
        return f"{Tag(value):08X}"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        raise UnreadableError("its value is not a number")
    if vr == "FL":  # the shortest text that gives the same 32 bits
        digits = (float(f"{value:.{n}g}") for n in range(6, 10))
        value = next((short for short in digits if _single(short) == _single(value)), value)
    return str(value).removesuffix(".0")


def _single(value: float) -> bytes:
    return struct.pack("<f", value)


def _decoded(dataset: Dataset, value: bytes) -> str:
    """Decode by Specific Character Set; what does not fit is an error, where pydicom would put question marks."""
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii")
    terms = [_usual_spelling(term) for term in text_values(dataset, _SPECIFIC_CHARACTER_SET)] or [""]
    if any(term not in python_encoding for term in terms):
        raise UnreadableError("Specific Character Set names an unknown one (DICOM PS3.3 section C.12.1.1.2)")
    if terms[0] in STAND_ALONE_ENCODINGS:
        terms = terms[:1]
    encodings = convert_encodings([term for term in terms if term == terms[0] or term not in STAND_ALONE_ENCODINGS])
    return decode_bytes(value, encodings, TEXT_VR_DELIMS) if _ESCAPE in value else value.decode(encodings[0])


def _usual_spelling(term: str) -> str:
    """Return the term with the separators of DICOM PS3.3 table C.12-2, which many devices get wrong."""
    plain = re.sub(r"^ISO[ _-]?IR[ _-]?(\d+)$", r"ISO_IR \1", term)
    return re.sub(r"^ISO[ _-]?2022[ _-]?IR[ _-]?(\d+)$", r"ISO 2022 IR \1", plain)


def _name(tag: int, vr: str) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {vr}".rstrip()
