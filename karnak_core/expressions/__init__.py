"""The condition, expression and template language of destinations, profiles and albums.

Text from the configuration goes in and is compiled once; data sets go in, and true or false, actions or text come
out, from any number of threads. A text reaches what is listed in `names` and nothing else of Python.
"""

from __future__ import annotations

from karnak_core.expressions.actions import (
    Action,
    Add,
    ComputePatientAge,
    ExcludeInstance,
    Keep,
    Remove,
    Replace,
    ReplaceNull,
    Uid,
)
from karnak_core.expressions.language import Condition, Expression, Template
from karnak_core.expressions.spots import ExpressionError
from karnak_core.expressions.tags import parse_tag
from karnak_core.expressions.values import first_value

__all__ = [
    "Action",
    "Add",
    "ComputePatientAge",
    "Condition",
    "ExcludeInstance",
    "Expression",
    "ExpressionError",
    "Keep",
    "Remove",
    "Replace",
    "ReplaceNull",
    "Template",
    "Uid",
    "first_value",
    "parse_tag",
]
