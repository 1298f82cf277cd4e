"""Syntax tree to closures: names are looked up once, literals are checked once, evaluation only calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lark import Token, Tree

from karnak_core.expressions.grammar import MalformedError, open_grammar, syntax_tree
from karnak_core.expressions.names import METHODS, Function, Scope, Subject, Value, constant, kind_of
from karnak_core.expressions.operators import (
    Evaluate,
    Truth,
    addition,
    both,
    checked,
    comparison,
    either,
    elvis,
    negation,
    ternary,
    truth,
)
from karnak_core.expressions.patterns import Pattern
from karnak_core.expressions.spots import Spot
from karnak_core.expressions.tags import LARGEST_TAG

_PARSER = open_grammar("grammar.lark")
_LITERALS = frozenset({"string", "number", "word", "constant"})
_WORDS = {"true": True, "false": False, "null": None}


def compile_text(text: str, scope: Scope, place: str, first_column: int = 1) -> Evaluate:
    """Return what evaluates a text.

    Parameters
    ----------
    text : str
        The text, as configured.
    scope : Scope
        The names it may use.
    place : str
        What to call the text in messages.
    first_column : int
        Column of the text's first character, for a text inside another.

    Raises
    ------
    ExpressionError
        The text is not valid. What is returned raises it for a data set that the text cannot be decided for.
    """
    try:
        tree = syntax_tree(_PARSER, text)
    except MalformedError as error:
        part = text[error.position : error.position + error.length]
        raise Spot(place=place, column=first_column + error.position, part=part).error(str(error)) from error
    return _Compiler(text, scope, place, first_column).closure(tree)


class _Compiler:
    def __init__(self, text: str, scope: Scope, place: str, first_column: int) -> None:
        self._text = text
        self._scope = scope
        self._place = place
        self._first_column = first_column

    def closure(self, tree: Tree[Token]) -> Evaluate:
        if tree.data == "group":
            return self.closure(_subtrees(tree)[0])
        if tree.data in _LITERALS:
            value = self._literal(tree)
            return lambda _: value
        if tree.data == "variable":
            return self._variable(tree)
        if tree.data == "call":
            return self._call(tree)
        if tree.data == "methods":
            return self._methods(tree)
        if tree.data == "matches":
            return self._matches(tree)
        return self._operator(tree)

    def _operator(self, tree: Tree[Token]) -> Evaluate:
        spot, parts = self._spot(tree), _subtrees(tree)
        match tree.data:
            case "ternary":
                return ternary(self._truth(parts[0]), self.closure(parts[1]), self.closure(parts[2]))
            case "elvis":
                return elvis(self.closure(parts[0]), self.closure(parts[1]))
            case "either":
                return either([self._truth(part) for part in parts])
            case "both":
                return both([self._truth(part) for part in parts])
            case "negation":
                return negation(self._truth(parts[0]))
            case "sum":
                return addition(spot, [self.closure(part) for part in parts])
            case _:
                return comparison(spot, str(tree.children[1]), self.closure(parts[0]), self.closure(parts[1]))

    def _truth(self, tree: Tree[Token]) -> Truth:
        return truth(self._spot(tree), self.closure(tree))

    def _literal(self, tree: Tree[Token]) -> Value:
        text = str(tree.children[0])
        spot = self._spot(tree)
        match tree.data:
            case "string":
                return _unquoted(text)
            case "word":
                return _WORDS[text.lower()]
            case "constant":
                return checked(spot, constant, text)
        number = int(text, 16) if text[:2].lower() == "0x" else int(text)
        if number > LARGEST_TAG:
            raise spot.error(f"is larger than {LARGEST_TAG}")
        return number

    def _variable(self, tree: Tree[Token]) -> Evaluate:
        name = str(tree.children[0])
        if name in self._scope.variables:
            return self._scope.variables[name]
        raise self._spot(tree).error(f"is not a name that can be used here; {_known('names', self._scope.variables)}")

    def _call(self, tree: Tree[Token]) -> Evaluate:
        name = str(tree.children[0])
        spot = self._spot(tree)
        function = self._scope.functions.get(name)
        if function is None:
            known = _known("functions", self._scope.functions)
            raise spot.error(f"{name} is not a function that can be used here; {known}")
        arguments = self._arguments(tree, name, function)
        call = function.call
        return lambda subject: checked(spot, call, subject, *[argument(subject) for argument in arguments])

    def _methods(self, tree: Tree[Token]) -> Evaluate:
        first, *methods = _subtrees(tree)
        steps: list[tuple[Spot, Callable[..., Value], list[Evaluate]]] = []
        for method in methods:
            name = str(method.children[0])
            spot = self._spot(method)
            if name not in METHODS:
                raise spot.error(f"{name} is not a method of text; {_known('methods', METHODS)}")
            steps.append((spot, METHODS[name].call, self._arguments(method, name, METHODS[name])))
        start = self.closure(first)

        def evaluate(subject: Subject) -> Value:
            value = start(subject)
            for spot, call, arguments in steps:
                if not isinstance(value, str):
                    raise spot.error(f"is a method of text and is called on {kind_of(value)}")
                value = checked(spot, call, value, *[argument(subject) for argument in arguments])
            return value

        return evaluate

    def _matches(self, tree: Tree[Token]) -> Evaluate:
        spot = self._spot(tree)
        left = self.closure(_subtrees(tree)[0])
        matches = checked(spot, Pattern, _unquoted(str(tree.children[1]))).matches

        def evaluate(subject: Subject) -> bool:
            value = left(subject)
            if not isinstance(value, str):
                raise spot.error(f"a pattern is matched with text, not with {kind_of(value)}")
            return checked(spot, matches, value)

        return evaluate

    def _arguments(self, tree: Tree[Token], name: str, function: Function) -> list[Evaluate]:
        parts = _subtrees(tree)
        most = len(function.parameters)
        least = most - function.optional
        if not least <= len(parts) <= most:
            numbers = str(most) if least == most else f"{least} or {most}"
            raise self._spot(tree).error(f"{name} takes {numbers} argument(s), not {len(parts)}")
        return [self._argument(part, suit) for part, suit in zip(parts, function.parameters, strict=False)]

    def _argument(self, tree: Tree[Token], suit: Callable[[Value], Value]) -> Evaluate:
        while tree.data == "group":
            tree = _subtrees(tree)[0]
        spot = self._spot(tree)
        inner = self.closure(tree)
        if tree.data in _LITERALS:
            value = checked(spot, suit, self._literal(tree))
            return lambda _: value
        return lambda subject: checked(spot, suit, inner(subject))

    def _spot(self, tree: Tree[Token]) -> Spot:
        start, end = tree.meta.start_pos, tree.meta.end_pos
        return Spot(place=self._place, column=self._first_column + start, part=self._text[start:end])


def _subtrees(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _known(what: str, names: Iterable[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"{what} known here: {listed or 'none'}"
