"""Every rule of a profile, broken: the problem names the line of the key that breaks it."""

from __future__ import annotations

import pytest

from karnak_core.deidentify import BUILT_IN, Profile

HEAD = "name: x\nprofileElements:\n  - name: good\n    codename: basic.dicom.profile\n"

#: what each codename needs, to be right
NEEDS = {
    "basic.dicom.profile": "",
    "clean.pixel.data": "",
    "clean.recognizable.visual.features": "",
    "action.on.specific.tags": "    action: K\n    tags: [00100010]\n",
    "action.on.privatetags": "    action: K\n",
    "action.on.dates": "    option: shift\n    arguments: {days: 1, seconds: 1}\n",
    "expression.on.tags": "    tags: [00100010]\n    arguments: {expr: Keep()}\n",
    "action.add.tag": "    tags: [00280301]\n    arguments: {value: 'YES'}\n",
    "action.add.private.tag": "    tags: [00571000]\n    arguments: {value: x, vr: LO}\n",
    "action.replace.api": "    tags: [00100010]\n    arguments: {url: 'http://h', responsePath: /a}\n",
    "replace.uid": "",
}


def problems(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in Profile.from_yaml(text).check()]


def test_every_codename_is_here_and_right_with_what_it_needs() -> None:
    assert set(NEEDS) == {element.codename for element in BUILT_IN}
    for codename, needs in NEEDS.items():
        assert problems(f"name: x\nprofileElements:\n  - name: n\n    codename: {codename}\n{needs}") == []


@pytest.mark.parametrize("codename", NEEDS)
@pytest.mark.parametrize(
    "condition", ["tagIsPresent(", "''", "1 + 1", "tagIsPresent(#Tag.NoSuch)", "stringValue == 'x'"]
)
def test_condition_that_is_wrong_is_found_on_its_line(codename: str, condition: str) -> None:
    text = f"name: x\nprofileElements:\n  - name: n\n    codename: {codename}\n{NEEDS[codename]}"
    line = text.count("\n") + 1
    found = problems(f'{text}    condition: "{condition}"\n')
    assert [number for number, _ in found] == [line]
    assert found[0][1].startswith(f"{codename} 'n': condition: ")


@pytest.mark.parametrize("codename", [one for one in NEEDS if one not in ("action.replace.api",)])
def test_argument_that_nobody_knows_is_found_on_its_line(codename: str) -> None:
    needs = NEEDS[codename].replace("{", "\n      ").replace("}", "").replace(", ", "\n      ")
    if "arguments" not in needs:
        needs += "    arguments:\n"
    text = f"name: x\nprofileElements:\n  - name: n\n    codename: {codename}\n{needs}"
    line = text.count("\n") + 1
    assert [
        (number, "'surplus' is unknown" in message) for number, message in problems(f"{text}      surplus: 1\n")
    ] == [(line, True)]


