"""The patterns of `matches`, decided in time proportional to the text, whatever the pattern is.

A backtracking matcher can take years for one short value. Here a pattern becomes a non-deterministic automaton that
is followed in all its states at once (Thompson, CACM 11(6), 1968), which is why there are no back-references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lark import Token, Tree

from karnak_core.expressions.grammar import MalformedError, open_grammar, syntax_tree
from karnak_core.expressions.spots import RuleError

MOST_STATES = 500
LONGEST_VALUE = 10240

_PARSER = open_grammar("pattern.lark")
_ANY_BUT_LINE_ENDS = "[^\n\r\x85\u2028\u2029]"

_Test = Callable[[str], object]


class Pattern:
    r"""One compiled pattern.

    Parameters
    ----------
    text : str
        Literals, ``.``, classes, ``\d \w \s`` and their opposites (ASCII, as in Java), groups, ``|``, ``* + ?``,
        ``{m}``, ``{m,}``, ``{m,n}``; ``(?i)`` in front ignores the case of ASCII letters.

    Raises
    ------
    RuleError
        The text is not such a pattern, or needs more than 500 states.
    """

    def __init__(self, text: str) -> None:
        self._flags = re.ASCII
        body = text
        if body.startswith("(?i)"):
            self._flags |= re.IGNORECASE
            body = body[4:]
        body = body.removeprefix("^")  # the whole value has to match anyway
        if re.search(r"(?<!\\)(?:\\\\)*\$\Z", body):
            body = body[:-1]
        #: What a state tests, None where it tests nothing, and the states that follow. State 0 accepts.
        self._states: list[tuple[_Test | None, tuple[int, ...]]] = [(None, ())]
        try:
            tree = syntax_tree(_PARSER, body)
        except MalformedError as error:
            wrong = body[error.position : error.position + error.length]
            raise RuleError(f"the pattern cannot be used at {wrong[:20]!r}: {error}") from error
        self._start = self._build(tree, 0)

    def matches(self, text: str) -> bool:
        """Tell whether the whole text matches.

        Raises
        ------
        RuleError
            The text is longer than 10240 characters.
        """
        if len(text) > LONGEST_VALUE:
            raise RuleError(f"a value of more than {LONGEST_VALUE} characters is not matched")
        reached = self._reachable([self._start])
        for character in text:
            following: list[int] = []
            for state in reached:
                test, after = self._states[state]
                if test is not None and test(character):
                    following += after
            if not following:
                return False
            reached = self._reachable(following)
        return 0 in reached

    def _reachable(self, states: Iterable[int]) -> set[int]:
        """Return the states and all that follow them without a character."""
        pending = list(states)
        reached: set[int] = set()
        while pending:
            state = pending.pop()
            if state not in reached:
                reached.add(state)
                test, after = self._states[state]
                if test is None:
                    pending += after
        return reached

    def _build(self, part: Tree[Token] | Token, after: int) -> int:
        """Add the states of a part that is followed by ``after``; return its first state."""
        if isinstance(part, Token):
            return self._add(self._test(part), (after,))
        match part.data:
            case "sequence":
                for child in reversed(part.children):
                    after = self._build(child, after)
                return after
            case "repetition":
                return self._repeat(part.children[0], str(part.children[1]).removesuffix("?") or "?", after)
            case _:  # alternatives, and a group, which is one alternative
                return self._add(None, tuple(self._build(child, after) for child in part.children))

    def _repeat(self, part: Tree[Token] | Token, quantifier: str, after: int) -> int:
        least, most = _bounds(quantifier)
        if most is None:
            loop = self._add(None, ())
            self._states[loop] = (None, (self._build(part, loop), after))
            first = loop
        else:
            first = after
            for _ in range(most - least):
                first = self._add(None, (self._build(part, first), after))
        for _ in range(least):
            first = self._build(part, first)
        return first

    def _add(self, test: _Test | None, after: tuple[int, ...]) -> int:
        if len(self._states) >= MOST_STATES:
            raise RuleError(f"the pattern is too large: written out it has more than {MOST_STATES} states")
        self._states.append((test, after))
        return len(self._states) - 1

    def _test(self, one: str) -> _Test:
        if one == ".":
            one = _ANY_BUT_LINE_ENDS
        elif len(one) == 1:
            one = re.escape(one)
        try:
            return re.compile(one, self._flags).fullmatch
        except re.error as error:
            raise RuleError(f"the class {str(one)!r} of the pattern cannot be used: {error.msg}") from error


def _bounds(quantifier: str) -> tuple[int, int | None]:
    """Return the least and most repetitions; None: any number."""
    match quantifier[0]:
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
    least, comma, most = quantifier.strip("{}").partition(",")
    if not comma:
        return int(least), int(least)
    if not most:
        return int(least), None
    if int(most) < int(least):
        raise RuleError(f"the pattern repeats {quantifier}: the second number is smaller than the first")
    return int(least), int(most)
