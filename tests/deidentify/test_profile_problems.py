"""What is wrong with a profile is found, all of it, with its line."""

from __future__ import annotations

import sys

import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import BUILT_IN, DeidentificationError, Profile, ProfileError, Project, basic_profile

GOOD = """\
name: Research A
version: 1.0
minimumKarnakVersion: "0.9.2"
defaultIssuerOfPatientID: HOSPITAL
profileElements:
  - name: Exclude
    codename: expression.on.tags
    arguments: {expr: "getString(#Tag.BurnedInAnnotation) == 'YES' ? ExcludeInstance() : null"}
    tags: ["(xxxx,xxxx)"]
  - name: Shift
    codename: action.on.dates
    option: shift_range
    arguments: {max_days: 100, max_seconds: 60}
    condition: "tagIsPresent(#Tag.StudyDate)"
  - name: Coarse
    codename: action.on.dates
    option: format_date
    arguments: {remove: day}
    tags: ["0010,0030"]
  - name: Keep
    codename: action.on.privatetags
    action: K
    tags: ["(7053, xx00)"]
    excludedTags: [70531200]
  - {name: Add, codename: action.add.tag, arguments: {value: "YES"}, tags: ["(0028,0301)"]}
  - name: Add private
    codename: action.add.private.tag
    arguments: {value: x, vr: LO, privateCreator: ME}
    tags: ["(0057,1000)"]
  - name: Ask
    codename: action.replace.api
    arguments: {url: "http://h/{{getString(#Tag.PatientID)}}", responsePath: value}
    tags: ["(0010,0010)"]
  - {name: UIDs, codename: replace.uid, action: U, tags: ["0008,1155"]}
  - {name: Clean, codename: clean.pixel.data, arguments: {automaticMasksGeneration: "true"}}
  - {name: Deface, codename: clean.recognizable.visual.features}
  - {name: Basic, codename: basic.dicom.profile}
masks:
  - stationName: "*"
    color: ffff00
    rectangles: ["25 75 150 50"]
  - {stationName: R2D2, imageWidth: 1024, imageHeight: 1024, rectangles: ["50 25 100 100", "1 2 3 4"]}
"""


def problems(text: str) -> list[str]:
    return [str(problem) for problem in Profile.from_yaml(text).check()]


def element(text: str) -> list[str]:
    return [
        problem.partition(": ")[2].partition(": ")[2]
        for problem in problems(f"name: x\nprofileElements:\n  - {{name: n, {text}}}\n")
    ]


def test_good_profile_has_no_problems_and_knows_what_it_says() -> None:
    profile = Profile.from_yaml(GOOD)
    assert profile.check() == ()
    assert (profile.name, profile.version, profile.minimum_version) == ("Research A", "1.0", "0.9.2")
    assert profile.default_issuer == "HOSPITAL"
    assert {*profile.codenames, "action.on.specific.tags"} == {one.codename for one in BUILT_IN}
    first, second = profile.masks
    assert (first.station_name, first.color, first.image_size) == ("*", (255, 255, 0), None)
    assert (second.color, second.image_size, len(second.rectangles)) == (None, (1024, 1024), 2)


def test_masks_by_text_recognition_are_right_but_cannot_be_applied_yet(project: Project) -> None:
    profile = Profile.from_yaml(GOOD)
    reason = "clean.pixel.data 'Clean': automaticMasksGeneration needs a service that finds text in images"
    assert [problem.message.partition(",")[0] for problem in profile.check(to_apply=True)] == [reason]
    with pytest.raises(ProfileError, match="automaticMasksGeneration needs"):
        profile.require()
    with pytest.raises(DeidentificationError, match="automaticMasksGeneration needs"):
        profile.apply(Dataset(), project, "P")


