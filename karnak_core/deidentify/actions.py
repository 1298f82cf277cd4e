"""What can be done to a data element: the actions of expressions, and those that only the engine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from karnak_core.expressions import (
    Add,
    ComputePatientAge,
    ExcludeInstance,
    Keep,
    Remove,
    Replace,
    ReplaceNull,
    Uid,
)

if TYPE_CHECKING:
    from karnak_core.deidentify.visit import Visit


@dataclass(frozen=True, slots=True)
class Dummy:
    """Replace the value by the one that its VR has for this: PS3.15 action D."""


@dataclass(frozen=True, slots=True)
class ByType:
    """Decide by the attribute's type in the IOD: a combined action of PS3.15 Table E.1-1."""

    #: X/Z, X/D, X/Z/D, Z/D, X/Z/U or X/Z/U*; or X1
    symbol: str


@dataclass(frozen=True, slots=True)
class OnlyInstanceUids:
    """Inside a sequence that is kept for what it refers to: replace UIDs of instances, keep the rest."""


@dataclass(frozen=True, slots=True)
class OnlyIdentity:
    """Inside a sequence that gets dummy values: replace free text, dates and UIDs; keep codes and numbers."""


Decision = (
    Keep
    | Remove
    | ReplaceNull
    | Replace
    | Uid
    | ExcludeInstance
    | ComputePatientAge
    | Add
    | Dummy
    | ByType
    | OnlyInstanceUids
    | OnlyIdentity
)

#: What a profile element has for a tag: always the same, or to be found out for the data element at hand. None there:
#: no decision, the next profile element is asked.
Choice = Decision | Callable[["Visit"], Decision | None]

#: The symbols of a profile's key ``action``.
SYMBOLS: dict[str, Decision] = {
    "K": Keep(),
    "X": Remove(),
    "Z": ReplaceNull(),
    "U": Uid(),
    "D": Replace(None),
    "DDum": Dummy(),
}

#: Symbol of a combined action -> attribute type -> what it comes to; "" where no type is known: the strictest.
_BY_TYPE: dict[str, tuple[Decision, Decision, Decision, Decision, Decision]] = {
    # 1 and 1C, 2 and 2C, 3, "None", unknown
    "Z/D": (Dummy(), ReplaceNull(), ReplaceNull(), ReplaceNull(), Dummy()),
    "X/D": (Dummy(), Dummy(), Remove(), Dummy(), Dummy()),
    "X/Z/D": (Dummy(), ReplaceNull(), Remove(), Remove(), Dummy()),
    "X/Z": (Remove(), ReplaceNull(), Remove(), Remove(), ReplaceNull()),
    "X/Z/U": (Uid(), ReplaceNull(), Remove(), Remove(), Uid()),
    "X/Z/U*": (Uid(), ReplaceNull(), Remove(), Remove(), Uid()),
}
#: removed, except where the IOD cannot do without
_BY_TYPE["X1"] = (Dummy(), Remove(), Remove(), Remove(), Remove())
_COLUMN = {"1": 0, "1C": 0, "2": 1, "2C": 1, "3": 2, "None": 3, None: 4}


def by_type(symbol: str, kind: str | None, *, is_sequence: bool = False) -> Decision:
    """Return what a combined action comes to for an attribute of a type; None: its type is not known.

    A type 2 sequence of references (X/Z/U*) keeps its items with other UIDs in them. PS3.15 would have it empty, but
    then a segmentation would no longer say which image its frames were made from, and the new UIDs identify nobody.
    """
    if is_sequence and symbol == "X/Z/U*" and kind in ("2", "2C"):
        return Uid()
    return _BY_TYPE[symbol][_COLUMN[kind]]
