"""Templates: text with expressions in double braces."""

import re
from urllib.parse import quote

import pytest
from pydicom.dataset import Dataset

from karnak_core.expressions import ExpressionError, Template

PATIENT_NAME = 0x00100010


@pytest.fixture
def dataset() -> Dataset:
    dataset = Dataset()
    dataset.PatientName = "Doe^John"
    dataset.Rows = 512
    return dataset


def test_template_puts_quoted_values_into_unquoted_text(dataset: Dataset) -> None:
    dataset.PatientID = "a/b c$1"
    template = Template.parse("http://h/p q/{{getString(#Tag.PatientID)}}?r={{ getString(#Tag.Rows) }}")
    assert template.render(dataset) == "http://h/p q/a/b c$1?r=512"
    assert template.render(dataset, lambda text: quote(text, safe="")) == "http://h/p q/a%2Fb%20c%241?r=512"


def test_template_turns_null_into_nothing(dataset: Dataset) -> None:
    assert Template.parse("[{{getString(#Tag.PatientID)}}{{stringValue}}{{tag}}{{vr}}]").render(dataset) == "[]"
    assert Template.parse("{{tag}} {{vr}}").render(dataset, tag=PATIENT_NAME, vr="PN") == "1048592 PN"
    assert Template.parse("").render(dataset) == ""


def test_template_leaves_single_braces_alone(dataset: Dataset) -> None:
    body = '{"a": {"name": "{{getString(#Tag.PatientName)}}"}}'
    assert Template.parse(body).render(dataset) == '{"a": {"name": "Doe^John"}}'


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("http://h/{{getString(#Tag.PatientID}}", "body: column 26: '.PatientID': the text ends too early"),
        ("http://h/{{getString(#Tag.PatientID)", "body: column 10: '{{getString(#Tag.PatientID)': is not closed"),
        ("a{{nobody}}", "body: column 4: 'nobody': is not a name"),
        ("a{{}}", "is blank"),
        ("{{'}'}}", "has a } inside"),
        ("{{Remove()}}", "is not a function that can be used here"),
        ("{{stringValue.trim()}}", "is called on null"),
        ("x" * 4097, "at most 4096"),
    ],
)
def test_template_is_refused_when_it_is_read(text: str, rule: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(rule)):
        Template.parse(text, place="body")
