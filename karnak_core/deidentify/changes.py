"""What de-identification did to a data set, element by element, for those who want to see it."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from karnak_core.deidentify.errors import DeidentificationError, tag_text
from karnak_core.deidentify.undecoded import Element, items_of, vr_of
from karnak_core.expressions.spots import RuleError
from karnak_core.expressions.values import text_values

_LONGEST = 200

#: Where an element is: tag of a sequence and index of an item, from the root; then come tag and VR.
Place = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One element that is not what it was. Holds values of the data set: for eyes that may see them."""

    place: Place
    tag: int
    vr: str
    #: None: the element was not there
    before: str | None
    #: None: the element is gone
    after: str | None
    #: name of the profile element that decided; empty: the engine itself
    element: str
    codename: str

    @property
    def path(self) -> str:
        """Return where it is, as ``(0008,1140)[0].(0008,1155)``."""
        return "".join(f"{tag_text(tag)}[{index}]." for tag, index in self.place) + tag_text(self.tag)


def shown(level: Dataset, element: Element) -> str:
    """Return an element's value as text, shortened; what has no text as its size."""
    try:
        vr = vr_of(level, element)
        if vr == "SQ":
            count = len(items_of(level, element))
            return f"{count} item{'' if count == 1 else 's'}"
        one = Dataset(parent_encoding=level._parent_encoding)
        one[element.tag] = element
        if 0x00080005 in level and element.tag != 0x00080005:
            one[0x00080005] = level.get_item(0x00080005)
        text = "\\".join(text_values(one, element.tag))
    except (RuleError, DeidentificationError):
        value = element.value
        return f"{len(value)} bytes" if isinstance(value, bytes) else "a value that cannot be shown"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
