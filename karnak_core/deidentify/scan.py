"""Sequences decided on their bytes: what nothing changes is not taken apart, however many items there are.

Decides as `Walk` does, which goes through data sets, and hands an item to it where the bytes alone do not tell: where
elements are asked about one by one, where private ones stay, and where the item has a character set of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from karnak_core.deidentify.actions import Decision, Dummy
from karnak_core.deidentify.dummies import code_elements
from karnak_core.deidentify.encode import Encoder, make_raw, tag_of
from karnak_core.deidentify.items import (
    DEEPEST,
    ITEM,
    ITEM_END,
    KINDS,
    UNDEFINED,
    ItemReader,
    MalformedItems,
    codecs_in,
    encoded_elements,
    encoded_items,
    kind_of,
)
from karnak_core.deidentify.level import Elements, Level, Where
from karnak_core.deidentify.plan import GOES, HAS_ITEMS, STAYS, UNKNOWN, Plan
from karnak_core.deidentify.undecoded import Element
from karnak_core.expressions import Remove, ReplaceNull
from karnak_core.expressions.values import public_vr


class Unscannable(Exception):
    """The sequence has to be gone through as data sets; that is where it is refused, too."""


class Decider(Protocol):
    """What a scan asks: the `Walk`."""

    #: tags that an element says to keep
    kept: set[int]

    def sequence_action(
        self, action: Decision | None, path: tuple[int, ...], items: Callable[[], Sequence[Dataset]]
    ) -> Decision | None:
        """Return what counts in the items of a sequence; Remove or ReplaceNull for the whole of it."""
        ...

    def carried_out(self, action: Decision, place: Where, element: Element, vr: str) -> Element | None:
        """Return an element that is no sequence after an action."""
        ...

    def walked(self, level: Level, decider: int, inherited: Decision | None) -> Elements | None:
        """Return the new elements of an item; None where nothing changes."""
        ...


class _NeedsDataSet(Exception):
    """An element cannot be decided without the others of its item."""


class _Place(NamedTuple):
    """Where an element is, for actions that look at its own bytes only."""

    encoder: Encoder
    path: tuple[int, ...]

    def texts(self, _tag: int, _vr: str) -> tuple[str, ...]:
        raise _NeedsDataSet


class Scan:
    """The pass over the bytes of one sequence."""

    def __init__(
        self, decider: Decider, plan: Plan, level: Level, value: bytes, *, implicit: bool, little: bool
    ) -> None:
        self._decider = decider
        self._plan = plan
        self._level = level
        self._value = value
        self._implicit = implicit
        self._little = little
        self._reader = ItemReader(value, implicit=implicit, little=little)
        self._head = struct.Struct("<HHI" if little else ">HHI")
        self._short = struct.Struct("<HH2sH" if little else ">HH2sH")
        self._long = struct.Struct("<I" if little else ">I")

    def new_value(self, path: tuple[int, ...], decider: int, action: Decision | None) -> bytes | None:
        """Return the new bytes of the sequence's value; None where nothing changes.

        Parameters
        ----------
        path
            Tags of the sequences around its items, itself included.
        decider, action
            Which profile element decided the sequence, and what counts in its items.

        Raises
        ------
        Unscannable
            It has to be gone through otherwise: perhaps it is malformed.
        """
        try:
            return self._items(0, len(self._value), path, decider, action)
        except MalformedItems:
            raise Unscannable from None

    def _items(
        self, position: int, end: int, path: tuple[int, ...], decider: int, action: Decision | None
    ) -> bytes | None:
        if len(path) > DEEPEST:
            raise Unscannable
        head, value = self._head, self._value
        items: list[tuple[int, int, bytes | None]] = []
        changed = False
        while position < end:
            if position + 8 > end:
                raise Unscannable
            group, low, size = head.unpack_from(value, position)
            if group << 16 | low != ITEM:
                raise Unscannable
            start = position + 8
            stop, new = self._item(start, end, size, path, decider, action)
            position = stop if size != UNDEFINED else stop + 8
            changed = changed or new is not None
            items.append((start, stop, new))
        if not changed:
            return None
        parts: list[bytes] = []
        for start, stop, new in items:
            own = value[start:stop] if new is None else new
            parts += (head.pack(0xFFFE, 0xE000, len(own)), own)
        return b"".join(parts)

    def _item(
        self, start: int, end: int, length: int, path: tuple[int, ...], decider: int, action: Decision | None
    ) -> tuple[int, bytes | None]:
        """Return where the contents of an item end, and the new ones; None where nothing changes."""
        try:
            return self._scanned(start, end, length, path, decider, action)
        except _NeedsDataSet:
            return self._as_data_set(start, end, length, path, decider, action)

    def _scanned(
        self, start: int, end: int, length: int, path: tuple[int, ...], decider: int, action: Decision | None
    ) -> tuple[int, bytes | None]:
        value, implicit = self._value, self._implicit
        if length != UNDEFINED:
            if start + length > end:
                raise Unscannable
            end = start + length
        known, find_out = self._plan.verdicts(decider, action)
        head = self._head.unpack_from if implicit else self._short.unpack_from
        parts: list[bytes] = []
        position = copied = start
        last = -1
        code = b""
        while position < end:
            at = position
            if at + 8 > end:
                raise Unscannable
            if implicit:
                group, low, size = head(value, at)
            else:
                group, low, code, size = head(value, at)
            tag = group << 16 | low
            if tag <= last:
                raise Unscannable  # not in order, or twice
            last = tag
            if group == 0xFFFE:
                if tag == ITEM_END and length == UNDEFINED:
                    end = at
                    break
                raise Unscannable
            begin = at + 8
            if implicit:
                vr = "SQ" if size == UNDEFINED else public_vr(tag)
            else:
                vr, is_long = KINDS.get(code) or kind_of(code)
                if is_long:
                    if begin + 4 > end:
                        raise Unscannable
                    (size,) = self._long.unpack_from(value, begin)
                    begin += 4
            kind, index, own = known.get(tag) or find_out(tag)
            if kind is UNKNOWN or (vr == "UN" and kind is not GOES):
                raise _NeedsDataSet
            if own is not None and (kind is STAYS or kind is HAS_ITEMS):
                self._decider.kept.add(tag)
            if size == UNDEFINED:
                stop, position = self._reader.end_of_sequence(begin, end, len(path), vr)
            else:
                stop = position = begin + size
                if stop > end:
                    raise Unscannable
            new: bytes | None
            if kind is GOES:
                new = b""
            elif vr == "SQ":
                new = self._sequence(at, begin, stop, size == UNDEFINED, (*path, tag), index, own)
            elif kind is STAYS:
                continue
            elif size == UNDEFINED or kind is HAS_ITEMS:
                raise _NeedsDataSet
            else:
                new = self._leaf(at, begin, value[begin:stop], tag, vr, path, own)
            if new is not None:
                parts += (value[copied:at], new)
                copied = position
        else:
            if length == UNDEFINED:
                raise Unscannable
        if not parts:
            return end, None
        parts.append(value[copied:end])
        return end, b"".join(parts)

    def _sequence(
        self, at: int, begin: int, stop: int, undefined: bool, path: tuple[int, ...], index: int, own: Decision | None
    ) -> bytes | None:
        """Return a nested sequence anew: ``at`` its head, ``begin`` its value; None where nothing changes."""
        if begin == stop:
            return None
        action = self._decider.sequence_action(own, path, lambda: self._data_sets(begin, stop))
        if isinstance(action, Remove):
            return b""
        if isinstance(action, ReplaceNull):
            return self._with_head(at, begin, b"")
        if isinstance(action, Dummy):
            coded = {one.tag: one for one in code_elements(self._level.encoder)}
            code = encoded_items([coded], implicit=self._implicit, little=self._little)
            if code is None:
                raise Unscannable
            return self._with_head(at, begin, code)
        new = self._items(begin, stop, path, index, action)
        return None if new is None else self._with_head(at, begin, new, undefined=undefined)

    def _leaf(
        self, at: int, begin: int, value: bytes, tag: int, vr: str, path: tuple[int, ...], action: Decision | None
    ) -> bytes | None:
        """Return another element anew; None where nothing changes."""
        assert action is not None
        own_vr = None if self._implicit else vr
        raw = make_raw((tag_of(tag), own_vr, len(value), value, 0, self._implicit, self._little, True, False))
        new = self._decider.carried_out(action, _Place(self._level.encoder, path), raw, vr)
        if new is raw:
            return None
        if new is None:
            return b""
        if vr != new.VR or not isinstance(new, RawDataElement):
            raise _NeedsDataSet
        return self._with_head(at, begin, new.value or b"")

    def _with_head(self, at: int, begin: int, value: bytes, *, undefined: bool = False) -> bytes:
        """Return a value with the head of the element that it replaces, and its own length."""
        length = UNDEFINED if undefined else len(value)
        width = 2 if begin - at == 8 and not self._implicit else 4
        if length >> 8 * width:
            raise _NeedsDataSet
        head = self._value[at : begin - width] + length.to_bytes(width, "little" if self._little else "big")
        if undefined:
            return b"".join((head, value, self._head.pack(0xFFFE, 0xE0DD, 0)))
        return head + value

    def _data_sets(self, begin: int, stop: int) -> Sequence[Dataset]:
        reader = ItemReader(self._value[begin:stop], implicit=self._implicit, little=self._little)
        return reader.items(codecs_in(self._level.dataset))

    def _as_data_set(
        self, start: int, end: int, length: int, path: tuple[int, ...], decider: int, action: Decision | None
    ) -> tuple[int, bytes | None]:
        item, stop = self._reader.item(start, end, length, codecs_in(self._level.dataset), len(path))
        elements = self._decider.walked(self._level.nested(item, path), decider, action)
        if elements is None:
            return stop, None
        new = encoded_elements(elements, implicit=self._implicit, little=self._little)
        if new is None:
            raise Unscannable
        return stop, new