@pytest.mark.parametrize("codename", ["clean.pixel.data", "clean.recognizable.visual.features"])
def test_pixel_elements_are_refused_where_the_codecs_are_not_installed(
    codename: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"name: x\nprofileElements:\n  - {{name: n, codename: {codename}}}\n"
    assert Profile.from_yaml(text).check(to_apply=True) == ()
    monkeypatch.setitem(sys.modules, "imagecodecs", None)  # as if it were not there
    profile = Profile.from_yaml(text)
    assert [str(problem) for problem in profile.check(to_apply=True)] == [
        f"3: {codename} 'n': needs image codecs: install karnak-gateway[transcode]"
    ]
    with pytest.raises(DeidentificationError, match="install karnak-gateway"):
        profile.apply(Dataset(), project, "P")


def test_built_in_profile_is_the_basic_one() -> None:
    profile = basic_profile()
    assert profile.require().name == "Dicom Basic Profile"
    assert profile.codenames == ("basic.dicom.profile",)


def test_problems_come_with_their_lines_and_all_at_once() -> None:
    assert problems(
        "name: x\n"
        "colour: red\n"
        "profileElements:\n"
        "  - name: one\n"
        "    codename: action.on.specific.tags\n"
        "    action: Q\n"
        "    tags:\n"
        "      - (0010,0010)\n"
        "      - (0010,00ZZ)\n"
        "    condition: tagIsPresent(#Tag.NoSuch)\n"
        "  - name: two\n"
        "    codename: no.such\n"
        "  - codename: action.on.dates\n"
    ) == [
        "2: the profile: unknown key 'colour'; known are name, version, minimumKarnakVersion, "
        "defaultIssuerOfPatientID, profileElements, masks",
        "6: action.on.specific.tags 'one': action 'Q' is unknown; known are K, X, Z, U, D, DDum",
        "9: action.on.specific.tags 'one': '(0010,00ZZ)' is not a tag; write (0010,0010), or (0010,XXXX) with X "
        "for any digit",
        "10: action.on.specific.tags 'one': condition: column 14: '#Tag.NoSuch': is not a keyword of the DICOM data "
        "dictionary (PS3.6)",
        "11: no.such 'two': codename 'no.such' is unknown; known are action.add.private.tag, action.add.tag, "
        "action.on.dates, action.on.privatetags, action.on.specific.tags, action.replace.api, basic.dicom.profile, "
        "clean.pixel.data, clean.recognizable.visual.features, expression.on.tags, replace.uid",
        "13: action.on.dates: option is missing; known are shift, shift_range, shift_by_tag, date_format",
        "13: name of the element is missing",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("codename: basic.dicom.profile, condition: 'x ((('", "condition: column 1"),
        ("codename: basic.dicom.profile, condition: ''", "condition"),
        ("codename: basic.dicom.profile, condition: \"'text'\"", "must be true or false"),
        ("codename: basic.dicom.profile, condition: ' '", "condition"),
        ("codename: basic.dicom.profile, arguments: {a: b}", "argument 'a' is unknown; there are none"),
        ("codename: action.on.specific.tags", "action is missing"),
        ("codename: action.on.specific.tags, action: K", "tags are missing"),
        ("codename: action.on.specific.tags, action: K, tags: [0010001]", "is not a tag"),
        ("codename: action.on.specific.tags, action: K, tags: [PatientName]", "is not a tag"),
        ("codename: action.on.specific.tags, action: k, tags: [00100010]", "action 'k' is unknown"),
        ("codename: action.on.privatetags, action: K, excludedTags: [7]", "is not a tag"),
        ("codename: action.on.dates, option: never", "option 'never' is unknown"),
        ("codename: action.on.dates, option: shift, arguments: {days: 1}", "argument 'seconds' is missing"),
        ("codename: action.on.dates, option: shift, arguments: {days: 1.5, seconds: 0}", "is not a whole number"),
        ("codename: action.on.dates, option: shift, arguments: {days: 99999999999, seconds: 0}", "whole number"),
        ("codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 0, hours: 2}", "'hours' is unknown"),
        ("codename: action.on.dates, option: shift_by_tag, arguments: {days_tag: 0010}", "is not a tag"),
        ("codename: action.on.dates, option: shift_by_tag, arguments: {days_tag: 001000XX}", "cannot have an X"),
        ("codename: action.on.dates, option: date_format, arguments: {remove: year}", "is not day or month_day"),
        ("codename: action.on.dates, option: date_format", "argument 'remove' is missing"),
        ("codename: expression.on.tags, tags: [00100010]", "argument 'expr' is missing"),
        ("codename: expression.on.tags, tags: [00100010], arguments: {expr: Kep()}", "expr: column 1"),
        ("codename: action.add.tag, tags: [00280301]", "argument 'value' is missing"),
        ("codename: action.add.tag, arguments: {value: x}", "has 0 tags"),
        ("codename: action.add.tag, arguments: {value: x}, tags: [00280301, 00280302]", "has 2 tags"),
        ("codename: action.add.tag, arguments: {value: x}, tags: [002803XX]", "cannot have an X"),
        ("codename: action.add.tag, arguments: {value: x}, tags: [00280106]", "cannot be added"),
        ("codename: action.add.tag, arguments: {value: x}, tags: [00081140]", "cannot be added"),
        ("codename: action.add.tag, arguments: {value: x}, tags: [00080003]", "not in the data dictionary"),
        ("codename: action.add.tag, arguments: {value: '2020-01-01'}, tags: [00080020]", "not a value of VR DA"),
        ("codename: action.add.tag, arguments: {value: '20200230'}, tags: [00080020]", "not a value of VR DA"),
        ("codename: action.add.tag, arguments: {value: 'yes'}, tags: [00280301]", "not a value of VR CS"),
        ("codename: action.add.tag, arguments: {value: 'A STATION WITH A NAME'}, tags: [00081010]", "of VR SH"),
        ("codename: action.add.private.tag, arguments: {value: '1.5', vr: IS}, tags: [00571000]", "of VR IS"),
        ("codename: action.add.private.tag, arguments: {value: 45Y, vr: AS}, tags: [00571000]", "of VR AS"),
        (
            """codename: expression.on.tags, arguments: {expr: "Replace('1980')"}, tags: [00100030]""",
            "the value of Replace is not one of VR DA",
        ),
        (
            """codename: expression.on.tags, arguments: {expr: "tag == #Tag.StudyDate ? Replace('x') : Keep()"},
      tags: [00080020, 00080030]""",
            "the value of Replace is not one of VR DA or TM",
        ),
        ("codename: basic.dicom.profile, action: K, tags: [00100010]", "key 'action' has no meaning here"),
        ("codename: basic.dicom.profile, tags: [00100010]", "known are name, codename, condition"),
        (
            "codename: action.on.specific.tags, action: K, tags: [00100010], option: shift",
            "key 'option' has no meaning",
        ),
        ("codename: action.add.tag, arguments: {value: x}, tags: [00081030], action: K", "key 'action' has no meaning"),
        ("codename: action.add.private.tag, arguments: {value: x, vr: ZZ}, tags: [00571000]", "is not a VR"),
        ("codename: action.add.private.tag, arguments: {value: x}, tags: [00571000]", "argument 'vr' is missing"),
        ("codename: action.add.private.tag, arguments: {value: x, vr: LO}, tags: [00570010]", "private data element"),
        ("codename: action.add.private.tag, arguments: {value: x, vr: LO}, tags: [00581000]", "private data element"),
        ("codename: action.replace.api, arguments: {url: u, responsePath: p}", "tags are missing"),
        ("codename: action.replace.api, arguments: {url: u}, tags: [00100010]", "argument 'responsePath' is missing"),
        (
            "codename: action.replace.api, arguments: {url: '{{x', responsePath: p}, tags: [00100010]",
            "is not closed",
        ),
        (
            "codename: action.replace.api, arguments: {url: 'http://{{getString(#Tag.PatientID)}}.example/', "
            "responsePath: p}, tags: [00100010]",
            "argument 'url': {{…}} cannot say which host is asked",
        ),
        (
            "codename: action.replace.api, arguments: {url: u, responsePath: p, method: PUT}, tags: [00100010]",
            "is not get or post",
        ),
        (
            "codename: action.replace.api, arguments: {url: u, responsePath: p, method: POST}, tags: [00100010]",
            "argument 'body' is missing",
        ),
        ("codename: replace.uid, action: K", "action 'K' is unknown; known are U, X, Z"),
    ],
)
def test_what_is_wrong_with_an_element_is_said(text: str, message: str) -> None:
    found = element(text)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("# nothing", 1, "empty"),
        ("a: [", 1, "not YAML"),
        ("name: x\n\tb: c", 2, "not YAML"),
        ("- a", 1, "has to be a mapping"),
        ("name: x", 1, "profileElements is missing"),
        ("name: x\nprofileElements:", 1, "profileElements is missing"),
        ("name: x\nprofileElements: 7", 2, "has to be a list"),
        ("name: x\nprofileElements: [7]", 2, "has to be a mapping"),
        ("name: x\nname: y\nprofileElements: []", 2, "stands twice"),
        ("name: [x]\nprofileElements: []", 1, "has to be a text"),
        ("name: x\nprofileElements:\n - {name: a, codename: [b]}", 3, "has to be a text"),
        ("name: x\x00\nprofileElements: []", 1, "character"),
        (f"name: {'x' * 65}\nprofileElements: []", 1, "64 characters"),
        ("x: " + "[" * 30, 1, "nested deeper"),
        ("profileElements: []\nmasks:\n  - {color: '#ff0000', rectangles: ['1 2 3 4']}", 3, "color"),
        ("profileElements: []\nmasks:\n  - {rectangles: ['1 2 3']}", 3, "four whole numbers"),
        ("profileElements: []\nmasks:\n  - {rectangles: ['a b c d']}", 3, "four whole numbers"),
        ("profileElements: []\nmasks:\n  - {rectangles: ['1 2 3 0']}", 3, "has no pixel"),
        ("profileElements: []\nmasks:\n  - {rectangles: ['1 2 3 4',\n    '1 2 0 4']}", 4, "has no pixel"),
        (
            "profileElements: []\nmasks:\n  - {imageWidth: 5, imageHeight: 9, rectangles: ['4 8 9 9', '5 0 1 1']}",
            3,
            "'5 0 1 1' lies outside of images of 5 by 9",
        ),
        ("profileElements: []\nmasks:\n  - {imageWidth: 5, rectangles: ['1 2 3 4']}", 3, "both"),
        ("profileElements: []\nmasks:\n  - {imageWidth: 0, rectangles: ['1 2 3 4']}", 3, "number of pixels"),
        ("profileElements: []\nmasks:\n  - {stationName: a}", 3, "rectangles are missing"),
    ],
)
def test_what_is_wrong_with_the_text_is_said(text: str, line: int, message: str) -> None:
    found = Profile.from_yaml(text).check()
    assert any(problem.line == line and message in problem.message for problem in found), found


