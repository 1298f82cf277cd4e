"""Pseudonyms in a data element."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pydicom import Dataset

from karnak_core.errors import NoPseudonym, Permanent
from karnak_core.model import OpenContext
from karnak_core.pseudonyms import TAG
from karnak_core.pseudonyms.tag import TagSource


def pseudonym(ds: Dataset, tmp_path: Any, **options: Any) -> str:
    """Return what a source with these options finds."""
    source = TAG.open(TagSource.model_validate({"tag": "(0012,0040)", **options}), OpenContext(data_directory=tmp_path))
    return source.pseudonym(ds, "STUDY-A")


def subject(value: Any, keyword: str = "ClinicalTrialSubjectID") -> Dataset:
    """Return a data set with this value in the element."""
    ds = Dataset()
    setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("tag", ["(0012,0040)", "0012,0040", "00120040", " 0012 , 0040 "])
def test_a_tag_is_written_as_people_write_it(tmp_path: Any, tag: str) -> None:
    assert pseudonym(subject("SITE01-PSN12345"), tmp_path, tag=tag) == "SITE01-PSN12345"
    assert TagSource(tag=tag).tag == "(0012,0040)"
    assert TagSource(tag="(0011,10ab)").number == 0x001110AB


@pytest.mark.parametrize(
    ("value", "delimiter", "position", "found"),
    [
        ("SITE01-PSN12345", "-", 1, "PSN12345"),
        ("A-B", "-", 0, "A"),
        ("AB", "-", 0, "AB"),
        ("A.B.C", ".", 2, "C"),
        ("A||B", "||", 1, "B"),
        ("A - B ", "-", 1, "B"),
        ("A-B", "", 0, "A-B"),
    ],
)
def test_a_part_is_what_literal_delimiters_leave(
    tmp_path: Any, value: str, delimiter: str, position: int, found: str
) -> None:
    assert pseudonym(subject(value), tmp_path, delimiter=delimiter, position=position) == found


@pytest.mark.parametrize(("value", "position"), [("A-B", 5), ("A-B-", 2), ("A--B", 1), ("-A", 0), ("", 0), (" ", 0)])
def test_a_part_that_is_empty_or_missing_is_no_pseudonym(tmp_path: Any, value: str, position: int) -> None:
    with pytest.raises(NoPseudonym) as caught:
        pseudonym(subject(value), tmp_path, delimiter="-", position=position)
    assert caught.value.reason == "no pseudonym in (0012,0040) of the data set"
    assert caught.value.waits_for == ""


def test_a_data_set_without_the_element_has_no_pseudonym(tmp_path: Any) -> None:
    with pytest.raises(NoPseudonym):
        pseudonym(Dataset(), tmp_path)


def test_of_several_values_the_first_counts(tmp_path: Any) -> None:
    assert pseudonym(subject(["P1", "P2"], "OtherPatientNames"), tmp_path, tag="(0010,1001)") == "P1"


def test_a_sequence_has_no_pseudonym(tmp_path: Any) -> None:
    with pytest.raises(Permanent):
        pseudonym(subject([Dataset()], "OtherPatientIDsSequence"), tmp_path, tag="(0010,1002)")


@pytest.mark.parametrize(
    ("options", "place", "problem"),
    [
        ({"tag": ""}, "tag", "'' is not a tag of 8 hex digits"),
        ({"tag": "PatientID"}, "tag", "'PatientID' is not a tag of 8 hex digits"),
        ({"tag": "(0012,004)"}, "tag", "is not a tag of 8 hex digits"),
        ({"position": 1}, "position", "1 needs a delimiter"),
        ({"delimiter": "-"}, "position", "position is needed where there is a delimiter"),
        ({"delimiter": "-", "position": -1}, "position", "greater than or equal to 0"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_read(options: dict[str, Any], place: str, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TagSource.model_validate({"tag": "(0012,0040)", **options})
    (error,) = caught.value.errors()
    assert error["loc"] == (place,)
    assert problem in error["msg"]
