"""HTTP headers in a field of a form: as text of keys and values, in which secrets are masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from karnak_core.http_headers import HeaderError, parse, write

#: what stands for a value that is kept and not shown
KEPT = "********"


def shown(value: Any) -> str:
    """Return the text for what a document has: a mapping of names to values, or text that was not right."""
    if not isinstance(value, Mapping):
        return str(value or "")
    return write((name, one if isinstance(one, str) else KEPT) for name, one in _pairs(value))


def read(text: str, before: Any) -> Any:
    """Return what a document has for a text of a form.

    Parameters
    ----------
    before
        What it had: a value that the text masks is taken from here.

    Returns
    -------
    dict or str
        A mapping; the text itself, for the check to say what is wrong, where it is none.
    """
    try:
        pairs = parse(text)
    except HeaderError:
        return text
    kept: dict[str, list[Any]] = {}
    for name, one in _pairs(before) if isinstance(before, Mapping) else ():
        if not isinstance(one, str):
            kept.setdefault(name.lower(), []).append(one)
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        there = kept.get(name.lower())
        found.setdefault(name, []).append(there.pop(0) if value == KEPT and there else value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _pairs(headers: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, values in headers.items():
        for one in values if isinstance(values, list | tuple) else [values]:
            yield name, one
