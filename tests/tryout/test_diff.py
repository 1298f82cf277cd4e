"""What is shown of a data set that was changed: every change with who decided, and nothing that says whose it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.dataset import Dataset as Item
from rich.console import Console

from karnak_core.deidentify import Change, Profile, Project, Result, basic_profile, decode_dataset
from karnak_core.testing import make_dataset
from karnak_core.tryout import Ending, Row, Tally, Tried, What, as_line, diff_of, show_rows, show_tally
from karnak_core.tryout.diff import plain

SECRET = bytes.fromhex("0123456789abcdef0123456789abcdef")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: dummies and flags that may be anywhere
EVERYWHERE = {"", "yes", "no", "unknown", "0"}
FILES = ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "test-SR.dcm", "JPEG2000.dcm"]
CHARSETS = ["chrH31.dcm", "chrKoreanMulti.dcm", "chrX1.dcm", "chrSQEncoding.dcm", "chrArab.dcm"]

Diff = Callable[..., tuple[Row, ...]]


def profile_of(elements: str) -> Profile:
    found = Profile.from_yaml(f"name: Test\nprofileElements:\n{elements}\n")
    assert found.check() == ()
    return found


@pytest.fixture
def diff() -> Diff:
    """Return the differences that a profile makes to a data set."""

    def diff(
        dataset: Dataset, profile: Profile | None = None, *, show_values: bool = False, pseudonym: str = "PSN-1"
    ) -> tuple[Row, ...]:
        file = BytesIO()
        alone = Dataset({element.tag: element for element in dataset if element.tag.group < 0x7FE0})
        pydicom.dcmwrite(file, alone, implicit_vr=False, little_endian=True, enforce_file_format=False)
        received = decode_dataset(file.getvalue(), implicit=False)
        project = Project(name="STUDY-A", secret=SECRET)
        result = (profile or basic_profile()).apply(received, project, pseudonym, at=AT, changes=True)
        assert isinstance(result, Result)
        return diff_of(received, result.changes, show_values=show_values)

    return diff


def row_of(rows: tuple[Row, ...], path: str) -> Row:
    (row,) = [row for row in rows if row.path == path]
    return row


def plain_dataset(**elements: object) -> Dataset:
    dataset = make_dataset(pixels=0, **elements)
    del dataset.file_meta
    return dataset


def series(uid: str) -> Item:
    item = Item()
    item.SeriesInstanceUID = uid
    return item


def test_every_change_has_its_place_name_values_and_who_decided(diff: Diff) -> None:
    rows = diff(plain_dataset(ReferencedSeriesSequence=[series("1.2.3")]), show_values=True)
    nested = row_of(rows, "(0008,1115)[0].(0020,000E)")
    assert (nested.what, nested.name, nested.vr) == (What.CHANGED, "Series Instance UID", "UI")
    assert str(nested.before) == "1.2.3"
    assert str(nested.after).startswith("2.25.")
    assert nested.decided_by == "DICOM basic profile (basic.dicom.profile)"
    gone = row_of(rows, "(0008,1030)")
    assert (gone.what, str(gone.before), gone.after) == (What.REMOVED, "Study", None)
    new = row_of(rows, "(0012,0040)")
    assert (new.what, new.before, str(new.after), new.decided_by) == (What.ADDED, None, "PSN-1", "Karnak itself")


def test_rows_are_in_the_order_of_the_elements(diff: Diff) -> None:
    items = [series(f"1.2.{number}") for number in range(11)]
    paths = [row.path for row in diff(plain_dataset(ReferencedSeriesSequence=items))]
    nested = [f"(0008,1115)[{number}].(0020,000E)" for number in range(11)]
    at = paths.index("(0008,1030)") + 2
    assert paths[at : at + 11] == nested
    assert [path for path in paths if path not in nested] == sorted(set(paths) - set(nested))


def test_original_values_are_masked_and_new_ones_are_shown(diff: Diff) -> None:
    rows = diff(plain_dataset())
    name = row_of(rows, "(0010,0010)")
    assert (str(name.before), str(name.after)) == ("••• 11 characters", "PSN-1")
    assert name.before is not None
    assert name.before.text is None
    sponsor = row_of(rows, "(0012,0010)")
    # a word of it is also the description of the study; it is the operator's all the same
    assert str(sponsor.after) == "STUDY-A"


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("Replace('Brain')", "Brain"),
        ("Replace(getString(#Tag.PatientName))", None),
        ("Replace('Scan of ' + getString(#Tag.PatientID))", None),
        ("Replace('Jane again')", None),
        ("Replace(stringValue + '!')", None),
        ("Replace('UNKNOWN')", "UNKNOWN"),
        ("Replace('')", ""),
    ],
)
def test_new_value_that_says_something_of_the_original_is_masked(
    diff: Diff, expression: str, shown: str | None
) -> None:
    element = f'  - {{name: e, codename: expression.on.tags, arguments: {{expr: "{expression}"}}, tags: ["0008,1030"]}}'
    dataset = plain_dataset(PatientName="Doe^Jane", PatientID="4711-08", StudyDescription="CT of the head")
    after = row_of(diff(dataset, profile_of(element)), "(0008,1030)").after
    assert after is not None
    assert after.text == shown


def test_pseudonym_that_is_the_patient_s_own_id_is_masked(diff: Diff) -> None:
    rows = diff(plain_dataset(PatientID="4711-08"), pseudonym="4711-08")
    assert str(row_of(rows, "(0012,0040)").after) == "••• 7 characters"


def test_shifted_date_is_shown_unless_it_is_another_date_of_the_original(diff: Diff) -> None:
    shift = "  - {name: s, codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 0}}"
    rows = diff(plain_dataset(StudyDate="20200102", SeriesDate="20200102", ContentDate="20200101"), profile_of(shift))
    assert str(row_of(rows, "(0008,0023)").after) == "20191231"
    assert str(row_of(rows, "(0008,0020)").after) == "••• 8 characters"


def test_sizes_are_no_values(diff: Diff) -> None:
    dataset = plain_dataset()
    dataset.add_new(0x00091001, "OB", bytes(12))
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    dataset.add_new(0x00091002, "LO", "12 bytes")
    rows = diff(dataset)
    assert str(row_of(rows, "(0009,1001)").before) == "12 bytes"
    assert str(row_of(rows, "(0009,1002)").before) == "••• 8 characters"
    assert str(row_of(rows, "(0012,0064)").after) == "1 item"


def test_private_elements_are_named_where_their_creator_is_known(diff: Diff) -> None:
    rows = diff(pydicom.dcmread(get_testdata_file("CT_small.dcm")))
    assert row_of(rows, "(0009,0010)").name == "Private Creator"
    assert row_of(rows, "(0019,1002)").name.startswith("private: ")
    dataset = plain_dataset()
    dataset.add_new(0x00190010, "LO", "NOBODY KNOWS")
    dataset.add_new(0x00191002, "SL", 1)
    assert row_of(diff(dataset), "(0019,1002)").name == "private element"


def test_element_that_was_only_written_anew_is_no_row() -> None:
    same = Change(place=(), tag=0x00101010, vr="AS", before="000Y", after="000Y", element="s", codename="c")
    assert diff_of(Dataset(), [same], show_values=False) == ()


@pytest.mark.parametrize("name", FILES + CHARSETS)
@pytest.mark.parametrize("profile", ["basic", "dummies"])
def test_no_original_value_is_in_masked_output(diff: Diff, name: str, profile: str) -> None:
    path = get_charset_files(name)[0] if name in CHARSETS else get_testdata_file(name)
    dataset = pydicom.dcmread(path)
    if not dataset.get("PatientID"):
        dataset.PatientID = "TEST-4711"
    elements = "  - {name: d, codename: action.on.specific.tags, action: DDum, tags: ['XXXXXXXX']}"
    rows = diff(dataset, basic_profile() if profile == "basic" else profile_of(elements))
    originals = {text.casefold() for text in values_of(dataset)} - EVERYWHERE
    assert len(originals) > 3
    shown = [value.text for row in rows for value in (row.before, row.after) if value is not None and value.text]
    assert [text for text in shown if text.casefold() in originals] == []
    tried = Tried(path=Path("Doe^Jane.dcm"), ending=Ending.TRIED, rows=rows)
    line = as_line(tried, 1, masked=True, with_changes=True)
    assert "Doe" not in line
    printed = StringIO()
    show_rows(Console(file=printed, width=10_000), rows)
    changed = {text.casefold() for row in diff(dataset, show_values=True) for text in [str(row.before)] if row.before}
    for output in (printed.getvalue(), line):
        for row in rows:
            output = output.replace(row.name, "")
        assert {text for text in changed & originals if len(text) > 5 and text in output.casefold()} == set()


def values_of(dataset: Dataset) -> list[str]:
    """Return every text of a data set, as pydicom reads it."""
    found: list[str] = []
    for element in dataset.iterall():
        if element.VR in ("SQ", "OB", "OW", "UN", "CS", "US", "SS", "UL", "SL", "FL", "FD", "DS", "IS"):
            continue
        many = element.value if element.VM > 1 else [element.value]
        found += [str(one).strip(" \0") for one in many if one]
    return found


def test_line_of_json_says_what_is_masked(diff: Diff) -> None:
    rows = diff(plain_dataset())
    tried = Tried(path=Path("a\udcff.dcm"), ending=Ending.WRITTEN, output=Path("b.dcm"), rows=rows)
    entry = json.loads(as_line(tried, 3, masked=False, with_changes=True))
    assert (entry["number"], entry["file"], entry["outcome"], entry["output"]) == (3, "a�.dcm", "written", "b.dcm")
    (name,) = [change for change in entry["changes"] if change["path"] == "(0010,0010)"]
    assert name == {
        "what": "changed",
        "path": "(0010,0010)",
        "name": "Patient's Name",
        "vr": "PN",
        "before": {"text": None, "characters": 11},
        "after": {"text": "PSN-1", "characters": 5},
        "element": "",
        "codename": "",
    }
    assert json.loads(as_line(tried, 3, masked=True, with_changes=True))["file"] is None
    assert "changes" not in json.loads(as_line(tried, 3, masked=False, with_changes=False))


@pytest.mark.parametrize(("new", "masked", "shown"), [(True, True, "1.2"), (False, True, None), (False, False, "1.2")])
def test_uids_that_are_still_the_old_ones_are_masked(new: bool, masked: bool, shown: str | None) -> None:
    uids = {"study_instance_uid": "1.2", "series_instance_uid": "1.2", "sop_instance_uid": "1.2"}
    tried = Tried(path=Path("a"), ending=Ending.WRITTEN, has_new_uids=new, **uids)
    entry = json.loads(as_line(tried, 1, masked=masked, with_changes=False))
    assert {entry[key] for key in uids} == {shown}


def test_what_a_terminal_would_obey_is_written_out() -> None:
    hostile = "\x1b]0;owned\x07[bold]x\u202e"
    change = Change(place=(), tag=0x00081030, vr="LO", before=hostile, after=None, element=hostile, codename="c")
    printed = StringIO()
    console = Console(file=printed, width=10_000, force_terminal=True, color_system=None)
    show_rows(console, diff_of(Dataset(), [change], show_values=True))
    assert not {"\x1b", "\x07", "\u202e"} & set(printed.getvalue())
    assert printed.getvalue().count("\\x1b]0;owned\\x07[bold]x\\u202e") == 2


def test_printable_text_of_any_script_stays_as_it_is() -> None:
    assert plain("Müller^山田") == "Müller^山田"


def test_changes_of_many_files_are_counted(diff: Diff) -> None:
    items = [series(f"1.2.{number}") for number in range(3)]
    tally = Tally()
    tally.add(diff(plain_dataset(ReferencedSeriesSequence=items)))
    tally.add(diff(plain_dataset()))
    counted = {line.path: (count.files, count.elements) for line, count in tally.lines()}
    assert counted["(0008,1115)[].(0020,000E)"] == (1, 3)
    assert counted["(0010,0010)"] == (2, 2)
    printed = StringIO()
    show_tally(Console(file=printed, width=10_000), tally)
    assert "(0008,1115)[].(0020,000E)  Series Instance UID" in printed.getvalue()
