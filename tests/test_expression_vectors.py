"""The answers of the reference engine, and every place where this one answers otherwise, with its reason."""

import base64
import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from karnak_core.expressions import (
    Add,
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
    first_value,
    parse_tag,
)

VECTORS = Path(__file__).parent / "vectors"
SAMPLES = json.loads((VECTORS / "expressions.json").read_text())
AREAS = {
    "condition.eval": 136,
    "condition.valid": 10,
    "expression.eval": 29,
    "expression.string": 1,
    "expression.valid": 7,
    "template.eval": 8,
    "template.valid": 4,
    "destination.condition": 2,
}
LINES = [json.loads(line) for line in (VECTORS / "deid.jsonl").read_text().splitlines()]
CASES = [line for line in LINES if line["area"] in AREAS]

#: Samples of expressions.json that are accepted although the file calls them invalid.
ACCEPTED_SAMPLES = {
    "Add(#Tag.PatientComments, #VR.LT, 'x')": "documented by the reference but missing in it; supported here",
}

ADD_SUPPORTED = "Add is documented by the reference but missing in it; supported here"
NEEDS_VALUE = "refused when read, as it fails on the empty data set; the reference run skipped that check"
TEMPLATE_TEXT = "the reference validates templates as if they had to yield an action; text is right"

#: Vector -> (what is expected here instead, why). ``error``: refused with an `ExpressionError`.
DEVIATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "D0876": ({"action": "Add", "value": "x"}, ADD_SUPPORTED),
    "D0896": ({"valid": True}, ADD_SUPPORTED),
    "D0862": ({"error": "invalid_expression"}, NEEDS_VALUE),
    "D0863": ({"error": "invalid_expression"}, NEEDS_VALUE),
    "D0899": ({"valid": True}, TEMPLATE_TEXT),
    "D0901": ({"valid": True}, TEMPLATE_TEXT),
    "D0906": ({"text": "ORIGINAL\\PRIMARY"}, "the reference loses the backslash; values are inserted as they are"),
    "D0910": ({"text": ""}, "empty text stays empty text; whether to call an empty URL is the caller's question"),
}

NAMES = {
    Keep: "Keep",
    Remove: "Remove",
    ReplaceNull: "ReplaceNull",
    Replace: "Replace",
    Uid: "UID",
    ExcludeInstance: "ExcludeInstance",
    Add: "Add",
}


def make_dataset(elements: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for tag, element in elements.items():
        values = element.get("Value", [])
        if element["vr"] == "SQ":
            value: Any = [make_dataset(item) for item in values]
        elif "InlineBinary" in element:
            value = base64.b64decode(element["InlineBinary"])
        else:
            value = values[0] if len(values) == 1 else values or None
        dataset.add_new(int(tag, 16), element["vr"], value)
    return dataset


def read_back(dataset: Dataset, transfer_syntax: str) -> Dataset:
    file = BytesIO()
    pydicom.dcmwrite(
        file,
        dataset,
        implicit_vr=transfer_syntax == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=False,
    )
    return pydicom.dcmread(BytesIO(file.getvalue()), force=True, stop_before_pixels=True)


def outcome(case: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Return what the language answers, in the words of the vectors."""
    given = case["input"]
    try:
        match case["area"]:
            case "condition.eval":
                return {"result": Condition.parse(given["expression"]).holds(dataset)}
            case "destination.condition":
                holds = Condition.parse(given["condition"]).holds(dataset)
                return {"abort": "NONE" if holds else "FILE_EXCEPTION"}
            case "expression.eval":
                tag = parse_tag(given["tag"])
                expression = Expression.parse(given["expr"])
                action = expression.action(dataset, tag, given["vr"], first_value(dataset, tag))
                if action is None:
                    return {"action": None}
                value = getattr(action, "text", getattr(action, "value", None))
                return {"action": NAMES[type(action)], "value": value}
            case "expression.string":
                return {"value": Template.parse("{{" + given["expr"] + "}}").render(dataset)}
            case "template.eval":
                return {"text": Template.parse(given["template"]).render(dataset)}
            case "condition.valid":
                Condition.parse(given["expression"])
            case "expression.valid":
                Expression.parse(given["expr"])
            case "template.valid":
                Template.parse(given["template"])
    except ExpressionError:
        return {"valid": False} if case["area"].endswith(".valid") else {"error": "invalid_expression"}
    return {"valid": True}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    if case["id"] in DEVIATIONS:
        return DEVIATIONS[case["id"]][0]
    return {key: value for key, value in case["expected"].items() if key != "abort_message"}


@pytest.mark.parametrize("transfer_syntax", [None, ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_vector_is_answered_as_the_reference_does_or_as_a_listed_deviation_says(
    case: dict[str, Any], transfer_syntax: str | None
) -> None:
    dataset = make_dataset(case["input"].get("dataset", {}))
    if transfer_syntax is not None:
        dataset = read_back(dataset, transfer_syntax)
    assert outcome(case, dataset) == expected(case)


def test_every_vector_of_the_language_is_run() -> None:
    assert len(LINES) == 709
    assert Counter(case["area"] for case in CASES) == AREAS
    of_the_language = {line["area"] for line in LINES if line["area"].startswith(("condition.", "expression."))}
    assert of_the_language <= set(AREAS)


def test_every_deviation_is_still_one() -> None:
    by_id = {case["id"]: case for case in CASES}
    for identifier, (instead, reason) in DEVIATIONS.items():
        assert by_id[identifier]["expected"] != instead, reason
    anomalies = {case["id"] for case in CASES if case.get("anomaly")}
    assert anomalies == {"D0906"}
    assert anomalies <= set(DEVIATIONS)


@pytest.mark.parametrize(
    ("identifier", "guarded"),
    [
        ("D0862", "stringValue != null && stringValue.length() > 3 ? Remove() : Keep()"),
        ("D0863", "stringValue != null && stringValue matches '.*John' ? Remove() : Keep()"),
    ],
)
def test_vector_refused_for_needing_a_value_gives_its_answer_when_guarded(identifier: str, guarded: str) -> None:
    case = next(case for case in CASES if case["id"] == identifier)
    case = {**case, "input": {**case["input"], "expr": guarded}}
    assert outcome(case, make_dataset(case["input"]["dataset"])) == case["expected"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["text"][:60])
def test_sample_is_accepted_or_refused_as_its_validity_says(sample: dict[str, Any]) -> None:
    text = sample["text"]

    def parse() -> object:
        match sample["kind"]:
            case "condition":
                return Condition.parse(text)
            case "expression":
                return Expression.parse(text)
            case "template":
                return Template.parse("{{" + text + "}}")
        raise AssertionError(sample["kind"])

    if sample["valid"] or text in ACCEPTED_SAMPLES:
        parse()
    else:
        with pytest.raises(ExpressionError):
            parse()


def test_every_sample_is_run_and_every_exception_is_one() -> None:
    assert Counter(sample["valid"] for sample in SAMPLES) == {True: 51, False: 18}
    assert {sample["text"] for sample in SAMPLES if not sample["valid"]} >= set(ACCEPTED_SAMPLES)
