"""A kind: a type name of the configuration, the model of its keys, and how its part is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from karnak_core.errors import PluginError
from karnak_core.model import OpenContext

C = TypeVar("C", bound=BaseModel)
P = TypeVar("P", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Keys that all parts of a kind share; they stand under ``plugins.<name>`` in the configuration."""

    name: str
    #: a frozen pydantic model with ``extra="forbid"``; every key with a default and a description
    config: type[BaseModel]


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[C, P]):
    """One type that a plugin offers, e.g. the destination type ``dicom``.

    Make it a module constant: type checkers then compare ``config`` and ``open``.
    """

    #: what ``type:`` says in the configuration
    name: str
    #: a frozen pydantic model with ``extra="forbid"``; every field with a description
    config: type[C]
    #: makes the part from its configuration
    open: Callable[[C, OpenContext], P]
    #: one line for people, without full stop
    summary: str = ""
    #: keys that all parts of this kind share; ``open`` finds them in ``context.section``
    section: Section | None = None


def by_name(kinds: Iterable[tuple[str, Kind[Any, P]]]) -> Mapping[str, Kind[Any, P]]:
    """Index kinds by name; ``kinds`` are pairs of plugin name and kind.

    Raises
    ------
    PluginError
        Two plugins offer the same name.
    """
    found: dict[str, tuple[str, Kind[Any, P]]] = {}
    for plugin, kind in kinds:
        if kind.name in found:
            raise PluginError(f"type {kind.name!r} is offered by plugins {found[kind.name][0]!r} and {plugin!r}")
        found[kind.name] = (plugin, kind)
    return {name: kind for name, (_, kind) in sorted(found.items())}
