"""The fields of a form, as templates show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Row:
    """One entry of a list in a form."""

    #: of its marker, ``follow_ups[0]``
    name: str
    title: str
    fields: tuple[Node, ...]
    #: the type of a part; empty: it is none
    kind: str = ""
    #: tells which entry it was made from; empty: it is new
    made_from: str = ""
    #: true: something is wrong with it as a whole
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A field, or several that belong together."""

    #: of the form's control: the place in the part of the configuration, and the kinds on the way
    name: str
    #: where it stands in the part of the configuration, as messages name it
    place: str
    key: str
    label: str
    widget: str
    help: str = ""
    error: str = ""
    required: bool = False
    value: str = ""
    #: of a checkbox; of a group that may be left out: it is there
    checked: bool = False
    optional: bool = False
    #: of a select: value and text
    options: Mapping[str, str] = field(default_factory=dict)
    #: characters, at most
    longest: int | None = None
    #: of a secret: there is one that is encrypted
    stored: bool = False
    #: of a secret: where it is from
    how: str = ""
    fields: tuple[Node, ...] = ()
    rows: tuple[Row, ...] = ()
    #: of a part, the fields of each kind; of a list, what a new entry begins as
    kinds: tuple[Row, ...] = ()

    @property
    def wrong(self) -> bool:
        """Say whether anything is wrong with it, or in it."""
        return any(node.error for node in walk([self]))


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield every node, the outer ones first; not what new entries begin as."""
    for node in nodes:
        yield node
        yield from walk(node.fields)
        for row in node.rows:
            yield from walk(row.fields)
        if node.widget == "part":
            for row in node.kinds:
                if row.kind == node.value:
                    yield from walk(row.fields)


def told(nodes: Iterable[Node], errors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return everything that is wrong: the name of its field, the label, and the words; without a field: empty."""
    known = {node.place: node for node in walk(nodes)}
    found = []
    for place, said in errors.items():
        node = known.get(_nearest(place, known))
        found.append((node.name, node.label, said) if node else ("", place, said))
    return found


def _nearest(place: str, known: Mapping[str, Node]) -> str:
    while place and place not in known:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return place
