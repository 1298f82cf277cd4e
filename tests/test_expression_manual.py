"""The manual page knows every name, and its examples are valid."""

import re
from pathlib import Path

import pytest

from karnak_core.expressions import Condition, Expression, Template
from karnak_core.expressions.names import CONDITION, EXPRESSION, METHODS, TEMPLATE

PAGE = (Path(__file__).parents[1] / "docs" / "expressions.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("Conditions", [*CONDITION.functions]),
        ("Expressions", [*EXPRESSION.functions, *EXPRESSION.variables]),
        ("Templates", [*TEMPLATE.variables]),
        ("Operators", [*METHODS]),
    ],
)
def test_every_name_is_in_its_section(section: str, names: list[str]) -> None:
    assert names
    assert [name for name in names if not re.search(rf"`{name}\b", SECTIONS[section])] == []


def test_every_example_is_valid() -> None:
    parsers = {"Conditions": Condition.parse, "Expressions": Expression.parse, "Templates": Template.parse}
    for section, parse in parsers.items():
        examples = re.findall(r"^```\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
        assert len(examples) == 1, section
        for example in examples[0].splitlines():
            parse(example)
