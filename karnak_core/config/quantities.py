"""Sizes and durations: text such as ``2 GiB`` or ``15 min`` in files, plain numbers in the program."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_NUMBER_AND_UNIT = re.compile(r"\s*((?:\d+\.?\d*|\.\d+)(?:[eE](?:\+?\d{1,2}|-\d{1,3}))?)\s*([A-Za-z]*)\s*")

#: bytes in each unit, the largest first; read without regard to case
SIZES: Mapping[str, int] = {
    "TiB": 2**40, "TB": 10**12,
    "GiB": 2**30, "GB": 10**9,
    "MiB": 2**20, "MB": 10**6,
    "KiB": 2**10, "kB": 10**3,
    "B": 1, "byte": 1, "bytes": 1, "": 1,
}  # fmt: skip

#: seconds in each unit
DURATIONS: Mapping[str, Decimal] = {
    unit: Decimal(seconds)
    for seconds, units in {
        "604800": ("week", "weeks"),
        "86400": ("d", "day", "days"),
        "3600": ("h", "hour", "hours"),
        "60": ("min", "minute", "minutes"),
        "1": ("s", "sec", "second", "seconds", ""),
        "0.001": ("ms",),
    }.items()
    for unit in units
}


def _split(value: object) -> tuple[Decimal, str] | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    found = _NUMBER_AND_UNIT.fullmatch(str(value))
    return (Decimal(found[1]), found[2]) if found else None


def parse_size(value: object) -> int:
    """Return a number of bytes.

    Raises
    ------
    ValueError
        It is no size; the message says how one is written.
    """
    factors = {unit.lower(): factor for unit, factor in SIZES.items()}
    split = _split(value)
    if split is None or split[1].lower() not in factors:
        raise ValueError(f"{value!r} is not a size; write bytes, or a number and kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    return int(split[0] * factors[split[1].lower()])


def format_size(size: int) -> str | int:
    """Write a number of bytes with the largest unit that leaves a whole number; plain bytes as a number."""
    for unit, factor in SIZES.items():
        if factor > 1 and size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return size


def parse_duration(value: object) -> float:
    """Return a number of seconds.

    Raises
    ------
    ValueError
        It is no duration; the message says how one is written.
    """
    split = _split(value)
    if split is None or split[1].lower() not in DURATIONS:
        raise ValueError(f"{value!r} is not a duration; write seconds, or a number and ms, s, min, h or days")
    return float(split[0] * DURATIONS[split[1].lower()])


def format_duration(seconds: float) -> str:
    """Write a number of seconds with the largest unit that leaves a whole number."""
    if not float(seconds).is_integer():
        return f"{seconds!r} s"
    whole = int(seconds)
    for unit, factor in (("days", 86400), ("h", 3600), ("min", 60)):
        if whole and whole % factor == 0:
            count = whole // factor
            return f"{count} {'day' if unit == 'days' and count == 1 else unit}"
    return f"{whole} s"


@dataclass(frozen=True)
class Quantity:
    """Marks a number that has a unit in files: how it is read and how it is written."""

    parse: Callable[[object], float]
    format: Callable[[Any], str | int]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read text before the number is checked; write text again."""
        return core_schema.no_info_before_validator_function(
            self.parse,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(self.format),
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say that both text and number are taken."""
        return {"type": ["string", "number"]}


#: bytes
Size = Annotated[int, Quantity(parse_size, format_size)]
#: seconds
Duration = Annotated[float, Quantity(parse_duration, format_duration)]