# line 5 is the first of the element, line 6 its codename
@pytest.mark.parametrize(
    ("codename", "rest", "line", "message"),
    [
        # §1.4: what is missing is a problem of the element
        ("action.on.specific.tags", "", 5, "action is missing"),
        ("action.on.specific.tags", "", 5, "tags are missing"),
        ("action.on.specific.tags", "action: K", 5, "tags are missing"),
        ("action.on.specific.tags", "tags: [00100010]", 5, "action is missing"),
        ("action.on.privatetags", "tags: [00091001]", 5, "action is missing"),
        ("action.on.dates", "tags: [00080020]", 5, "option is missing"),
        ("action.on.dates", "option: shift", 5, "argument 'days' is missing"),
        ("action.on.dates", "option: shift", 5, "argument 'seconds' is missing"),
        ("action.on.dates", "option: shift_range\narguments:\n  max_days: 1", 5, "argument 'max_seconds' is missing"),
        ("action.on.dates", "option: shift_range\narguments:\n  max_seconds: 1", 5, "argument 'max_days' is missing"),
        ("action.on.dates", "option: date_format", 5, "argument 'remove' is missing"),
        ("expression.on.tags", "tags: [00100010]", 5, "argument 'expr' is missing"),
        ("action.add.tag", "tags: [00280301]", 5, "argument 'value' is missing"),
        ("action.add.tag", "arguments: {value: x}", 5, "has 0 tags"),
        ("action.add.private.tag", "tags: [00571000]\narguments: {vr: LO}", 5, "argument 'value' is missing"),
        ("action.add.private.tag", "tags: [00571000]\narguments: {value: x}", 5, "argument 'vr' is missing"),
        ("action.add.private.tag", "arguments: {value: x, vr: LO}", 5, "has 0 tags"),
        ("action.replace.api", "arguments: {url: u, responsePath: a}", 5, "tags are missing"),
        ("action.replace.api", "tags: [00100010]\narguments: {responsePath: a}", 5, "argument 'url' is missing"),
        ("action.replace.api", "tags: [00100010]\narguments: {url: u}", 5, "argument 'responsePath' is missing"),
        (
            "action.replace.api",
            "tags: [00100010]\narguments: {url: u, responsePath: a, method: post}",
            5,
            "argument 'body' is missing",
        ),
        # … and what is wrong has the line of its key
        ("action.on.dates", "option: shift_days", 7, "option 'shift_days' is unknown"),
        ("action.on.dates", "option: shift\narguments:\n  days: x\n  seconds: 1", 9, "'x' is not a whole number"),
        ("action.on.dates", "option: shift\narguments:\n  days: 1\n  seconds: ''", 10, "'' is not a whole number"),
        (
            "action.on.dates",
            "option: shift_range\narguments:\n  max_days: 1\n  max_seconds: 2\n  min_days: 1.5",
            11,
            "1.5",
        ),
        ("action.on.dates", "option: shift_by_tag\narguments:\n  days_tag: xyz", 9, "'xyz' is not a tag"),
        ("action.on.dates", "option: date_format\narguments:\n  remove: hour", 9, "'hour' is not day or month_day"),
        ("expression.on.tags", "tags: [00100010]\narguments:\n  expr: Kep()", 9, "expr: column 1"),
        ("expression.on.tags", "tags: [00100010]\narguments:\n  expr: \"'text'\"", 9, "expr"),
        ("expression.on.tags", "tags: [00100010]\narguments:\n  expr: stringValue.length() > 3", 9, "expr"),
        ("expression.on.tags", "tags: [00100010]\narguments:\n  expression: Keep()", 9, "'expression' is unknown"),
        ("action.add.tag", "arguments: {value: x}\ntags:\n  - 00280301\n  - 00280302", 5, "has 2 tags"),
        ("action.add.tag", "arguments: {value: x}\ntags:\n  - 00090301", 9, "not in the data dictionary"),
        ("action.add.tag", "arguments: {value: x}\ntags:\n  - 00280106", 9, "'US or SS' cannot be added"),
        ("action.add.tag", "arguments: {value: x}\ntags:\n  - 7FE00010", 9, "'OB or OW' cannot be added"),
        ("action.add.tag", "arguments: {value: x}\ntags:\n  - 002803XX", 9, "cannot have an X"),
        ("action.add.tag", "tags: [00280010]\narguments:\n  value: many", 9, "not a value of VR US"),
        ("action.add.private.tag", "arguments: {value: x, vr: LO}\ntags:\n  - 00570010", 9, "private data element"),
        ("action.add.private.tag", "arguments: {value: x, vr: LO}\ntags:\n  - 00580010", 9, "private data element"),
        ("action.add.private.tag", "tags: [00571000]\narguments:\n  value: x\n  vr: XX", 10, "is not a VR"),
        ("action.add.private.tag", "tags: [00571000]\narguments:\n  value: x\n  vr: OB", 9, "not a value of VR OB"),
        (
            "action.add.private.tag",
            "tags: [00571000]\narguments:\n  value: x\n  vr: LO\n  privateCreator: ' '",
            11,
            "'privateCreator' is not 1 to 64 characters",
        ),
        ("action.replace.api", "tags: [00100010]\narguments:\n  url: '{{x}}'\n  responsePath: a", 9, "url"),
        (
            "action.replace.api",
            "tags: [00100010]\narguments:\n  url: u\n  responsePath: a\n  method: put",
            11,
            "get or post",
        ),
        (
            "action.replace.api",
            "tags: [00100010]\narguments:\n  url: u\n  responsePath: a\n  method: post\n  body: '{{'",
            12,
            "body",
        ),
        (
            "action.replace.api",
            "tags: [00100010]\narguments:\n  url: u\n  responsePath: a\n  verb: get",
            11,
            "'verb' is unknown",
        ),
        # §11.2: what is accepted there, and has no effect or another one
        ("replace.uid", "action: K", 7, "action 'K' is unknown"),
        ("action.on.specific.tags", "action: R\ntags: [00100010]", 7, "action 'R' is unknown"),
        ("action.on.specific.tags", "action: x\ntags: [00100010]", 7, "action 'x' is unknown"),
        ("action.on.privatetags", "action: KEEP", 7, "action 'KEEP' is unknown"),
        ("action.on.specific.tags", "action: K\ntags:\n  - 0010001", 9, "is not a tag"),
        ("action.on.specific.tags", "action: K\ntags:\n  - 00100010\n  - 001000100", 10, "is not a tag"),
        ("action.on.specific.tags", "action: K\ntags:\n  - 0010001G", 9, "is not a tag"),
        ("action.on.specific.tags", "action: K\ntags: [00100010]\nexcludedTags:\n  - PatientID", 10, "is not a tag"),
        ("action.on.dates", "option: format-date", 7, "is unknown"),
        ("no.such.codename", "", 5, "codename 'no.such.codename' is unknown"),
        ("Basic.Dicom.Profile", "", 5, "is unknown"),
        ("basic.dicom.profile", "", 5, "stands in the profile twice"),
        ("basic.dicom.profile", "colour: red", 7, "unknown key 'colour'"),
        ("basic.dicom.profile", "tags: 00100010", 7, "has to be a list"),
        ("basic.dicom.profile", "tags: [[00100010]]", 7, "has to be a text"),
        ("basic.dicom.profile", "arguments: [a]", 7, "has to be a mapping"),
        ("basic.dicom.profile", "arguments:\n  a:\n    b: c", 9, "has to be a text"),
        ("action.on.specific.tags", "action: K\naction: X\ntags: [00100010]", 8, "stands twice"),
        ("action.on.specific.tags", "action: K\ntags:\n  - 00100010\n  -", 10, "has an empty entry"),
    ],
)
def test_rule_that_is_broken_is_named_with_its_line(codename: str, rest: str, line: int, message: str) -> None:
    body = "".join(f"    {one}\n" for one in rest.splitlines())
    found = problems(f"{HEAD}  - name: bad\n    codename: {codename}\n{body}")
    assert any(number == line and message in text for number, text in found), found


