"""Items of a sequence, read from their bytes and written to them, with their elements left encoded.

Stricter than pydicom, which warns and goes on where items are cut off: what has not been read cannot be decided, and
must not stay in a sequence either (DICOM PS3.5 section 7.5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence
from functools import lru_cache
from operator import itemgetter

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from karnak_core.deidentify.encode import LONG_VRS, make_raw, tag_of

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
DEEPEST = 64
_NUMBER = itemgetter(0)
_CHARACTER_SET = BaseTag(0x00080005)

#: writes what stands before a value: without VR, with a VR and a short length, with a VR and a long one
_LITTLE_HEADS, _BIG_HEADS = (
    (
        struct.Struct(f"{order}HHI").pack,
        struct.Struct(f"{order}HH2sH").pack,
        struct.Struct(f"{order}HH2sHI").pack,
    )
    for order in "<>"
)


class MalformedItems(ValueError):
    """The bytes are not those of items."""


def kind_of(code: bytes) -> tuple[str, bool]:
    """Return a VR, and whether its length has four bytes; raises `MalformedItems` for bytes that are none."""
    vr = code.decode("latin-1")
    if not (vr.isascii() and vr.isalpha() and vr.isupper()):
        raise MalformedItems("an element has no VR")
    return vr, vr in LONG_VRS


KINDS = {vr.value.encode(): kind_of(vr.value.encode()) for vr in VR if len(vr.value) == 2}

#: VR -> its two bytes, and whether its length has four bytes
_CODES: dict[str | None, tuple[bytes, bool]] = {vr: (code, is_long) for code, (vr, is_long) in KINDS.items()}


class ReadItem(Dataset):
    """An item to look at: attributes of pydicom's class are set as they are everywhere else in Python, and sooner."""

    __setattr__ = object.__setattr__  # type: ignore[assignment]


def dataset_of(
    elements: MutableMapping[BaseTag, DataElement | RawDataElement], parent: str | MutableSequence[str] | None = None
) -> Dataset:
    """Return the same as ``Dataset(elements)``, sooner.

    Parameters
    ----------
    parent
        pydicom's codecs for text where no Specific Character Set is among the elements.
    """
    made = ReadItem(elements) if parent is None else ReadItem(elements, parent_encoding=parent)
    # the same in every other way
    object.__setattr__(made, "__class__", Dataset)
    return made


class ItemReader:
    """Reads the items of one sequence; ``value`` is what stands between its length and its end."""

    def __init__(self, value: bytes, *, implicit: bool, little: bool) -> None:
        self._value = value
        self._implicit = implicit
        self._little = little
        self._head = struct.Struct("<HHI" if little else ">HHI")
        self._short = struct.Struct("<HH2sH" if little else ">HH2sH")
        self._long = struct.Struct("<I" if little else ">I")

    def items(self, encoding: str | MutableSequence[str]) -> list[Dataset]:
        """Return the items; ``encoding`` : pydicom's codecs for text in items without a character set of their own.

        Raises
        ------
        MalformedItems
            The bytes are not items from the first to the last, or one of them is cut off.
        """
        found: list[Dataset] = []
        position, end = 0, len(self._value)
        while position < end:
            tag, length = self._tag(position, end)
            if tag == SEQUENCE_END and position + 8 == end:
                break
            if tag != ITEM:
                raise MalformedItems("an item does not start with its tag")
            item, stop = self.item(position + 8, end, length, encoding)
            position = stop if length != UNDEFINED else stop + 8
            found.append(item)
        return found

    def item(
        self, start: int, end: int, length: int, encoding: str | MutableSequence[str], depth: int = 0
    ) -> tuple[Dataset, int]:
        """Return the item whose contents start here, and where they end.

        Parameters
        ----------
        end, length
            What it has to be within, and the length that its head says.
        """
        elements: dict[BaseTag, DataElement | RawDataElement] = {}
        position = self._elements(start, end, length, elements, depth)
        item = ReadItem(elements, parent_encoding=encoding)
        item.set_original_encoding(self._implicit, self._little, codecs_of(elements) or encoding)
        return item, position if length != UNDEFINED else position - 8

    def _tag(self, position: int, end: int) -> tuple[int, int]:
        if position + 8 > end:
            raise MalformedItems("an element is cut off")
        group, element, length = self._head.unpack_from(self._value, position)
        return group << 16 | element, length

    def _elements(
        self, position: int, end: int, length: int, into: dict[BaseTag, DataElement | RawDataElement] | None, depth: int
    ) -> int:
        """Read the elements of one item; return where it ends."""
        if depth > DEEPEST:
            raise MalformedItems("nested too deeply")
        if length != UNDEFINED:
            if position + length > end:
                raise MalformedItems("an item is cut off")
            end = position + length
        value, implicit, little = self._value, self._implicit, self._little
        head = self._head.unpack_from if implicit else self._short.unpack_from
        vr: str | None = None
        code = b""
        while position < end:
            if position + 8 > end:
                raise MalformedItems("an element is cut off")
            if implicit:
                group, low, size = head(value, position)
            else:
                group, low, code, size = head(value, position)
            position += 8
            if group == 0xFFFE:
                if low == 0xE00D and length == UNDEFINED:
                    return position
                raise MalformedItems("a delimiter stands where an element should")
            if not implicit:
                vr, is_long = KINDS.get(code) or kind_of(code)
                if is_long:
                    if position + 4 > end:
                        raise MalformedItems("an element is cut off")
                    (size,) = self._long.unpack_from(value, position)
                    position += 4
            start = position
            if size == UNDEFINED:
                stop, position = self.end_of_sequence(start, end, depth + 1, vr or "")
            else:
                stop = position = start + size
                if stop > end:
                    raise MalformedItems("an element is cut off")
            if into is not None:
                # nothing but a sequence has undefined length in implicit VR
                known = vr or ("SQ" if size == UNDEFINED else None)
                tag = tag_of(group << 16 | low)
                into[tag] = make_raw((tag, known, size, value[start:stop], 0, implicit, little, True, False))
        if length == UNDEFINED:
            raise MalformedItems("an item has no end")
        return end

    def end_of_sequence(self, position: int, end: int, depth: int, vr: str) -> tuple[int, int]:
        """Return where a value of undefined length ends, and where the next element starts."""
        # items in UN are always implicit VR (PS3.5 section 6.2.2 note 2); fragments of pixel data have no elements
        inner = self
        if vr == "UN" and not self._implicit:
            inner = ItemReader(self._value, implicit=True, little=True)
        while True:
            tag, length = inner._tag(position, end)
            if tag == SEQUENCE_END:
                return position, position + 8
            if tag != ITEM:
                raise MalformedItems("an item does not start with its tag")
            position += 8
            if vr in ("OB", "OW"):
                position += length
            else:
                position = inner._elements(position, end, length, None, depth)


