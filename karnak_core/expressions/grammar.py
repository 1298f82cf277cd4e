"""Text to syntax tree, within limits that keep every later step short and shallow."""

from __future__ import annotations

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from karnak_core.expressions.spots import RuleError

LONGEST_TEXT = 4096
DEEPEST_NESTING = 100


class MalformedError(RuleError):
    """The text does not follow the grammar, from ``position`` (counted from 0) for ``length`` characters."""

    def __init__(self, position: int, length: int, rule: str) -> None:
        super().__init__(rule)
        self.position = position
        self.length = length


def open_grammar(name: str) -> Lark:
    """Return the LALR parser of a grammar file beside this module; it may be used by many threads."""
    return Lark.open(name, rel_to=__file__, parser="lalr", propagate_positions=True)


def syntax_tree(parser: Lark, text: str) -> Tree[Token]:
    """Parse a text.

    Raises
    ------
    MalformedError
        The text is blank, longer than 4096 characters, nested deeper than 100 levels or not in the grammar.
    """
    if len(text) > LONGEST_TEXT:
        raise MalformedError(0, len(text), f"has {len(text)} characters; at most {LONGEST_TEXT} are allowed")
    try:
        tree = parser.parse(text)
    except UnexpectedInput as error:
        raise _malformed(error, text) from error
    _check_depth(tree, text)
    return tree


def _malformed(error: UnexpectedInput, text: str) -> MalformedError:
    if isinstance(error, UnexpectedCharacters):
        position: int = error.pos_in_stream or 0
        quoted = text[position] in "'\""
        rule = "this quote is not closed" if quoted else "no word or sign of the language starts here"
        return MalformedError(position, 1, rule)
    if not text.strip():
        return MalformedError(0, len(text), "is blank")
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        return MalformedError(error.token.start_pos or 0, len(error.token), "is not expected here")
    end = len(text.rstrip())
    last = max(0, end - 10)
    return MalformedError(last, end - last, "the text ends too early after this")


def _check_depth(tree: Tree[Token], text: str) -> None:
    depths: dict[int, int] = {}
    for subtree in tree.iter_subtrees():  # children come before their parents, and nothing recurses
        inner = (depths[id(child)] for child in subtree.children if isinstance(child, Tree))
        depths[id(subtree)] = 1 + max(inner, default=0)
    if depths[id(tree)] > DEEPEST_NESTING:
        raise MalformedError(0, len(text), f"is nested deeper than {DEEPEST_NESTING} levels")
