"""The three kinds of text: conditions, expressions and templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from pydicom.dataset import Dataset

from karnak_core.expressions.actions import Action
from karnak_core.expressions.compiler import compile_text
from karnak_core.expressions.grammar import LONGEST_TEXT
from karnak_core.expressions.names import CONDITION, EXPRESSION, TEMPLATE, Subject, Value, as_text, kind_of
from karnak_core.expressions.operators import Evaluate, checked
from karnak_core.expressions.spots import Spot

_PLACEHOLDER = re.compile(r"\{\{([^}]*)\}\}")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A question about a data set, answered by true or false."""

    text: str
    place: str = field(compare=False)
    _evaluate: Evaluate = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, *, place: str = "condition") -> Self:
        """Compile a condition and try it on an empty data set.

        Parameters
        ----------
        text : str
            The condition, not blank and at most 4096 characters.
        place : str
            What to call it in messages.

        Raises
        ------
        ExpressionError
            It is malformed, uses an unknown name, or yields something other than true, false or null.
        """
        condition = cls(text=text, place=place, _evaluate=compile_text(text, CONDITION, place))
        value = condition._evaluate(Subject())
        if value is not None:  # null is decided, and refused, when there is a data set
            condition._answer(value)
        return condition

    def holds(self, dataset: Dataset) -> bool:
        """Tell whether the condition is true for a data set.

        Raises
        ------
        ExpressionError
            It cannot be decided: the instance is to be held back. Names no value of the data set.
        """
        return self._answer(self._evaluate(Subject(dataset=dataset)))

    def _answer(self, value: Value) -> bool:
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise _whole(self.text, self.place).error(f"a condition must be true or false, not {kind_of(value)}")


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What to do with a data element."""

    text: str
    place: str = field(compare=False)
    _evaluate: Evaluate = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, *, place: str = "expression") -> Self:
        """Compile an expression and try it on an empty data set, where ``stringValue`` is null.

        Raises
        ------
        ExpressionError
            It is malformed, uses an unknown name, cannot do without a value, or yields neither an action nor null.
        """
        expression = cls(text=text, place=place, _evaluate=compile_text(text, EXPRESSION, place))
        expression.action(Dataset(), 0, "UN", None)
        return expression

    def action(
        self,
        dataset: Dataset,
        tag: int,
        vr: str,
        string_value: str | None,
        present: Callable[[int], bool] | None = None,
    ) -> Action | None:
        """Return the action for one data element.

        Parameters
        ----------
        dataset : pydicom.Dataset
            The data set that ``getString`` and ``tagIsPresent`` read.
        tag : int
            The element's tag, ``0xGGGGEEEE``.
        vr : str
            The element's value representation.
        string_value : str or None
            The element's first value as text (`first_value`); empty text counts as None.
        present : callable, optional
            What ``tagIsPresent`` asks instead of going through the data set each time.

        Returns
        -------
        Action or None
            None: no decision, the next profile element is asked.

        Raises
        ------
        ExpressionError
            It cannot be decided. Names no value of the data set.
        """
        value = self._evaluate(
            Subject(dataset=dataset, tag=tag, vr=vr, string_value=string_value or None, present=present)
        )
        if isinstance(value, Action) or value is None:
            return value
        raise _whole(self.text, self.place).error(f"an expression must be an action or null, not {kind_of(value)}")


@dataclass(frozen=True, kw_only=True)
class Template:
    """Text with ``{{expression}}`` in it."""

    text: str
    place: str = field(compare=False)
    _parts: tuple[str | tuple[Spot, Evaluate], ...] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, *, place: str = "template") -> Self:
        """Compile a template and try it on an empty data set.

        Raises
        ------
        ExpressionError
            It is longer than 4096 characters, a ``{{`` is not closed, or what stands in braces is not valid.
        """
        if len(text) > LONGEST_TEXT:
            raise _whole(text, place).error(f"has {len(text)} characters; at most {LONGEST_TEXT} are allowed")
        parts: list[str | tuple[Spot, Evaluate]] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            parts.append(_literal(text, end, found.start(), place))
            spot = Spot(place=place, column=found.start() + 1, part=found[0])
            parts.append((spot, compile_text(found[1], TEMPLATE, place, found.start(1) + 1)))
            end = found.end()
        parts.append(_literal(text, end, len(text), place))
        template = cls(text=text, place=place, _parts=tuple(parts))
        template.render(Dataset())
        return template

    def render(
        self, dataset: Dataset, quote: Callable[[str], str] = str, *, tag: int | None = None, vr: str | None = None
    ) -> str:
        """Return the text with every placeholder replaced; null becomes empty text.

        Parameters
        ----------
        dataset : pydicom.Dataset
            The data set that ``getString`` and ``tagIsPresent`` read.
        quote : callable
            Applied to what an expression yields, not to the text around it: `urllib.parse.quote` for a URL.
        tag, vr : int and str, optional
            The data element at hand, where there is one; null in the template otherwise.

        Raises
        ------
        ExpressionError
            A placeholder cannot be decided. Names no value of the data set.
        """
        subject = Subject(dataset=dataset, tag=tag, vr=vr)
        texts: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                texts.append(part)
            else:
                spot, evaluate = part
                texts.append(quote(checked(spot, as_text, evaluate(subject)) or ""))
        return "".join(texts)


def _whole(text: str, place: str) -> Spot:
    return Spot(place=place, column=1, part=text)


def _literal(text: str, start: int, end: int, place: str) -> str:
    literal = text[start:end]
    opened = literal.find("{{")
    if opened >= 0:
        rule = "is not closed by }}, or has a } inside"
        raise Spot(place=place, column=start + opened + 1, part=literal[opened:]).error(rule)
    return literal