def codecs_in(level: Dataset) -> str | MutableSequence[str]:
    """Return pydicom's codecs for text in a data set or item, whose Specific Character Set stays encoded.

    ``Dataset._character_set`` would put a decoded element in its place, and then all others are encoded anew.
    """
    element = level.get_item(_CHARACTER_SET) if _CHARACTER_SET in level else None
    own = None if element is None else codecs_of({_CHARACTER_SET: element})
    parent: str | MutableSequence[str] = level._parent_encoding
    return own or parent


def codecs_of(elements: Mapping[BaseTag, DataElement | RawDataElement]) -> str | list[str] | None:
    """Return pydicom's codecs for a Specific Character Set, which stays encoded; None where there is none."""
    element = elements.get(_CHARACTER_SET)
    if element is None:
        return None
    if not isinstance(element.value, bytes):
        return Dataset({_CHARACTER_SET: element})._character_set
    found = _codecs_of_terms(element.value)
    return found[0] if len(found) == 1 else list(found)


@lru_cache(maxsize=256)
def _codecs_of_terms(terms: bytes) -> tuple[str, ...]:
    raw = make_raw((_CHARACTER_SET, "CS", len(terms), terms, 0, False, True, True, False))
    found = Dataset({_CHARACTER_SET: raw})._character_set
    return (found,) if isinstance(found, str) else tuple(found)


def read_elements(value: bytes, *, implicit: bool, little: bool) -> dict[BaseTag, DataElement | RawDataElement]:
    """Return the elements of an encoded data set; raises `MalformedItems` unless they fill it to its end."""
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    ItemReader(value, implicit=implicit, little=little)._elements(0, len(value), len(value), elements, 0)
    return elements


def encoded_items(
    items: Iterable[Mapping[BaseTag, DataElement | RawDataElement]], *, implicit: bool, little: bool
) -> bytes | None:
    """Return the bytes of items; None where an element is not encoded, or is encoded otherwise."""
    start = struct.Struct("<HHI" if little else ">HHI")
    parts: list[bytes] = []
    for item in items:
        own = encoded_elements(item, implicit=implicit, little=little)
        if own is None:
            return None
        parts += (start.pack(0xFFFE, 0xE000, len(own)), own)
    return b"".join(parts)


def encoded_elements(
    elements: Mapping[BaseTag, DataElement | RawDataElement], *, implicit: bool, little: bool
) -> bytes | None:
    """Return the bytes of elements in the order of their tags; None where one is not encoded, or is otherwise."""
    head, short, long = _LITTLE_HEADS if little else _BIG_HEADS
    parts: list[bytes] = []
    for number, element in sorted([(int(tag), element) for tag, element in elements.items()], key=_NUMBER):
        if not isinstance(element, RawDataElement):
            return None
        _, vr, length, value, _, is_implicit, is_little, _, _ = element
        if value is None or is_implicit != implicit or is_little != little:
            return None
        undefined = length == UNDEFINED
        length = UNDEFINED if undefined else len(value)
        group, low = number >> 16, number & 0xFFFF
        if implicit:
            parts.append(head(group, low, length))
        else:
            code, is_long = _CODES.get(vr) or ((vr or "").encode("ascii"), False)
            if is_long:
                parts.append(long(group, low, code, 0, length))
            elif len(code) != 2 or length > 0xFFFF:
                return None
            else:
                parts.append(short(group, low, code, length))
        parts.append(value)
        if undefined:
            parts.append(head(0xFFFE, 0xE0DD, 0))
    return b"".join(parts)
