"""The tables of the standard, loaded when they are first needed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

#: attribute types of PS3.5 section 7.4, the strictest first
_STRICTEST_FIRST = ("1", "1C", "2", "2C", "3", "None")
_NO_ATTRIBUTES: Mapping[str, tuple[tuple[str, str], ...]] = {}


@dataclass(frozen=True, kw_only=True)
class ConfidentialityTable:
    """The basic profile of PS3.15 Table E.1-1."""

    edition: str
    #: tag -> action code: X, Z, D, U, K or a combination such as X/Z/D
    codes: Mapping[int, str]
    #: value, mask and action code of repeating groups
    masks: tuple[tuple[int, int, str], ...]


@cache
def confidentiality_table() -> ConfidentialityTable:
    """Return PS3.15 Table E.1-1."""
    table = json.loads(files("karnak_core.data").joinpath("confidentiality.json").read_bytes())
    return ConfidentialityTable(
        edition=table["edition"],
        codes={int(tag, 16): code for tag, code in table["tags"].items()},
        masks=tuple((int(value, 16), int(mask, 16), code) for value, mask, code in table["masks"]),
    )


def attribute_types(sop_class_uid: str, path: tuple[int, ...]) -> tuple[tuple[str, str], ...]:
    """Return type and module usage (M, U, C) of an attribute in every module of an IOD that defines it.

    Parameters
    ----------
    sop_class_uid
        The SOP class; an unknown one defines nothing.
    path
        Tags of the sequences around the attribute, from the root, and its own.
    """
    return _attributes(sop_class_uid).get("".join(f"{tag:08X}" for tag in path), ())


def knows_sop_class(sop_class_uid: str) -> bool:
    """Tell whether the tables have an IOD for a SOP class."""
    return sop_class_uid in _attribute_table()["sop_classes"]


@lru_cache(maxsize=4096)
def attribute_type(sop_class_uid: str, path: tuple[int, ...]) -> str | None:
    """Return the one type that counts for an attribute: 1, 1C, 2, 2C, 3 or ``None`` as text.

    Mandatory modules count before the others, and among equals the strictest type. None: nothing defines it.
    """
    found = attribute_types(sop_class_uid, path)
    if len(found) > 1:
        found = tuple(one for one in found if one[1] == "M") or found
    return strictest([kind for kind, _ in found]) if found else None


def strictest(types: list[str]) -> str:
    """Return the strictest of some types."""
    return min(types, key=_STRICTEST_FIRST.index)


@cache
def _attribute_table() -> dict[str, Any]:
    data = files("karnak_core.data").joinpath("attributes.json.gz").read_bytes()
    table: dict[str, Any] = json.loads(gzip.decompress(data))
    return table


@lru_cache(maxsize=64)
def _attributes(sop_class_uid: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Return path -> types and usages, for one SOP class."""
    table = _attribute_table()
    iod = table["sop_classes"].get(sop_class_uid)
    if iod is None:
        return _NO_ATTRIBUTES
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for module, usage in table["iods"][iod].items():
        for kind, paths in table["modules"].get(module, {}).items():
            for path in paths.split():
                found[path] = (*found.get(path, ()), (kind, usage))
    return found
