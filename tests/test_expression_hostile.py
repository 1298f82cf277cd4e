"""A text reaches what the manual lists and nothing else of Python, whatever it is made of and however long it is."""

import builtins
import keyword
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import Profile
from karnak_core.expressions import Condition, Expression, ExpressionError, Template

#: seconds for what takes hundredths of one
pytestmark = pytest.mark.timeout(60)

#: names that the language has in common with Python, methods of text among them
LISTED = {"contains", "endsWith", "length", "matches", "startsWith", "substring", "toLowerCase", "toUpperCase", "trim"}
MEGABYTE = "x" * 1_000_000


def is_refused(text: str) -> bool:
    """Tell whether a text is refused in each of its places, with a short message."""
    places: list[Callable[[str], object]] = [
        Condition.parse,
        Expression.parse,
        lambda text: Template.parse("{{" + text + "}}"),
    ]
    return all(0 < len(refusal(parse, text)) < 1000 for parse in places)


def refusal(parse: Callable[[str], object], text: str) -> str:
    """Return the message of the error, empty where there is none."""
    try:
        parse(text)
    except ExpressionError as error:
        return str(error)
    return ""


BUILTINS = sorted(name for name in dir(builtins) if name not in LISTED)


@pytest.mark.parametrize(
    "form", ["{}", "{}()", "{}('a')", "{} == null", "#{}", "#Tag.{}", "#VR.{}()", "tag.{}", "Keep().{}"]
)
def test_no_builtin_of_python_is_a_name(form: str) -> None:
    accepted = [
        name for name in BUILTINS if name not in ("True", "False", "None") and not is_refused(form.format(name))
    ]
    assert accepted == []


@pytest.mark.parametrize("kind", [str, int, bool, type, object, Dataset, Expression, type(print)])
def test_no_attribute_of_an_object_of_python_can_be_had(kind: type) -> None:
    for name in dir(kind):
        if name in LISTED or name in ("and", "or", "not"):
            continue
        for form in (
            "'a'.{}",
            "'a'.{}()",
            "stringValue.{}()",
            "getString(1).{}('a')",
            "#Tag.PatientName.{}",
            "(1).{}()",
        ):
            assert is_refused(form.format(name)), form.format(name)


def test_no_statement_of_python_is_one_here() -> None:
    for word in keyword.kwlist:
        if word not in ("and", "or", "not", "True", "False", "None"):
            assert is_refused(f"{word} x"), word
            assert is_refused(f"{word}: 1"), word


@pytest.mark.parametrize(
    "text",
    [
        "'a'['b']",
        "'a'[0]",
        "''.class",
        "''.getClass().forName('java.lang.Runtime')",
        "getString.__globals__",
        "getString.func_globals['os']",
        "Replace.__init__('a')",
        "Replace(stringValue).value",
        "tagIsPresent.__self__",
        "'a'.trim.__func__()",
        "'{0.__class__}'.format(tag)",
        "`id`",
        "$(id)",
        "${7*7}",
        "{{7*7}}",
        "%{7*7}",
        "\\u0054(java.lang.Runtime)",
        "t\u0430g == 1",  # a Cyrillic letter in it
        "ｔａｇ == 1",
        "tag\u200b == 1",
        "tag == 1 // x",
        "tag == 1 # x",
        "1e400 == 1",
        "0b11 == 3",
        "1_000 == 1000",
        "٣ == 3",
        "f'{tag}' == '1'",
        "b'a' == 'a'",
        "'a' * 1000000000 == 'a'",
        "10 ** 10 == 1",
        "1 << 100 == 1",
        "[1 for x in tag]",
        "x := 1",
    ],
)
def test_tricks_of_other_languages_are_refused(text: str) -> None:
    assert is_refused(text)


@pytest.mark.parametrize(
    "text",
    [
        MEGABYTE,
        f"'{MEGABYTE}' == 'x'",
        f"{MEGABYTE}()",
        f"#Tag.{MEGABYTE}",
        "9" * 1_000_000 + " == 1",
        "0x" + "f" * 1_000_000 + " == 1",
        "(" * 1_000_000,
        "'" * 1_000_001,
        "!" * 1_000_000 + "true",
        " " * 1_000_000,
        "true" + " && true" * 150_000,
        "'x' matches '" + "(" * 500_000 + ")" * 500_000 + "'",
        "\n" * 1_000_000 + "true",
        "{{" * 500_000,
    ],
    ids=lambda text: f"{text[:12]!r}",
)
def test_a_megabyte_is_refused_without_being_quoted(text: str) -> None:
    assert is_refused(text)


def test_a_megabyte_in_a_profile_is_a_problem_with_its_line() -> None:
    for key in ("condition: ", "arguments: {expr: "):
        text = (
            "profileElements:\n  - name: n\n    codename: expression.on.tags\n    tags: [00100010]\n"
            f"    {key}\"'{'x' * 900_000}' == 'x'\"{'}' if '{' in key else ''}\n"
        )
        found = [problem for problem in Profile.from_yaml(text).check() if "4096" in problem.message]
        assert [problem.line for problem in found] == [5]
        assert len(found[0].message) < 300


def test_a_value_of_a_megabyte_is_copied_and_compared_but_not_multiplied() -> None:
    dataset = Dataset()
    dataset.TextValue = MEGABYTE
    assert Condition.parse("tagValueContains(#Tag.TextValue, 'xxx')").holds(dataset)
    many = " + ".join(["getString(#Tag.TextValue)"] * 100)
    with pytest.raises(ExpressionError, match="characters"):
        Expression.parse(f"stringValue == null ? null : Replace({many})").action(dataset, 0x0040A160, "UT", MEGABYTE)