@pytest.mark.parametrize("codename", ["clean.pixel.data", "clean.recognizable.visual.features", "basic.dicom.profile"])
def test_what_stands_once_is_found_where_it_stands_again(codename: str) -> None:
    text = f"profileElements:\n  - name: a\n    codename: {codename}\n  - name: b\n    codename: {codename}\n"
    assert [(line, "twice" in message) for line, message in problems(text)] == [(4, True)]


@pytest.mark.parametrize(
    ("mask", "line", "message"),
    [
        ("color: red\nrectangles: [1 2 3 4]", 3, "color 'red'"),
        ("color: '123456789'\nrectangles: [1 2 3 4]", 3, "color"),
        ("rectangles:\n  - 1 2 3 4\n  - 1 2 3", 5, "four whole numbers"),
        ("rectangles:\n  - 1 2 -3 4", 4, "four whole numbers"),
        ("rectangles: [1 2 3 4]\nimageWidth: 7", 3, "both"),
        ("rectangles: [1 2 3 4]\nimageWidth: 7\nimageHeight: x", 5, "imageHeight 'x'"),
        ("stationName: a", 3, "rectangles are missing"),
        ("rectangles: [1 2 3 4]\nshape: round", 4, "unknown key 'shape'"),
    ],
)
def test_mask_that_is_wrong_is_named_with_its_line(mask: str, line: int, message: str) -> None:
    first, *others = mask.splitlines()
    text = "profileElements: []\nmasks:\n" + f"  - {first}\n" + "".join(f"    {one}\n" for one in others)
    found = problems(text)
    assert any(number == line and message in words for number, words in found), found
