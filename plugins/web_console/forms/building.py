"""A model and values become the fields of a form."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel
from pydicom._uid_dict import UID_dictionary

from karnak_core.config.parts import Part
from karnak_core.config.reading import Reading
from karnak_core.pixels.syntaxes import OFFERED, transfer_syntax
from karnak_core.plugins import Plugins
from karnak_plugins.web_console.forms import headers
from karnak_plugins.web_console.forms.nodes import Node, Row
from karnak_plugins.web_console.forms.shapes import Shape, Widget, shapes_of
from karnak_plugins.web_console.forms.words import label, sentence
from karnak_plugins.web_console.masks import is_stored, masked

#: fields of this kind tell themselves what is wrong anywhere in them
_WHOLE = frozenset({Widget.LINES, Widget.PAIRS, Widget.SOP_CLASSES, Widget.HEADERS, Widget.YAML, Widget.SECRET})
#: in names of what a new entry of a list begins as; the page's script writes the position
NEW = "__index__"
_WORDS = {"true": "yes", "false": "no"}


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Makes fields.

    ``names``: what exists of each section that a key may name an entry of, with texts. ``errors``: what is wrong, by
    place. ``made_from``: after a form was sent, which entry each of its rows was made from, by place.
    """

    plugins: Plugins
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    made_from: Mapping[str, str] | None = None
    #: keys that are shown in another way than their type says
    widgets: Mapping[str, Widget] = field(default_factory=dict)

    def fields(
        self,
        model: type[BaseModel],
        values: Mapping[str, Any],
        *,
        name: str = "",
        place: str = "",
        without: Sequence[str] = (),
    ) -> tuple[Node, ...]:
        """Return the fields of a model.

        Parameters
        ----------
        values
            As they stand in a document; what is missing has its default.
        name, place
            Of the model; empty at the top.
        """
        return tuple(
            self._node(shape, values, f"{name}.{shape.key}".lstrip("."), f"{place}.{shape.key}".lstrip("."))
            for shape in shapes_of(model, without)
        )

    def _node(self, shape: Shape, values: Mapping[str, Any], name: str, place: str) -> Node:
        widget = self.widgets.get(name, shape.widget)
        there = values.get(shape.key) is not None
        value = values[shape.key] if there else shape.default
        common: dict[str, Any] = {
            "name": name,
            "place": place,
            "key": shape.key,
            "label": label(shape.key),
            "help": sentence(shape.field.description or ""),
            "error": self._error(place, widget),
            "required": shape.required and widget is not Widget.CHECKBOX,
            "optional": shape.optional,
            "widget": str(widget),
            "longest": shape.longest,
        }
        match widget:
            case Widget.CHECKBOX:
                return Node(**common, checked=value is True)
            case Widget.SELECT:
                return self._select(shape, common, value)
            case Widget.SECRET:
                return self._secret(common, values.get(shape.key))
            case Widget.GROUP:
                return self._group(shape, common, value, there)
            case Widget.PART:
                return self._part(shape, common, value)
            case Widget.ROWS | Widget.PARTS:
                return self._rows(shape, common, value)
        return Node(**common, value=_text(shape, value))

    def _error(self, place: str, widget: Widget) -> str:
        said = [self.errors[place]] if place in self.errors else []
        if widget in _WHOLE:
            inside = (f"{place}.", f"{place}[")
            said += [words for at, words in self.errors.items() if at.startswith(inside)]
        return "; ".join(said)

    def _select(self, shape: Shape, common: dict[str, Any], value: Any) -> Node:
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(getattr(value, "value", value))
        text = "" if value is None else text
        if shape.section == "transfer_syntaxes":
            options, text = _syntaxes(), _syntax(text)
        else:
            options = {word: _WORDS.get(word, word) for word in shape.words} | dict(self.names.get(shape.section, {}))
        if shape.optional:
            options = {"": "none" if shape.section else "by default", **options}
        elif shape.required:
            options = {"": "choose one" if options else "there is none yet", **options}
        if text not in options:
            # what is wrong is shown, too
            options = {**options, text: text or "none"}
        return Node(**common, value=text, options=options)

    def _secret(self, common: dict[str, Any], value: Any) -> Node:
        stored = is_stored(value)
        how = next((how for how in ("env", "file") if isinstance(value, Mapping) and how in value), "")
        return Node(**common, value=str(value[how]) if how else "", how=how, stored=stored)

    def _group(self, shape: Shape, common: dict[str, Any], value: Any, there: bool) -> Node:
        model = shape.model
        assert model is not None
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        values = value if isinstance(value, Mapping) else {}
        inner = self.fields(model, values, name=common["name"], place=common["place"])
        return Node(**common, fields=inner, checked=there or not shape.optional)

    def _part(self, shape: Shape, common: dict[str, Any], value: Any) -> Node:
        model = _part_model(shape)
        values = value if isinstance(value, Mapping) else {}
        chosen = str(values.get("type") or "")
        own = self.fields(model, values, name=common["name"], place=common["place"], without=("type", model.HIDDEN))
        rows = tuple(
            Row(
                name=f"{common['name']}~{kind.name}",
                title=kind.summary or kind.name,
                kind=kind.name,
                fields=self.fields(
                    kind.config,
                    values if kind.name == chosen else {},
                    name=f"{common['name']}~{kind.name}",
                    place=common["place"],
                ),
            )
            for kind in model.kinds(Reading(plugins=self.plugins)).values()
        )
        options = {row.kind: row.title for row in rows}
        error = self.errors.get(f"{common['place']}.type", "")
        common["error"] = "; ".join(said for said in (common["error"], error) if said)
        return Node(**common, value=chosen or next(iter(options), ""), options=options, fields=own, kinds=rows)

    def _rows(self, shape: Shape, common: dict[str, Any], value: Any) -> Node:
        model = shape.model
        assert model is not None
        entries = value if isinstance(value, list | tuple) else ()
        rows = tuple(self._row(model, entry, common, index) for index, entry in enumerate(entries))
        if issubclass(model, Part):
            kinds = model.kinds(Reading(plugins=self.plugins))
            new = tuple(self._row(model, {"type": kind}, common, NEW) for kind in kinds)
        else:
            new = (self._row(model, {}, common, NEW),)
        return Node(**common, rows=rows, kinds=new)

    def _row(self, model: type[BaseModel], entry: Any, common: dict[str, Any], index: int | str) -> Row:
        if isinstance(entry, BaseModel):
            entry = entry.model_dump(mode="json", by_alias=True)
        values = entry if isinstance(entry, Mapping) else {}
        name, place = f"{common['name']}[{index}]", f"{common['place']}[{index}]"
        made_from = "" if index == NEW else digest(entry) if self.made_from is None else self.made_from.get(place, "")
        fields: tuple[Node, ...]
        kind, title = "", common["label"]
        if issubclass(model, Part):
            kind = str(values.get("type") or "")
            known = model.kinds(Reading(plugins=self.plugins)).get(kind)
            title = (known.summary if known else "") or kind
            own = self.fields(model, values, name=name, place=place, without=("type", model.HIDDEN))
            fields = (*own[:1], *(self.fields(known.config, values, name=name, place=place) if known else ()), *own[1:])
        else:
            fields = self.fields(model, values, name=name, place=place)
        error = "; ".join(self.errors[at] for at in (place, f"{place}.type") if at in self.errors)
        return Row(name=name, title=title, kind=kind, fields=fields, made_from=made_from, error=error)


