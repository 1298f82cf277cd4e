"""Values of a header, read and set so that a malformed one is a reason and never a surprise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from karnak_core.errors import Permanent
from karnak_core.expressions.values import UNREADABLE
from karnak_core.pixels.errors import CannotTranscode


@contextmanager
def reading(what: str, kind: type[Permanent] = CannotTranscode) -> Iterator[None]:
    """Raise ``kind`` where a value cannot be read. The reason names it, and not the error: that may quote a value."""
    try:
        yield
    except UNREADABLE:
        raise kind(f"{what} cannot be read") from None


def values_of(header: Dataset, keyword: str) -> list[Any]:
    """Return the values of an element; none if it is absent or empty.

    Raises
    ------
    CannotTranscode
        It cannot be read.
    """
    with reading(keyword):
        value = header.get(keyword)
        if value is None or value == "" or value == b"":
            return []
        if isinstance(value, bytes):
            raise TypeError("bytes")
        return [value] if isinstance(value, (str, float, int, Decimal)) else list(value)


def texts_of(header: Dataset, keyword: str) -> list[str]:
    """Return the values of an element as text; raises as `values_of`."""
    values = values_of(header, keyword)
    if not all(isinstance(value, str) for value in values):
        raise CannotTranscode(f"{keyword} cannot be read")
    return [str(value) for value in values]


def text_of(header: Dataset, keyword: str) -> str:
    """Return the one value of an element as text, empty where there is none; raises as `values_of`."""
    texts = texts_of(header, keyword)
    if len(texts) > 1:
        raise CannotTranscode(f"{keyword} cannot be read")
    return "".join(texts).strip()


def items_of(header: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, none if it is absent; raises as `values_of`."""
    items = values_of(header, keyword)
    if not all(isinstance(item, Dataset) for item in items):
        raise CannotTranscode(f"{keyword} cannot be read")
    return items


def whole_number(value: object) -> int:
    """Return a value as a whole number of 32 bits.

    Raises
    ------
    TypeError, ValueError, ArithmeticError
        It is none.
    """
    if isinstance(value, (bytes, bytearray)):
        raise TypeError("bytes")
    given: Any = value
    number = int(given)
    if not -(1 << 31) <= number < 1 << 31 or (isinstance(value, (float, Decimal)) and number != value):
        raise ValueError("not a whole number of 32 bits")
    return number


def put(header: Dataset, keyword: str, value: object) -> None:
    """Set an element, in the VR that it should have, whatever it had before."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    vr = dictionary_VR(tag)
    header[tag] = DataElement(tag, vr, Sequence(value) if vr == "SQ" else value)  # type: ignore[arg-type]
