"""The text of a profile, YAML in the format of the Java Karnak, to entries that know their lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from karnak_core.deidentify.entry import Entry, Text
from karnak_core.deidentify.errors import Problem
from karnak_core.deidentify.masks import Mask, read_mask

MAX_CHARACTERS = 1024 * 1024
#: mappings, lists and texts, each counted as often as an alias repeats it
_MAX_NODES = 50_000
_ELEMENT_KEYS = (
    "name", "codename", "condition", "action", "option", "args", "arguments", "tags", "excludedTags"
)  # fmt: skip
_MASK_KEYS = ("stationName", "color", "rectangles", "imageWidth", "imageHeight")
_KEYS = ("name", "version", "minimumKarnakVersion", "defaultIssuerOfPatientID", "profileElements", "masks")


@dataclass(kw_only=True)
class Source:
    """What a profile's text says, and what is wrong with it."""

    name: str = ""
    version: str = ""
    minimum_version: str = ""
    #: has no effect: the issuer is a setting of the destination
    default_issuer: str = ""
    entries: list[Entry] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_source(text: str) -> Source:
    """Read a profile's text; everything that is wrong with its form is among ``problems``."""
    source = Source()
    try:
        node = _composed(text)
        if node is None:
            raise _Malformed(1, "the profile is empty")
        _Reading(source).profile(node)
    except _Malformed as error:
        source.problems.append(Problem(line=error.line, message=error.message))
    return source


class _Malformed(Exception):
    def __init__(self, line: int, message: str) -> None:
        self.line, self.message = line, message
        super().__init__(message)


class _Loader(yaml.SafeLoader):
    """Makes nodes only, and not too many of them."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > 20:
            stream: Any = self
            raise _Malformed(stream.peek_event().start_mark.line + 1, "nested deeper than 20 levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _composed(text: str) -> yaml.Node | None:
    if len(text) > MAX_CHARACTERS:
        raise _Malformed(1, f"the profile is longer than {MAX_CHARACTERS} characters")
    try:
        node: yaml.Node | None = _Loader(text).get_single_node()
        return node
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        words = ": ".join(part for part in (error.context, error.problem) if part)
        raise _Malformed(mark.line + 1 if mark else 1, f"not YAML: {words}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Malformed(line, "a character that YAML does not allow") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise _Malformed(1, "not YAML") from None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class _Reading:
    """Walks the nodes once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._count = 0

    def profile(self, node: yaml.Node) -> None:
        source = self._source
        keys = dict(self._mapping(node, "the profile", _KEYS))
        texts = {key: self._text(keys[key], key) for key in _KEYS[:4] if key in keys}
        source.name, source.version, source.minimum_version, source.default_issuer = (
            found.text if (found := texts.get(key)) else "" for key in _KEYS[:4]
        )
        if len(source.name) > 64 or "\\" in source.name:
            # it becomes Clinical Trial Protocol ID, an LO
            self._note(keys["name"], "name: is not 64 characters at most, without a backslash")
        elements = keys.get("profileElements")
        if elements is None or self._is_null(elements):
            self._note(node, "profileElements is missing")
        else:
            source.entries = [self._entry(item) for item in self._items(elements, "profileElements")]
        if "masks" in keys:
            found_masks = [self._mask(item) for item in self._items(keys["masks"], "masks")]
            source.masks = [mask for mask in found_masks if mask]

    def _entry(self, node: yaml.Node) -> Entry:
        entry = Entry(line=_line(node))
        take: dict[str, Callable[[yaml.Node], object]] = {
            "name": lambda value: setattr(entry, "name", self._plain(value, "name")),
            "codename": lambda value: setattr(entry, "codename", self._plain(value, "codename")),
            "condition": lambda value: setattr(entry, "condition", self._text(value, "condition")),
            "action": lambda value: setattr(entry, "action", self._text(value, "action")),
            "option": lambda value: setattr(entry, "option", self._text(value, "option")),
            "arguments": lambda value: setattr(entry, "arguments", self._arguments(value)),
            "tags": lambda value: setattr(entry, "tags", self._texts(value, "tags")),
            "excludedTags": lambda value: setattr(entry, "excluded_tags", self._texts(value, "excludedTags")),
            "args": lambda value: self._text(value, "args"),  # accepted and ignored, as there
        }
        for key, value in self._mapping(node, "an element", _ELEMENT_KEYS):
            take[key](value)
        for key in ("name", "codename"):
            if not getattr(entry, key).strip():
                self._note(node, f"{key} of the element is missing")
        return entry

    def _mask(self, node: yaml.Node) -> Mask | None:
        values: dict[str, Text] = {}
        rectangles: list[Text] = []
        for key, value in self._mapping(node, "a mask", _MASK_KEYS):
            if key == "rectangles":
                rectangles = self._texts(value, key)
            elif text := self._text(value, key):
                values[key] = text
        return read_mask(_line(node), values, rectangles, self._source.problems)

    def _arguments(self, node: yaml.Node) -> Mapping[str, Text]:
        pairs = [] if self._is_null(node) else list(self._mapping(node, "arguments", None))
        return {key: text for key, value in pairs if (text := self._text(value, f"argument {key}"))}

    def _texts(self, node: yaml.Node, what: str) -> list[Text]:
        texts: list[Text] = []
        for item in [] if self._is_null(node) else self._items(node, what):
            text = self._text(item, what)
            if text is None:
                self._note(item, f"{what}: has an empty entry")
            else:
                texts.append(text)
        return texts

    def _plain(self, node: yaml.Node, what: str) -> str:
        found = self._text(node, what)
        return found.text if found else ""

    def _text(self, node: yaml.Node, what: str) -> Text | None:
        """Return a text as it is written, whatever YAML would make of it; None for null."""
        self._counted(node)
        if not isinstance(node, yaml.ScalarNode):
            self._note(node, f"{what}: has to be a text")
            return None
        return None if self._is_null(node) else Text(node.value, _line(node))

    def _is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"

    def _items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        self._counted(node)
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self._note(node, f"{what}: has to be a list")
        return []

    def _mapping(self, node: yaml.Node, what: str, known: tuple[str, ...] | None) -> Iterator[tuple[str, yaml.Node]]:
        self._counted(node)
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"{what}: has to be a mapping of keys to values")
            return
        seen: set[str] = set()
        for key, value in node.value:
            self._counted(key)
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name or (known is not None and name not in known):
                names = f"; known are {', '.join(known)}" if known else ""
                self._note(key, f"{what}: unknown key {name[:40]!r}{names}")
            elif name in seen:
                self._note(key, f"{what}: key {name[:40]!r} stands twice")
            else:
                seen.add(name)
                yield name, value

    def _counted(self, node: yaml.Node) -> None:
        self._count += 1
        if self._count > _MAX_NODES:
            raise _Malformed(_line(node), f"the profile has more than {_MAX_NODES} entries")

    def _note(self, node: yaml.Node, message: str) -> None:
        self._source.problems.append(Problem(line=_line(node), message=message))
