"""What elements are called."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from pydicom.datadict import dictionary_description, private_dictionary_description
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from karnak_core.deidentify import Change, DeidentificationError, first_text_of
from karnak_core.deidentify.undecoded import items_of

PRIVATE = "private element"


class Names:
    """Names the elements of a data set; private ones where it is known what their creator means by them."""

    def __init__(self, received: Dataset) -> None:
        self._levels: dict[tuple[tuple[int, int], ...], Dataset | None] = {(): received}

    def of(self, change: Change) -> str:
        """Return the name of an element that changed."""
        if not change.tag >> 16 & 1 or change.tag & 0xFFFF < 0x1000:
            return name_of(change.tag)
        level = self._level(change.place)
        if level is None:
            return PRIVATE
        try:
            creator = first_text_of(level, change.tag & 0xFFFF0000 | (change.tag & 0xFFFF) >> 8)
        except DeidentificationError:
            return PRIVATE
        # the dictionary's word, never the creator's: that one is a value of the data set
        return _private_name(change.tag, creator)

    def _level(self, place: Sequence[tuple[int, int]]) -> Dataset | None:
        key = tuple(place)
        if key not in self._levels:
            around, (tag, index) = self._level(key[:-1]), key[-1]
            self._levels[key] = None
            if around is not None and tag in around:
                # an item that is new, or cannot be read, has no names
                with suppress(DeidentificationError, IndexError):
                    self._levels[key] = items_of(around, around.get_item(tag))[index]
        return self._levels[key]


@lru_cache(maxsize=8192)
def name_of(tag: int) -> str:
    """Return the name of an attribute (PS3.6)."""
    if tag & 0xFFFF == 0:
        return "Group Length"
    if tag >> 16 & 1:
        return "Private Creator" if 0x10 <= tag & 0xFFFF <= 0xFF else PRIVATE
    try:
        return dictionary_description(tag)
    except KeyError:
        return "not in the data dictionary"


@lru_cache(maxsize=8192)
def _private_name(tag: int, creator: str) -> str:
    try:
        return f"private: {private_dictionary_description(BaseTag(tag), creator)}"
    except KeyError:
        return PRIVATE
