"""YAML text to a document of mappings, lists and values, and back; nothing else that YAML can do.

Values are read as YAML 1.2 does: ``no``, ``on``, ``0123`` and ``12:30`` are texts, so an AE title needs no quotes for
looking like something else. Keys are always texts and stand once. Size, depth and what aliases expand to are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from karnak_core.errors import ConfigProblem, ConfigurationError

MAX_BYTES = 1024 * 1024
TOO_LARGE = ConfigProblem(place="", message=f"the file is larger than {MAX_BYTES // 1024} KiB")
MAX_DEPTH = 40
#: mappings, lists and values after every alias has been replaced by what it stands for
MAX_NODES = 100_000

_BOOL, _INT, _FLOAT, _NULL, _MERGE, _TEXT = (
    f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "merge", "str")
)


class _Loader(yaml.SafeLoader):
    """The safe loader with the plain values of YAML 1.2 and a limit to nesting."""

    # filled below: the base class's are not inherited
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's way
    depth = 0
    count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        self.count += 1
        stream: Any = self
        if self.depth > MAX_DEPTH:
            raise _Refused(stream.peek_event().start_mark, f"nested deeper than {MAX_DEPTH} levels")
        if self.count > MAX_NODES:
            raise _Refused(stream.peek_event().start_mark, f"has more than {MAX_NODES} entries before this one")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _pattern, _first in (
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_INT, r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    (_FLOAT, r"[-+]?(?:[0-9]{1,18}\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]{1,3})?", "-+.0123456789"),
    (_NULL, r"~|null|Null|NULL|", "~nN\0"),
    (_MERGE, r"<<", "<"),
):
    for _letter in _first:
        _Loader.yaml_implicit_resolvers.setdefault("" if _letter == "\0" else _letter, []).append(
            (_tag, re.compile(f"(?:{_pattern})\\Z"))
        )


class _Refused(Exception):
    """Something that YAML allows and a configuration does not."""

    def __init__(self, mark: yaml.Mark | None, message: str) -> None:
        self.problem = ConfigProblem(place=_place(mark), message=message)
        super().__init__(message)


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def parse(text: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds.

    Raises
    ------
    ConfigurationError
        It is no YAML, no mapping or too large; keys stand twice: all of these. Places are lines and columns.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigurationError([TOO_LARGE])
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise _Refused(None, "the file is empty; write {} for a configuration of defaults only")
        if not isinstance(node, yaml.MappingNode):
            raise _Refused(node.start_mark, "is not a mapping of keys to values")
        inspection = _Inspection()
        inspection.size(node)
        if inspection.problems:
            raise ConfigurationError(inspection.problems)
        document: dict[str, Any] = loader.construct_document(node)
    except _Refused as error:
        raise ConfigurationError([error.problem]) from None
    except yaml.MarkedYAMLError as error:
        # the error's own text shows lines of the file, and secrets may stand there
        words = ": ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        raise ConfigurationError([ConfigProblem(place=_place(mark), message=words)]) from None
    except yaml.reader.ReaderError as error:
        words = f"character {error.character!r} is not allowed in YAML"
        raise ConfigurationError([ConfigProblem(place=f"position {error.position}", message=words)]) from None
    return document


class _Inspection:
    """Walks the parsed nodes once, each a single time, before anything is made of them."""

    def __init__(self) -> None:
        self.problems: list[ConfigProblem] = []
        self._sizes: dict[int, int | None] = {}

    def size(self, node: yaml.Node) -> int:
        """Return how many nodes this is when aliases are replaced; note every problem."""
        known = self._sizes.get(id(node), 0)
        if known is None:
            raise _Refused(node.start_mark, "contains itself")
        if known:
            return known
        self._sizes[id(node)] = None
        size = 1
        if isinstance(node, yaml.MappingNode):
            self._keys(node)
            size += sum(1 + self.size(value) for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(self.size(item) for item in node.value)
        else:
            self._text(node)
        if size > MAX_NODES:
            raise _Refused(node.start_mark, f"has more than {MAX_NODES} entries with its aliases expanded")
        self._sizes[id(node)] = size
        return size

    def _keys(self, node: yaml.MappingNode) -> None:
        seen: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, "a key has to be text")
                continue
            self._text(key)
            if key.tag == _MERGE:
                continue
            key.tag = _TEXT
            if key.value in seen:
                self._note(key, f"key {key.value!r} stands twice; first in line {seen[key.value].start_mark.line + 1}")
            else:
                seen[key.value] = key

    def _text(self, node: yaml.Node) -> None:
        if any((c < " " and c not in "\t\n\r") or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in node.value):
            self._note(node, "has a control character")

    def _note(self, node: yaml.Node, message: str) -> None:
        self.problems.append(ConfigProblem(place=_place(node.start_mark), message=message))


#: what YAML takes for the end of a line, or once did
_LINE_ENDS = frozenset("\r\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    """The safe dumper without anchors, and with list items indented under their key."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # line ends other than LF would be read as LF where they are not escaped
        style = "|" if _is_readable_block(data) else '"' if set(data) & _LINE_ENDS else None
        return self.represent_scalar(_TEXT, data, style=style)

    def analyze_scalar(self, scalar: str) -> Any:
        found: Any = super().analyze_scalar(scalar)
        # tabs and blanks at ends of lines, too, can stand in a block
        found.allow_block = found.allow_block or _is_readable_block(scalar)
        return found


_Dumper.add_representer(str, _Dumper.represent_str)


def _is_readable_block(text: str) -> bool:
    """Say whether a text is written as a block of its lines, of which nothing is lost when it is read."""
    if "\n" not in text or text[0] in " \t\n":
        return False
    return all(character in "\t\n" or character.isprintable() for character in text) and "\ufeff" not in text


def write(document: Mapping[str, Any]) -> str:
    """Return the document as YAML text, keys in their order."""
    text: str = yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
    return text
