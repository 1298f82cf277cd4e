"""What de-identification did to one data set, element by element, as it may be shown.

`diff_of` makes the rows; `karnak_core.tryout.terminal`, ``page`` and ``lines`` show them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydicom.dataset import Dataset

from karnak_core.deidentify import Change
from karnak_core.tryout.masking import CUT, Originals
from karnak_core.tryout.names import Names

#: how a masked value is written
MASK: Final = "•••"
#: VRs whose values are told by their size only
_SIZES: Final = frozenset("OB OD OF OL OV OW SQ UN".split())  # noqa: SIM905
_SIZE: Final = re.compile(r"\d+ (items?|bytes)")
_INDEX: Final = re.compile(r"\[\d+\]")


class What(StrEnum):
    """What became of an element."""

    CHANGED = "changed"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value of an element, or that there is one."""

    #: shortened to 200 characters; None: masked
    text: str | None
    #: of the text, when it is shortened of what is left
    characters: int

    def __str__(self) -> str:
        if self.text is not None:
            return plain(self.text) if self.text else "(empty)"
        return f"{MASK} {self.characters} character{'' if self.characters == 1 else 's'}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One element that is not what it was."""

    what: What
    #: as ``(0008,1140)[0].(0008,1155)``, items counted from 0
    path: str
    #: of the standard; of private ones what they are
    name: str
    vr: str
    #: None: the element was not there
    before: Value | None
    #: None: the element is gone
    after: Value | None
    #: the profile element that decided; empty: the engine itself
    element: str
    codename: str

    @property
    def kind_of_path(self) -> str:
        """Return the path without the numbers of items."""
        return _INDEX.sub("[]", self.path)

    @property
    def decided_by(self) -> str:
        """Return who decided, in words."""
        return who_decided(self.element, self.codename)


def who_decided(element: str, codename: str) -> str:
    """Return in words which profile element it was."""
    if not codename:
        return "Karnak itself"
    return f"{plain(element)} ({codename})" if element else codename


def diff_of(received: Dataset, changes: Sequence[Change], *, show_values: bool) -> tuple[Row, ...]:
    """Return what changed, in the order of the elements.

    Parameters
    ----------
    received
        The data set as it was received; not needed any more for anything else, as some of it is decoded on the way.
    changes
        What `Profile.apply` or `Profile.morph` noted.
    show_values
        False: values of the received data set are masked, also where they stand in the new one.
    """
    originals = None if show_values else Originals(received)
    names = Names(received)
    ordered = sorted(changes, key=lambda one: (*one.place, (one.tag, -1)))
    return tuple(_row(change, names.of(change), originals) for change in ordered if not _looks_the_same(change))


def _looks_the_same(change: Change) -> bool:
    """Tell whether an element was only written anew."""
    return change.before == change.after and change.vr not in _SIZES and not (change.after or "").endswith(CUT)


def _row(change: Change, name: str, originals: Originals | None) -> Row:
    what = What.CHANGED
    if change.before is None:
        what = What.ADDED
    elif change.after is None:
        what = What.REMOVED
    return Row(
        what=what,
        path=change.path,
        name=name,
        vr=change.vr,
        before=_value(change.before, change.vr, masked=originals is not None),
        after=_value(change.after, change.vr, masked=originals is not None and originals.shows_in(change)),
        element=change.element,
        codename=change.codename,
    )


def _value(text: str | None, vr: str, *, masked: bool) -> Value | None:
    if text is None:
        return None
    if not text or (vr in _SIZES and _SIZE.fullmatch(text)):
        masked = False
    return Value(text=None if masked else text, characters=len(text))


def plain(text: str) -> str:
    """Return a text that is safe to print: control characters, and those that change directions, are written out."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
