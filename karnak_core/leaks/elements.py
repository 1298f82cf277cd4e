"""Where every element of an encoded data set stands, at every level, in one pass and without recursion.

It reads bytes only: no value is decoded, and nothing is skipped. Items in values of VR UN are found, too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydicom.datadict import dictionary_VR

#: tag, VR (``b"??"``: unknown), start and end of the value, number of the level
Element = tuple[int, bytes, int, int, int]

UNKNOWN = b"??"
#: encoded with a length of 32 bits (PS3.5 section 7.1.2)
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(
    (
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"),
        *(b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    )
)
_UNDEFINED = 0xFFFFFFFF
_ITEM_STARTS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
#: items in one another
_DEEPEST = 64
_Unpack = Callable[[bytes, int], tuple[Any, ...]]
_LITTLE, _BIG = (
    (
        struct.Struct(f"{order}HHI").unpack_from,
        struct.Struct(f"{order}HH2sH").unpack_from,
        struct.Struct(f"{order}I").unpack_from,
    )
    for order in "<>"
)
_CHARACTER_SET = 0x00080005


class Malformed(ValueError):
    """The bytes are not those of a data set."""


@dataclass(frozen=True, kw_only=True)
class Elements:
    """The elements of a data set."""

    value: bytes
    found: list[Element]
    #: of each level but the root: number of the level around it, tag of the sequence, number of the item
    levels: list[tuple[int, int, int]]

    def path(self, tag: int, level: int) -> str:
        """Return a place, e.g. ``(0008,1140)[0].(0008,1155)``."""
        parts = [tag_text(tag)]
        while level:
            level, sequence, number = self.levels[level]
            parts.append(f"{tag_text(sequence)}[{number}]")
        return ".".join(reversed(parts))

    def character_set(self, level: int) -> bytes:
        """Return Specific Character Set as it holds in a level: its own, or that of the level around it."""
        own = self._character_sets
        if not own:
            return b""
        while level and level not in own:
            level = self.levels[level][0]
        return own.get(level, b"")

    @cached_property
    def _character_sets(self) -> Mapping[int, bytes]:
        return {
            element[4]: self.value[element[2] : element[3]] for element in self.found if element[0] == _CHARACTER_SET
        }

    @cached_property
    def by_path(self) -> Mapping[str, bytes]:
        """The values by their places."""
        return {self.path(tag, level): self.value[start:end] for tag, _, start, end, level in self.found}


def tag_text(tag: int) -> str:
    """Return a tag as the standard writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_elements(value: bytes, *, implicit: bool, little: bool) -> Elements:
    """Find the elements of a data set; raises `Malformed` unless they fill it to its end."""
    elements = Elements(value=value, found=[], levels=[(0, 0, 0)])
    _read(elements, 0, len(value), implicit, little)
    return elements


