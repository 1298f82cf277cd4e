"""What conditions, expressions and templates mean, and how they are refused."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom.dataset import Dataset

from karnak_core.expressions import (
    Action,
    Add,
    ComputePatientAge,
    Condition,
    ExcludeInstance,
    Expression,
    ExpressionError,
    Keep,
    Remove,
    Replace,
    ReplaceNull,
    Template,
    Uid,
)

PATIENT_NAME = 0x00100010


@pytest.fixture
def dataset() -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.AccessionNumber = ""
    dataset = Dataset()
    dataset.PatientName = "Doe^John"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.StudyDescription = ""
    dataset.StationName = "CT1234"
    dataset.Rows = 512
    dataset.ReferencedImageSequence = [item]
    return dataset


def holds(text: str, dataset: Dataset | None = None) -> bool:
    return Condition.parse(text).holds(dataset or Dataset())


def action(text: str, dataset: Dataset, value: str | None = "Doe^John") -> Action | None:
    return Expression.parse(text).action(dataset, PATIENT_NAME, "PN", value)


def refusal(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        Condition.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "1 == 1 && 1 eq 1 and 1 EQ 1",
        "1 != 2 && 1 ne 2",
        "1 < 2 && 1 lt 2 && 2 > 1 && 2 gt 1",
        "1 <= 1 && 1 le 1 && 1 >= 1 && 1 ge 1",
        "'a' < 'b' && 'b' > 'a' && 'B' < 'a'",
        "null < 0 && null < '' && null <= null && !(null < null)",
        "0x10 == 16 && 0X1F == 31 && 007 == 7",
        "1 + 2 + 'a' == '3a' && 'a' + 1 + 2 == 'a12'",
        "'a' + null == 'anull' && null + 'a' == 'nulla' && 'is ' + true == 'is true'",
        "'it''s' == \"it's\" && \"a\"\"b\" == 'a\"b' && '\\' + 'n' == '\\n'",
        "(true ? 1 : 2) == 1 && (false ? 1 : true ? 2 : 3) == 2",
        "(null ?: 'x') == 'x' && ('' ?: 'x') == 'x' && ('y' ?: 'x') == 'y' && (0 ?: 1) == 0",
        "null == null && 'a' != null && 1 != '1' && true != 1 && false != 0 && 'true' != true",
        "not false AND NOT (true aNd false) Or false",
        "true || false && false",
        "!false == true",
        "  true\n&&\ttrue ",
        "TRUE && !FALSE && NULL == null",
        "'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('bc') && !'abc'.contains('B')",
        "'abcd'.substring(1) == 'bcd' && 'abcd'.substring(1, 3) == 'bc' && 'abc'.substring(3) == ''",
        "' aBc '.trim().toUpperCase().toLowerCase().length() == 3",
        "#Tag.PatientName == 0x00100010 && #Tag.PatientName == 1048592 && #VR.PN == 'PN'",
        "#Tag.OverlayData == 0x60003000",
    ],
)
def test_operators_mean_what_the_manual_says(text: str) -> None:
    assert holds(text) is True


def test_and_or_and_the_ternary_leave_out_what_does_not_matter() -> None:
    assert holds("true || null.length() == 1")
    assert not holds("false && null.length() == 1")
    assert holds("true ? true : null.length() == 1")
    assert holds("('a' ?: null.trim()) == 'a'")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "column 1: '': is blank"),
        (" \n ", "is blank"),
        ("tagIsPresent(#Tag.PatientName) &&", "ends too early"),
        ("tagIsPresent('00100010'", "ends too early"),
        ("'abc", 'column 1: "\'": this quote is not closed'),
        ("true true", "column 6: 'true': is not expected here"),
        ("true && §", "column 9: '§': no word or sign of the language starts here"),
        ("1 == 1 == 1", "column 8: '==': is not expected here"),
        ("nobody", "column 1: 'nobody': is not a name that can be used here"),
        ("false && nobody", "column 10: 'nobody'"),
        ("stringValue == null", "is not a name that can be used here"),
        ("getString(#Tag.PatientID) == 'x'", "getString is not a function that can be used here"),
        ("Keep()", "Keep is not a function"),
        ("TAGISPRESENT(#Tag.PatientName)", "is not a function"),
        ("true || tagIsPresent(#Tag.NotAKeyword)", "column 22: '#Tag.NotAKeyword': is not a keyword"),
        ("#tag.PatientName == 1", "is not a constant"),
        ("#VR.XX == 'XX'", "is not a value representation"),
        ("'a'.reverse() == 'a'", "reverse is not a method of text"),
        ("tagValueIsPresent('0008,1030')", "takes 2 argument(s), not 1"),
        ("tagIsPresent()", "takes 1 argument(s), not 0"),
        ("'a'.substring() == ''", "takes 1 or 2 argument(s), not 0"),
        ("true || tagIsPresent(null)", "is not a tag"),
        ("true || tagIsPresent(true)", "is not a tag"),
        ("4294967296 == 1", "is larger than"),
        ("true || tagValueContains(#Tag.SeriesNumber, 1)", "must be text, not a number"),
        ("'abc'", "must be true or false, not text"),
        ("42", "must be true or false, not a number"),
        ("'TRUE'", "must be true or false, not text"),
        ("null && true", "column 1: 'null': must be true or false here, not null"),
        ("'true' && true", "must be true or false here, not text"),
        ("!1", "must be true or false here, not a number"),
        ("null ? true : false", "must be true or false here, not null"),
        ("1 < 'a'", "cannot compare"),
        ("true < false", "cannot compare"),
        ("1 + null == 1", "adds numbers or joins text"),
        ("true + true == 2", "adds numbers or joins text"),
        ("null.trim() == ''", "is called on null"),
        ("5.trim() == ''", "is called on a number"),
        ("'abc'.substring(2, 1) == ''", "is outside the text"),
        ("'abc'.substring(0, 4) == ''", "is outside the text"),
        ("true || 'a' matches '['", "the pattern cannot be used"),
        ("null matches 'a'", "not with null"),
    ],
)
def test_condition_is_refused_when_it_is_read(text: str, rule: str) -> None:
    assert rule in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "T(java.lang.Runtime).getRuntime().exec('id') == null",
        "new String('a') == 'a'",
        "__import__('os') == null",
        "''.__class__ == null",
        "''.__class__() == null",
        "#Tag.__class__ == null",
        "@bean.call() == null",
        "a = 1",
        "{1, 2}.contains(1)",
        "'%s'.format(1) == '1'",
        "lambda: 1",
        "true; true",
    ],
)
def test_nothing_of_a_host_language_can_be_reached(text: str) -> None:
    for parse in (Condition.parse, Expression.parse, lambda text: Template.parse("{{" + text + "}}")):
        with pytest.raises(ExpressionError):
            parse(text)


def test_message_names_place_part_column_and_rule() -> None:
    with pytest.raises(ExpressionError) as caught:
        Condition.parse("true && who", place="forward_nodes[0].destinations[1].condition")
    assert str(caught.value) == (
        "forward_nodes[0].destinations[1].condition: column 9: 'who': "
        "is not a name that can be used here; names known here: none"
    )
    assert isinstance(caught.value, ValueError)


def test_condition_on_presence_wants_a_value_at_the_root(dataset: Dataset) -> None:
    assert holds("tagIsPresent(#Tag.PatientName) && tagIsPresent(#Tag.Rows)", dataset)
    assert not holds("tagIsPresent(#Tag.StudyDescription)", dataset)
    assert not holds("tagIsPresent(#Tag.ReferencedImageSequence)", dataset)
    assert not holds("tagIsPresent(#Tag.ReferencedSOPInstanceUID)", dataset)


def test_expression_on_presence_looks_everywhere_and_takes_empty_elements(dataset: Dataset) -> None:
    for keyword in ("StudyDescription", "ReferencedImageSequence", "ReferencedSOPInstanceUID", "AccessionNumber"):
        assert action(f"tagIsPresent(#Tag.{keyword}) ? Remove() : Keep()", dataset) == Remove(), keyword
    assert action("tagIsPresent(#Tag.PatientID) ? Remove() : Keep()", dataset) == Keep()


def test_condition_that_is_null_is_read_but_cannot_be_decided(dataset: Dataset) -> None:
    condition = Condition.parse("null")
    with pytest.raises(ExpressionError, match="must be true or false, not null"):
        condition.holds(dataset)


def test_condition_whose_type_hangs_on_the_data_set_cannot_be_decided(dataset: Dataset) -> None:
    condition = Condition.parse("tagIsPresent(#Tag.PatientName) ? 1 : true")
    assert condition.holds(Dataset()) is True
    with pytest.raises(ExpressionError, match="not a number"):
        condition.holds(dataset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Keep()", Keep()),
        ("Remove()", Remove()),
        ("ReplaceNull()", ReplaceNull()),
        ("Replace('x')", Replace("x")),
        ("Replace(null)", Replace(None)),
        ("Replace(#Tag.PatientName)", Replace("1048592")),
        ("Replace(stringValue)", Replace("Doe^John")),
        ("Replace(getString('0010,0010') + '-' + getString(#Tag.PatientID))", Replace("Doe^John-null")),
        ("Replace(getString(#Tag.Rows))", Replace("512")),
        ("Replace(getString(#Tag.ReferencedImageSequence) ?: 'none')", Replace("none")),
        ("UID()", Uid()),
        ("ExcludeInstance()", ExcludeInstance()),
        ("ComputePatientAge()", ComputePatientAge()),
        ("Add(#Tag.PatientComments, #VR.LT, 'x')", Add(0x00104000, "LT", "x")),
        ("Add('0010,4000', 'LT', null)", Add(0x00104000, "LT", None)),
        ("tag == #Tag.PatientName && vr == #VR.PN ? Remove() : Keep()", Remove()),
        ("null", None),
        ("stringValue == 'x' ? Keep() : null", None),
    ],
)
def test_expression_yields_an_action_or_null(text: str, expected: Action | None, dataset: Dataset) -> None:
    assert action(text, dataset) == expected


def test_empty_string_value_is_null(dataset: Dataset) -> None:
    assert action("stringValue == null ? Remove() : Keep()", dataset, "") == Remove()
    assert action("stringValue == null ? Remove() : Keep()", dataset, None) == Remove()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("'text'", "an expression must be an action or null, not text"),
        ("tagIsPresent(#Tag.PatientName)", "not true or false"),
        ("tagValueContains(#Tag.PatientName, 'x') ? Keep() : null", "is not a function that can be used here"),
        ("keep()", "is not a function"),
        ("stringValue.length() > 3 ? Remove() : Keep()", "is a method of text and is called on null"),
        ("Replace(Keep())", "must be text, a number or null, not an action"),
        ("Add(#Tag.PatientComments, 'ZZ', 'x')", "is not a value representation"),
        ("Add('4000', #VR.LT, 'x')", "is not a tag"),
        ("Keep() + 'x' == '' ? Keep() : null", "not an action"),
    ],
)
def test_expression_is_refused_when_it_is_read(text: str, rule: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(rule)):
        Expression.parse(text)


def test_error_on_a_data_set_never_holds_a_value(dataset: Dataset) -> None:
    texts = [
        "tagIsPresent(#Tag.PatientName) ? (getString(#Tag.PatientName) < 1 ? Keep() : null) : null",
        "tagIsPresent(#Tag.PatientName) ? Replace(getString(getString(#Tag.PatientName))) : null",
        "tagIsPresent(#Tag.PatientName) ? Replace(getString(#Tag.PatientName).substring(99)) : null",
        "tagIsPresent(#Tag.PatientName) ? getString(#Tag.PatientName) : null",
        "tagIsPresent(#Tag.PatientName) ? Add(#Tag.PatientID, getString(#Tag.PatientName), '') : null",
    ]
    for text in texts:
        expression = Expression.parse(text)
        with pytest.raises(ExpressionError) as caught:
            expression.action(dataset, PATIENT_NAME, "PN", "Doe^John")
        assert "Doe" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_one_condition_serves_many_threads() -> None:
    condition = Condition.parse("tagValueContains(#Tag.StationName, '7') && tagIsPresent(#Tag.StationName)")
    ready = threading.Barrier(8)

    def ask(start: int) -> list[bool]:
        ready.wait()
        answers = []
        for number in range(start, start + 400):
            dataset = Dataset()
            dataset.StationName = f"CT{number}"
            answers.append(condition.holds(dataset) is ("7" in str(number)))
        return answers

    with ThreadPoolExecutor(8) as threads:
        assert all(all(answers) for answers in threads.map(ask, range(0, 3200, 400)))
