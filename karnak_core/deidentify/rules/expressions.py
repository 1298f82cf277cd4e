"""``expression.on.tags``: an expression decides for each of the tags."""

from __future__ import annotations

from functools import partial

from karnak_core.deidentify.actions import Decision
from karnak_core.deidentify.entry import Entry, ProfileElement, Rule, on_tags
from karnak_core.deidentify.visit import Visit
from karnak_core.expressions import Expression, ExpressionError


def _read(entry: Entry) -> Rule:
    entry.known_arguments("expr")
    tags = entry.read_tags()
    excluded = entry.read_excluded_tags()
    text = entry.arguments.get("expr")
    if text is None:
        entry.problem("argument 'expr' is missing")
        return Rule()
    try:
        expression = Expression.parse(text.text, place="expr")
    except ExpressionError as error:
        problem = str(error)
    else:
        return Rule(decide=on_tags(tags, excluded, partial(_decide, expression)), named=tags.exact - excluded.exact)
    entry.problem(problem, text.line)
    return Rule()


def _decide(expression: Expression, visit: Visit) -> Decision | None:
    # the element's own value, where the Java Karnak takes the value that the tag has at the root
    received = visit.received
    return expression.action(received.dataset, visit.tag, visit.vr, visit.string_value(), received.has)


ON_EXPRESSION = ProfileElement(codename="expression.on.tags", read=_read)