def _read(
    elements: Elements,
    position: int,
    end: int,
    implicit: bool,
    little: bool,
    *,
    within: tuple[int, int] | None = None,
    depth: int = 0,
) -> None:
    """Read elements, or, ``within`` a level and a sequence, items, up to ``end``.

    What surrounds the present frame, a data set or the items of a sequence, is on a stack: where it ends, how it is
    encoded (PS3.5 section 7.5), and where in the tree it is.
    """
    value, levels = elements.value, elements.levels
    add, known_vr, short_vrs = elements.found.append, _VRS.get, _SHORT
    stack: list[tuple[int, bool, bool, bool, bool, int, int, int]] = []
    delimited = False  # ends with a delimiter; ``end`` is that of what is around it
    in_items = within is not None
    level, sequence = within or (0, 0)
    number = first = 0
    head, explicit_head, length = _structs(little)
    try:
        while True:
            if position >= end:
                if delimited or position > end:
                    raise Malformed("cut off")
                if not stack:
                    return
                was_little = little
                end, delimited, in_items, implicit, little, level, sequence, number = stack.pop()
                if little != was_little:
                    head, explicit_head, length = _structs(little)
                continue
            if implicit or in_items:
                group, low, size = head(value, position)
                start = position + 8
                vr = b""
            else:
                group, low, vr, size = explicit_head(value, position)
                start = position + 8
            if group == 0xFFFE:
                (size,) = length(value, position + 4)
                position = start
                if in_items and low == 0xE000:
                    stack.append((end, delimited, True, implicit, little, level, sequence, number + 1))
                    if len(stack) + depth > _DEEPEST * 2:
                        raise Malformed("nested too deeply")
                    levels.append((level, sequence, number))
                    level, in_items, first = len(levels) - 1, False, position
                    delimited = size == _UNDEFINED
                    if not delimited:
                        if position + size > end:
                            raise Malformed("an item is cut off")
                        end = position + size
                elif delimited and low == (0xE0DD if in_items else 0xE00D):
                    delimited, end = False, position
                else:
                    raise Malformed("a delimiter where none can be")
                continue
            if in_items:
                raise Malformed("no item where one has to be")
            tag = group << 16 | low
            if vr in short_vrs:
                stop = start + size
                if stop > end:
                    raise Malformed("an element is cut off")
                add((tag, vr, start, stop, level))
                position = stop
                continue
            if implicit:
                vr = known_vr(tag) or _dictionary_vr(tag)
                if size == _UNDEFINED:
                    vr = b"SQ"
            elif vr in _LONG:
                (size,) = length(value, start)
                start += 4
            elif not (vr.isalpha() and vr.isupper()):
                # some devices write implicit VR in the items of explicit VR
                if not level or position != first:
                    raise Malformed("an element has no VR")
                implicit = True
                continue
            stop = start + size
            if size == _UNDEFINED:
                if vr not in (b"SQ", b"UN"):
                    stop = _end_of_fragments(value, start, end, little)
                    add((tag, vr, start, stop, level))
                    position = stop
                    continue
                stop = end
            elif stop > end:
                raise Malformed("an element is cut off")
            elif vr != b"SQ":
                position = stop
                unknown = vr in (b"UN", UNKNOWN) and value[start : start + 4] in _ITEM_STARTS
                if not (unknown and _read_unknown(elements, start, stop, (level, tag), depth + len(stack) + 1)):
                    add((tag, vr, start, stop, level))
                continue
            stack.append((end, delimited, False, implicit, little, level, sequence, number))
            if len(stack) + depth > _DEEPEST * 2:
                raise Malformed("nested too deeply")
            # the rest of the present frame follows at ``stop``
            delimited, in_items, end, sequence, number, position = size == _UNDEFINED, True, stop, tag, 0, start
            if vr == b"UN" and not implicit:
                # as if it were implicit VR little endian (PS3.5 section 6.2.2 note 2)
                implicit = little = True
                head, explicit_head, length = _structs(little)
    except struct.error:
        raise Malformed("cut off") from None


def _read_unknown(elements: Elements, start: int, stop: int, within: tuple[int, int], depth: int) -> bool:
    """Read the items in a value of unknown VR; False where it has none after all."""
    found, levels = len(elements.found), len(elements.levels)
    if depth <= _DEEPEST * 2:
        try:
            little = elements.value[start : start + 4] == _ITEM_STARTS[0]
            _read(elements, start, stop, True, little, within=within, depth=depth)
            return True
        except Malformed:
            del elements.found[found:], elements.levels[levels:]
    return False


def _end_of_fragments(value: bytes, position: int, end: int, little: bool) -> int:
    """Return where a value in fragments ends (PS3.5 section A.4), with its delimiter."""
    head, _, _ = _structs(little)
    while True:
        group, low, size = head(value, position)
        position += 8
        if group != 0xFFFE or low not in (0xE000, 0xE0DD):
            raise Malformed("a fragment does not start with its tag")
        if low == 0xE0DD:
            return position
        position += size
        if position > end:
            raise Malformed("a fragment is cut off")


def _structs(little: bool) -> tuple[_Unpack, _Unpack, _Unpack]:
    return _LITTLE if little else _BIG


_VRS: dict[int, bytes] = {}


def _dictionary_vr(tag: int) -> bytes:
    """Return the VR of a tag that comes without one, and remember it; `UNKNOWN` for private elements."""
    low = tag & 0xFFFF
    if low == 0:
        vr = b"UL"
    elif tag >> 16 & 1:
        return b"LO" if 0x10 <= low < 0x100 else UNKNOWN
    else:
        try:
            names = dictionary_VR(tag)
        except KeyError:
            return UNKNOWN
        vr = b"OW" if "OW" in names else names[:2].encode()
    _VRS[tag] = vr
    return vr
