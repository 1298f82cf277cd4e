"""Cells of tables that people open in a spreadsheet."""

from __future__ import annotations

from typing import Any, Final

#: what spreadsheets take for the beginning of a formula
FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """Return what is written for a value: text that would be taken for a formula gets an apostrophe before it.

    Such text is what peers have sent, in a Patient ID or a reason. Numbers stay numbers; None is an empty cell.
    """
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