def test_basic_profile_stands_once() -> None:
    text = "profileElements:\n" + "  - {name: b, codename: basic.dicom.profile}\n" * 2
    assert problems(text) == ["3: basic.dicom.profile 'b': stands in the profile twice; once is allowed"]


def test_aliases_do_not_make_a_small_text_large() -> None:
    tags = ", ".join(["'00100010'"] * 1000)
    text = f"profileElements:\n  - {{name: a, codename: b, tags: &t [{tags}]}}\n"
    text += "  - {name: a, codename: b, tags: *t}\n" * 1000
    assert any("more than 50000" in problem for problem in problems(text))


def test_scalars_are_taken_as_they_are_written() -> None:
    profile = Profile.from_yaml("name: 0123\nversion: 1.10\nprofileElements: []")
    assert (profile.name, profile.version) == ("0123", "1.10")


def test_profile_with_problems_is_not_applied(project: Project) -> None:
    with pytest.raises(DeidentificationError, match="line 1: the profile is empty"):
        Profile.from_yaml("").morph(Dataset(), project)


def test_value_of_a_wrong_form_is_told_with_its_line() -> None:
    text = """\
name: x
profileElements:
  - name: birth
    codename: expression.on.tags
    tags: [00100030]
    arguments:
      expr: "tagIsPresent(#Tag.StudyDate) ? Replace('1980') : Keep()"
  - name: basic
    codename: basic.dicom.profile
    action: K
"""
    assert problems(text) == [
        "7: expression.on.tags 'birth': the value of Replace is not one of VR DA",
        "10: basic.dicom.profile 'basic': key 'action' has no meaning here; known are name, codename, condition",
    ]
