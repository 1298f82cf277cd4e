"""The operators: closures in, closure out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TypeVar

from karnak_core.expressions.names import Subject, Value, as_text, is_number, kind_of
from karnak_core.expressions.spots import RuleError, Spot

Evaluate = Callable[[Subject], Value]
Truth = Callable[[Subject], bool]

T = TypeVar("T")

#: characters that + makes of several texts, each of which may be as long as a value can be
LONGEST_TEXT = 10_000_000

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def checked(spot: Spot, call: Callable[..., T], *arguments: object) -> T:
    """Call, and turn a broken rule into the error of this spot."""
    try:
        return call(*arguments)
    except RuleError as error:
        rule = str(error)
    raise spot.error(rule)  # outside the handler: what was raised may hang on a value from the data set


def truth(spot: Spot, operand: Evaluate) -> Truth:
    """Return the closure of an operand that has to be true or false."""

    def evaluate(subject: Subject) -> bool:
        value = operand(subject)
        if isinstance(value, bool):
            return value
        raise spot.error(f"must be true or false here, not {kind_of(value)}")

    return evaluate


def ternary(test: Truth, yes: Evaluate, no: Evaluate) -> Evaluate:
    """Return ``test ? yes : no``."""
    return lambda subject: yes(subject) if test(subject) else no(subject)


def elvis(first: Evaluate, otherwise: Evaluate) -> Evaluate:
    """Return ``first ?: otherwise``: the second where the first is null or empty text."""

    def evaluate(subject: Subject) -> Value:
        value = first(subject)
        return otherwise(subject) if value is None or value == "" else value

    return evaluate


def either(parts: Sequence[Truth]) -> Evaluate:
    """Return ``a || b || …``, which stops at the first true part."""
    return lambda subject: any(part(subject) for part in parts)


def both(parts: Sequence[Truth]) -> Evaluate:
    """Return ``a && b && …``, which stops at the first false part."""
    return lambda subject: all(part(subject) for part in parts)


def negation(part: Truth) -> Evaluate:
    """Return ``!a``."""
    return lambda subject: not part(subject)


def addition(spot: Spot, parts: Sequence[Evaluate]) -> Evaluate:
    """Return ``a + b + …``, from left to right."""
    return lambda subject: checked(spot, _sum, [part(subject) for part in parts])


def comparison(spot: Spot, sign: str, left: Evaluate, right: Evaluate) -> Evaluate:
    """Return a comparison by sign or word."""
    sign = _SIGNS.get(sign.lower(), sign)
    if sign == "==":
        return lambda subject: _equal(left(subject), right(subject))
    if sign == "!=":
        return lambda subject: not _equal(left(subject), right(subject))
    order = _ORDERS[sign]
    return lambda subject: order(checked(spot, _rank, left(subject), right(subject)), 0)


def _sum(values: Sequence[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        if is_number(total) and is_number(value):
            total += value
        elif isinstance(total, str) or isinstance(value, str):
            total = _word(total) + _word(value)
            if len(total) > LONGEST_TEXT:
                raise RuleError(f"makes a text of more than {LONGEST_TEXT} characters")
        else:
            raise RuleError(f"+ adds numbers or joins text, not {kind_of(total)} and {kind_of(value)}")
    return total


def _word(value: Value) -> str:
    text = as_text(value)
    return "null" if text is None else text  # as in Java: 'a' + null is 'anull'


def _equal(left: Value, right: Value) -> bool:
    return type(left) is type(right) and left == right  # in Python true would equal 1


def _rank(left: Value, right: Value) -> int:
    """Return -1, 0 or 1 as left is smaller, equal or larger; null is smaller than everything."""
    if left is None or right is None:
        return (left is not None) - (right is not None)
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if is_number(left) and is_number(right):
        return (left > right) - (left < right)
    raise RuleError(f"cannot compare {kind_of(left)} with {kind_of(right)}; only text with text, number with number")
