"""What a form sent becomes a part of the configuration, for the check to look at."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import FormData

from karnak_core.config import yaml_text
from karnak_core.config.parts import Part
from karnak_core.config.reading import Reading
from karnak_core.errors import ConfigurationError
from karnak_core.plugins import Plugins
from karnak_plugins.web_console.forms import headers
from karnak_plugins.web_console.forms.building import digest
from karnak_plugins.web_console.forms.shapes import Shape, Widget, shapes_of
from karnak_plugins.web_console.masks import is_stored, unmasked

#: entries of one list, at most; a form cannot have more
MOST = 1000


class _LeftOut:
    """The key is not written."""


_OUT = _LeftOut()


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads forms that :class:`~karnak_plugins.web_console.forms.building.Builder` made.

    Values that are not right are kept as they were written: the check says what is wrong with them.
    """

    form: FormData
    plugins: Plugins
    widgets: Mapping[str, Widget] = field(default_factory=dict)
    #: which entry each row was made from, by place; filled in while reading
    made_from: dict[str, str] = field(default_factory=dict)

    def read(
        self,
        model: type[BaseModel],
        before: Any,
        *,
        name: str = "",
        place: str = "",
        without: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the keys that were sent; what is its default is left out.

        Parameters
        ----------
        before
            The part as it is now: secrets that the form leaves alone are taken from it.
        """
        known = before if isinstance(before, Mapping) else {}
        found: dict[str, Any] = {}
        for shape in shapes_of(model, without):
            at, where = f"{name}.{shape.key}".lstrip("."), f"{place}.{shape.key}".lstrip(".")
            value = self._value(shape, known.get(shape.key), at, where)
            if value is not _OUT:
                found[shape.key] = value
        return found

    def _value(self, shape: Shape, before: Any, name: str, place: str) -> Any:
        match self.widgets.get(name, shape.widget):
            case Widget.CHECKBOX:
                ticked = name in self.form
                return _OUT if ticked is shape.default else ticked
            case Widget.SECRET:
                return self._secret(before, name)
            case Widget.GROUP:
                return self._group(shape, before, name, place)
            case Widget.PART:
                return self._part(shape, before, name, place)
            case Widget.ROWS | Widget.PARTS:
                return self._rows(shape, before, name, place)
            case Widget.SELECT:
                word = self._text(name)
                return {"true": True, "false": False}.get(word, word) if word else _OUT
        return self._of_text(shape, self._text(name), before)

    def _text(self, name: str) -> str:
        value = self.form.get(name, "")
        return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else ""

    def _of_text(self, shape: Shape, text: str, before: Any) -> Any:
        match shape.widget:
            case Widget.NUMBER:
                return _number(text.strip()) if text.strip() else _OUT
            case Widget.QUANTITY:
                return text.strip() or _OUT
            case Widget.LINES | Widget.SOP_CLASSES:
                lines = [line.strip() for line in text.split("\n") if line.strip()]
                return lines if lines or shape.default else _OUT
            case Widget.PAIRS:
                return _pairs(text) if text.strip() or shape.default else _OUT
            case Widget.HEADERS:
                return headers.read(text, before) if text.strip() else _OUT
            case Widget.YAML:
                return _yaml(text, before) if text.strip() else _OUT
        if not text and (shape.required or shape.optional or shape.default == ""):
            return _OUT
        return text

    def _secret(self, before: Any, name: str) -> Any:
        how, text = self._text(f"{name}.from"), self._text(name)
        if f"{name}.none" in self.form:
            return _OUT
        if how in ("env", "file"):
            return {how: text} if text else _OUT
        if text:
            return text
        # what is stored stays; a reference goes when text was chosen instead
        return before if is_stored(before) else _OUT

    def _group(self, shape: Shape, before: Any, name: str, place: str) -> Any:
        assert shape.model is not None
        if shape.optional and name not in self.form:
            return _OUT
        inner = self.read(shape.model, before, name=name, place=place)
        return inner if inner or shape.optional or shape.required else _OUT

    def _part(self, shape: Shape, before: Any, name: str, place: str) -> Any:
        model = shape.model
        assert model is not None
        assert issubclass(model, Part)
        kind = self._text(f"{name}.type")
        if not kind:
            return _OUT
        return {"type": kind} | self._of_kind(model, kind, before, name, place, f"{name}~{kind}")

    def _of_kind(
        self, model: type[Part], kind: str, before: Any, name: str, place: str, kind_name: str
    ) -> dict[str, Any]:
        same = before if isinstance(before, Mapping) and before.get("type") == kind else {}
        own = self.read(model, same, name=name, place=place, without=("type", model.HIDDEN))
        known = model.kinds(Reading(plugins=self.plugins)).get(kind)
        return own | (self.read(known.config, same, name=kind_name, place=place) if known else {})

    def _rows(self, shape: Shape, before: Any, name: str, place: str) -> Any:
        model = shape.model
        assert model is not None
        entries = {digest(entry): entry for entry in before} if isinstance(before, list | tuple) else {}
        pattern = re.compile(rf"{re.escape(name)}\[(\d{{1,6}})\]")
        numbers = [found[1] for key in self.form if (found := pattern.fullmatch(key))]
        rows: list[Any] = []
        for number in dict.fromkeys(numbers[:MOST]):
            at, where = f"{name}[{number}]", f"{place}[{len(rows)}]"
            made_from = self._text(at)
            self.made_from[where] = made_from if made_from in entries else ""
            old = entries.get(made_from)
            if issubclass(model, Part):
                kind = self._text(f"{at}.type")
                rows.append({"type": kind} | self._of_kind(model, kind, old, at, where, at))
            else:
                rows.append(self.read(model, old, name=at, place=where))
        return rows if rows or shape.default else _OUT


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text) if text.isascii() and "_" not in text else text
        except ValueError:
            continue
    return text


def _pairs(text: str) -> dict[str, str] | str:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if line.strip() and (not colon or not key.strip()):
            return text
        if line.strip():
            found[key.strip()] = value.strip()
    return found


def _yaml(text: str, before: Any) -> Any:
    try:
        value = yaml_text.parse(f"value:\n{textwrap.indent(text, '  ')}\n").get("value")
        return unmasked(value, before)
    except ConfigurationError:
        return text