def digest(entry: Any) -> str:
    """Return what an entry of a list is known by in a form that was made of it."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _part_model(shape: Shape) -> type[Part]:
    assert shape.model is not None
    assert issubclass(shape.model, Part)
    return shape.model


def _text(shape: Shape, value: Any) -> str:
    """Return what a field of text shows."""
    match shape.widget:
        case Widget.HEADERS:
            return headers.shown(value)
        case Widget.SOP_CLASSES if isinstance(value, list | tuple):
            return "\n".join(UID_dictionary.get(str(uid), (uid,))[0] or str(uid) for uid in value)
        case Widget.LINES if isinstance(value, list | tuple):
            return "\n".join(map(str, value))
        case Widget.PAIRS if isinstance(value, Mapping):
            return "\n".join(f"{key}: {item}" for key, item in value.items())
        case Widget.YAML if value is not None and not isinstance(value, str):
            plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            return "" if plain in ((), [], {}) else as_yaml(masked(plain))
    if value is None:
        return ""
    if shape.quantity and isinstance(value, int | float):
        return str(shape.quantity.format(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def as_yaml(value: Any) -> str:
    """Return a part of a document as text."""
    text: str = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, default_flow_style=False)
    return textwrap.dedent(text).removesuffix("...\n").strip("\n")


def _syntaxes() -> dict[str, str]:
    """Return every transfer syntax that may be asked for: what the configuration says, and a text."""
    return {"keep": "keep what was received"} | {syntax.keyword: _syntax_name(syntax) for syntax in OFFERED}


def _syntax_name(syntax: Any) -> str:
    name = UID_dictionary.get(syntax.uid, ("",))[0] or syntax.keyword
    return f"{name.partition(' (Process')[0].partition(':')[0]} ({syntax.keyword})"


def _syntax(text: str) -> str:
    try:
        uid = transfer_syntax(text)
    except ValueError:
        return text
    return next((syntax.keyword for syntax in OFFERED if syntax.uid == uid), "keep" if not uid else text)
