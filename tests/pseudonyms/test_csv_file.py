"""CSV files of pseudonyms: whatever a spreadsheet writes, and every problem by row."""

from __future__ import annotations

from typing import Any

import pytest

from karnak_core.pseudonyms import csv_file
from karnak_core.pseudonyms.csv_file import Layout
from karnak_core.pseudonyms.entries import Entry, PseudonymError


def rows(text: str | bytes, **layout: Any) -> list[tuple[int, Entry]]:
    """Return what is read."""
    content = text.encode() if isinstance(text, str) else text
    return list(csv_file.read(content, Layout(**layout)).rows)


def problems(text: str | bytes, **layout: Any) -> list[str]:
    """Return what is wrong."""
    with pytest.raises(PseudonymError) as caught:
        rows(text, **layout)
    return list(caught.value.problems)


FULL = Entry(pseudonym="PSN-1", patient_id="PID-1", issuer="EAST", first_name="Ada", last_name="Nobody")


@pytest.mark.parametrize(
    "header",
    [
        "pseudonym,patient_id,issuer,first_name,last_name",
        "Pseudonym,Patient ID,Issuer of Patient ID,First name,Last name",
        "EXTERNAL PSEUDONYM,PatientID,IssuerOfPatientID,Given-Name,Surname",
    ],
)
def test_columns_are_found_by_the_names_in_the_first_line(header: str) -> None:
    assert rows(f"{header}\nPSN-1,PID-1,EAST,Ada,Nobody\n") == [(2, FULL)]


def test_named_columns_stand_in_any_order_among_others() -> None:
    text = "\nPatient ID;Sex;Pseudonym\nPID-1;F;PSN-1\n"
    assert rows(text, separator=";") == [(3, Entry(pseudonym="PSN-1", patient_id="PID-1"))]


def test_without_names_columns_are_taken_by_position() -> None:
    assert rows("PSN-1,PID-1\nPSN-2,PID-2\n") == [
        (1, Entry(pseudonym="PSN-1", patient_id="PID-1")),
        (2, Entry(pseudonym="PSN-2", patient_id="PID-2")),
    ]
    assert rows("PSN-1,PID-1,Ada,Nobody,EAST,more\n") == [(1, FULL)]


def test_data_begin_where_somebody_says() -> None:
    text = "list of 2026\npatient_id,pseudonym\nPID-1,PSN-1\n"
    assert rows(text, from_line=3) == [(3, Entry(pseudonym="PSN-1", patient_id="PID-1"))]
    assert problems(text, from_line=9) == ["there is no row from line 9 on"]
    assert rows("pseudonym,patient_id\n", from_line=1) == [(1, Entry(pseudonym="pseudonym", patient_id="patient_id"))]


def test_columns_are_what_somebody_says() -> None:
    assert rows("PID-1,x,PSN-1\n", columns={"pseudonym": "3", "patient_id": "1"}) == [
        (1, Entry(pseudonym="PSN-1", patient_id="PID-1"))
    ]
    text = "Number,Code,Clinic\nPID-1,PSN-1,EAST\n"
    assert rows(text, columns={"pseudonym": "Code", "patient_id": "Number", "issuer": "3"}) == [
        (2, Entry(pseudonym="PSN-1", patient_id="PID-1", issuer="EAST"))
    ]
    # a name that somebody uses otherwise
    text = "pseudonym,patient id,issuer\nPSN-1,PID-1,EAST\n"
    assert rows(text, columns={"last_name": "issuer"})[0][1] == Entry(
        pseudonym="PSN-1", patient_id="PID-1", last_name="EAST"
    )


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"pseudonym": "Code"},
            "no column 'Code' for the pseudonym; write its number, or its name in the line before the data",
        ),
        (
            {"pseudonym": "0"},
            "no column '0' for the pseudonym; write its number, or its name in the line before the data",
        ),
        ({"pseudonym": "1"}, "it is not known which column is the Patient ID"),
        ({"pseudonym": "1", "patient_id": "1"}, "one column is to be two things"),
    ],
)
def test_columns_that_cannot_be_found_are_told(columns: dict[str, str], problem: str) -> None:
    assert problem in problems("A,B\nC,D\n", columns=columns)


