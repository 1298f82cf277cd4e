"""The form of a destination: what every type has, and the keys of its kind, in groups that people look for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from karnak_core.config.models import Destination
from karnak_core.errors import NotFound
from karnak_core.kinds import Kind
from karnak_core.pixels.syntaxes import NATIVE, OFFERED, transfer_syntax
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.forms.building import Builder
from karnak_plugins.web_console.forms.nodes import Node
from karnak_plugins.web_console.forms.reading import Reader
from karnak_plugins.web_console.forms.shapes import Shape, Widget, shapes_of
from karnak_plugins.web_console.pages.editing import names_of

#: keys of every type that the form has fields for
COMMON: Final = ("type", "options")
ONLY_UNCOMPRESSED: Final = "transcode_only_uncompressed"
WIDGETS: Final = {ONLY_UNCOMPRESSED: Widget.CHECKBOX}
#: what the configuration says for syntaxes in which nothing is compressed
NATIVE_WORDS: Final = ("keep", *(syntax.keyword for syntax in OFFERED if syntax.uid in NATIVE))


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The fields, by group."""

    by_key: Mapping[str, Node]
    #: keys of the kind that say where it is, or what it does
    main: Sequence[Node]
    #: keys of the kind that limit, and that have defaults that mostly fit
    further: Sequence[Node]

    @property
    def all(self) -> tuple[Node, ...]:
        """Return every field."""
        return (*self.by_key.values(), *self.main, *self.further)


def kind_of(console: Console, name: str) -> Kind[Any, Any]:
    """Return a kind of destinations; raises NotFound."""
    kind = console.plugins.destinations.get(name)
    if kind is None:
        known = ", ".join(console.plugins.destinations)
        raise NotFound(f"there is no type of destinations {name!r}; known: {known}")
    return kind


def groups_of(
    console: Console,
    kind: Kind[Any, Any],
    values: Mapping[str, Any],
    errors: Mapping[str, str],
    made_from: Mapping[str, str] | None = None,
) -> Groups:
    """Return the fields for what a document has."""
    builder = Builder(
        plugins=console.plugins,
        names=names_of(console.configuration),
        errors=errors,
        made_from=made_from,
        widgets=WIDGETS,
    )
    values = {**values, ONLY_UNCOMPRESSED: _only_uncompressed(values)}
    common = builder.fields(Destination, values, without=COMMON)
    limits = {shape.key for shape in shapes_of(kind.config) if _limits(shape)}
    own = builder.fields(kind.config, values)
    return Groups(
        by_key={node.key: node for node in common},
        main=[node for node in own if node.key not in limits],
        further=[node for node in own if node.key in limits],
    )


def read_destination(reader: Reader, kind: Kind[Any, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the destination that a form sent."""
    same = old if old.get("type") == kind.name else {}
    common = reader.read(Destination, same, without=COMMON)
    entry = {"type": kind.name, **common, **reader.read(kind.config, same)}
    only = entry.pop(ONLY_UNCOMPRESSED, False)
    if not _is_native(entry) and not only:
        # true is the default of what is compressed, and of the rest it means nothing
        entry[ONLY_UNCOMPRESSED] = False
    return entry


def _only_uncompressed(values: Mapping[str, Any]) -> bool:
    written = values.get(ONLY_UNCOMPRESSED)
    return written if isinstance(written, bool) else not _is_native(values)


def _is_native(values: Mapping[str, Any]) -> bool:
    try:
        return transfer_syntax(str(values.get("transfer_syntax") or "keep")) in ("", *NATIVE)
    except ValueError:
        # the check says what is wrong with it
        return True


def _limits(shape: Shape) -> bool:
    return not shape.required and (
        shape.widget is Widget.QUANTITY
        or shape.widget is Widget.GROUP
        or (shape.widget is Widget.NUMBER and not shape.optional)
    )
