"""``expression.on.tags``: an expression decides for each of the tags."""

from __future__ import annotations

import re
from functools import partial

from karnak_core.deidentify.actions import Decision
from karnak_core.deidentify.entry import Entry, ProfileElement, Rule, Text, on_tags
from karnak_core.deidentify.forms import fits
from karnak_core.deidentify.tags import TagSet
from karnak_core.deidentify.visit import Visit
from karnak_core.expressions import Expression, ExpressionError
from karnak_core.expressions.values import public_vr

#: a text; a quote stands in it twice
_CONSTANT = re.compile(r"\bReplace\(\s*'((?:[^']|'')*)'\s*\)")


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
        _check_constants(entry, tags, text)
        return Rule(decide=on_tags(tags, excluded, partial(_decide, expression)), named=tags.exact - excluded.exact)
    entry.problem(problem, text.line)
    return Rule()


def _check_constants(entry: Entry, tags: TagSet, text: Text) -> None:
    """Note values written into Replace that none of the tags could take."""
    vrs = {vr for tag in tags.exact if (vr := public_vr(tag))}
    if tags.patterns or not vrs or any(tag >> 16 & 1 for tag in tags.exact):
        return
    for found in _CONSTANT.finditer(text.text):
        value = found[1].replace("''", "'")
        if value and not any(fits(vr, value) for vr in vrs):
            entry.problem(f"the value of Replace is not one of VR {' or '.join(sorted(vrs))}", text.line)


def _decide(expression: Expression, visit: Visit) -> Decision | None:
    # the element's own value, where the Java Karnak takes the value that the tag has at the root
    received = visit.received
    return expression.action(received.dataset, visit.tag, visit.vr, visit.string_value(), received.has)


ON_EXPRESSION = ProfileElement(codename="expression.on.tags", read=_read, keys=("arguments", "tags", "excludedTags"))
