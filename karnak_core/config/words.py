"""Say what pydantic found in our words: ``forward_nodes[0].destinations[1].port: 70000 is not 1 to 65535``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from karnak_core.config.quantities import Quantity
from karnak_core.config.reading import Reading
from karnak_core.config.shape import Spot, follow
from karnak_core.errors import ConfigProblem

#: characters of a value that a message shows
SHOWN = 80

#: pydantic's type of error -> what the value is not; the value comes before it
_NOT: Mapping[str, str] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of that size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}

_KINDS_OF_COLLECTION: Mapping[str, str] = {
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a mapping of keys to values"
    ),
}


def problems(error: ValidationError, root: type[BaseModel], document: Any, context: Reading) -> list[ConfigProblem]:
    """Return everything that a validation of ``document`` found, each with its place in the file."""
    found = _chosen(_found(error, root, document, context))
    return list(dict.fromkeys(ConfigProblem(place=place(path), message=words) for path, words in found))


def paths_of(
    error: ValidationError, root: type[BaseModel], document: Any, context: Reading
) -> list[tuple[str | int, ...]]:
    """Return the place of everything that a validation of ``document`` found, as keys and positions in the file."""
    return [path for path, _ in _chosen(_found(error, root, document, context))]


def _found(error: ValidationError, root: type[BaseModel], document: Any, context: Reading) -> list[tuple[Spot, str]]:
    found = []
    for details in error.errors(include_url=False):
        spot = follow(root, details["loc"], details["type"] == "missing", document, context)
        found.append((spot, _words(details, spot)))
    return found


def place(path: Iterable[str | int]) -> str:
    """Write a place: ``forward_nodes[0].ae_title``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _chosen(found: Sequence[tuple[Spot, str]]) -> list[tuple[tuple[str | int, ...], str]]:
    """Where a value may be of several types, keep what the type that fits best has to say."""
    result: list[tuple[tuple[str | int, ...], str]] = []
    choices: dict[tuple[str | int, ...], list[tuple[Spot, str]]] = {}
    for spot, words in found:
        if spot.choice is not None:
            at = spot.path[: spot.choice]
            if at not in choices:
                result.append((at, ""))
            choices.setdefault(at, []).append((spot, words))
        else:
            result.append((spot.path, words))
    for at, members in choices.items():
        deeper = [(spot.path, words) for spot, words in members if len(spot.path) > len(at)]
        here = " and ".join(dict.fromkeys(words for _, words in members))
        position = result.index((at, ""))
        result[position : position + 1] = deeper or [(at, here)]
    return result


def _words(details: ErrorDetails, spot: Spot) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    shown = "the value" if spot.secret else _shown(value)
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"unknown key; known: {', '.join(sorted(spot.known))}"
        case "value_error" | "assertion_error":
            return str(context["error"])
        case "literal_error" | "enum":
            return f"{shown} is not one of {context['expected']}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return f"{_in_units(value, spot, shown)} is not {_bounds(spot, context)}"
        case "string_too_short" | "string_too_long":
            return f"{shown} is not {_lengths(spot, context)} characters"
        case "too_short" | "too_long":
            return f"has {context['actual_length']} entries, not {_lengths(spot, context)}"
        case "string_pattern_mismatch":
            return f"{shown} does not match {context['pattern']}"
        case _ if value is None and (kind in _NOT or kind in _KINDS_OF_COLLECTION or kind == "string_type"):
            return f"has no value, and it is not {_expected(kind)}" if kind in _KINDS_OF_COLLECTION else "has no value"
        case "string_type":
            quotes = "; put it in quotes" if _is_number(value) and spot.choice is None else ""
            return f"{shown} is not text{quotes}"
        case _ if kind in _NOT:
            return f"{shown} is not {_NOT[kind]}"
        case _ if kind in _KINDS_OF_COLLECTION:
            return f"is not {_KINDS_OF_COLLECTION[kind]}"
    return details["msg"]


def _expected(kind: str) -> str:
    return _KINDS_OF_COLLECTION[kind]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _in_units(value: object, spot: Spot, shown: str) -> str:
    quantity = _quantity(spot)
    return str(quantity.format(value)) if quantity and _is_number(value) else shown


def _quantity(spot: Spot) -> Quantity | None:
    return next((item for item in spot.metadata if isinstance(item, Quantity)), None)


def _bounds(spot: Spot, context: Mapping[str, Any]) -> str:
    quantity = _quantity(spot)
    limits: dict[str, Any] = {}
    for name, what in (
        ("ge", annotated_types.Ge),
        ("gt", annotated_types.Gt),
        ("le", annotated_types.Le),
        ("lt", annotated_types.Lt),
    ):
        values = [getattr(item, name) for item in spot.metadata if isinstance(item, what)]
        limit = context.get(name, values[0] if values else None)
        if limit is not None:
            limits[name] = quantity.format(limit) if quantity else limit
    match limits:
        case {"ge": low, "le": high}:
            return f"{low} to {high}"
        case {"ge": low, "lt": high}:
            return f"{low} or more and less than {high}"
        case {"gt": low, "le": high}:
            return f"more than {low} and at most {high}"
        case {"gt": low, "lt": high}:
            return f"more than {low} and less than {high}"
        case {"ge": low}:
            return f"{low} or more"
        case {"gt": low}:
            return f"more than {low}"
        case {"le": high}:
            return f"{high} or less"
        case _:
            return f"less than {limits['lt']}"


def _lengths(spot: Spot, context: Mapping[str, Any]) -> str:
    low = context.get("min_length", _first(spot, annotated_types.MinLen, "min_length"))
    high = context.get("max_length", _first(spot, annotated_types.MaxLen, "max_length"))
    if high is None:
        return f"{low} or more"
    return f"{low} to {high}" if low else f"at most {high}"


def _first(spot: Spot, what: type, name: str) -> Any:
    return next((getattr(item, name) for item in spot.metadata if isinstance(item, what)), None)