def test_a_line_of_names_needs_both_that_matter_once() -> None:
    assert problems("pseudonym,name\nPSN-1,Ada\n") == ["it is not known which column is the Patient ID"]
    assert problems("pseudonym,External Pseudonym,patient id\nA,B,C\n") == [
        "row 1: columns 1 and 2 are both named as the pseudonym"
    ]


def test_quotes_blanks_and_blank_lines_are_read_as_spreadsheets_write_them() -> None:
    text = '\ufeff"PSN,1", PID-1 \r\n\r\n,\r\n"PSN ""2""",PID-2\r\n'
    assert rows(text) == [
        (1, Entry(pseudonym="PSN,1", patient_id="PID-1")),
        (4, Entry(pseudonym='PSN "2"', patient_id="PID-2")),
    ]


def test_other_encodings_are_read_where_somebody_says() -> None:
    expected = [(1, Entry(pseudonym="PSN-1", patient_id="MÜ-1"))]
    assert rows("PSN-1,MÜ-1\n".encode("cp1252"), encoding="cp1252") == expected
    assert rows("PSN-1,MÜ-1\n".encode("utf-16"), encoding="utf-16") == expected
    assert problems("A,B\nPSN-1,MÜ-1\n".encode("cp1252")) == ["row 2: is not UTF-8 text; say which encoding it is in"]
    assert problems("A,B", encoding="klingon") == ["'klingon' is no known encoding"]


def test_every_row_that_does_not_fit_is_told_and_no_value() -> None:
    text = "pseudonym,patient_id,issuer\nPSN-1,PID-1,E\nPSN-2\nPSN-3,Doe,Jane,E\n,PID-4,E\n"
    assert problems(text) == [
        "row 3: has 1 columns; the Patient ID is column 2, the issuer is column 3",
        "row 4: has 4 columns, and the first one 3",
        "row 5: the pseudonym is missing",
    ]


def test_row_that_is_too_short_hides_no_row_that_stands_twice() -> None:
    assert problems("pseudonym,patient_id\nP1,1\nP1,4\nP5,1\nP8\n") == [
        "row 3: another patient has this pseudonym already: row 2",
        "row 4: this Patient ID with this issuer has a pseudonym already: row 2",
        "row 5: has 1 columns; the Patient ID is column 2",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("\n \n,,\n", "the file is empty"),
        ("pseudonym,patient_id\n", "there is no row from line 2 on"),
        ('A,B\n"C"D,E\n', "row 2: is no CSV: ',' expected after '\"'"),
        ('A,B\nC,"D\n', "row 2: a quotation mark is not closed"),
    ],
)
def test_what_is_no_csv_is_told(text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize("separator", ["", ",,", '"', "\n"])
def test_a_separator_is_one_character(separator: str) -> None:
    assert problems("A,B\n", separator=separator) == [
        "the separator is not one character, other than a quotation mark and a line end"
    ]


def test_the_expiry_is_that_of_every_row() -> None:
    assert rows("A,B\n", expires_at=7)[0][1].expires_at == 7


def test_quotation_mark_that_is_not_closed_hides_no_other_problem() -> None:
    with pytest.raises(PseudonymError) as error:
        csv_file.read(b'pseudonym,patient_id\n,1\nP2,2,3\nP3,"3\n', Layout())
    first, *others = error.value.problems
    assert first.startswith("row 2: ")
    assert others == ["row 3: has 3 columns, and the first one 2", "row 4: a quotation mark is not closed"]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"pseudonym;patient_id\nP1;1\n", "try --separator ';'"),
        (b"P1;1\nP2;2\n", "try --separator ';'"),
        (b"P1\t1\nP2\t2\n", "try --separator '\\t'"),
    ],
)
def test_file_with_another_separator_is_told_of_it(content: bytes, hint: str) -> None:
    with pytest.raises(PseudonymError) as error:
        csv_file.read(content, Layout())
    assert any(problem.endswith(hint) for problem in error.value.problems)


def test_file_of_one_column_is_told_no_separator() -> None:
    with pytest.raises(PseudonymError) as error:
        csv_file.read(b"pseudonym\nP1\n", Layout())
    assert not any("separator" in problem for problem in error.value.problems)
