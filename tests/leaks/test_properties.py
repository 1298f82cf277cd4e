"""What holds for every data set: a planted identifier is found, and where there is none nothing is."""

from __future__ import annotations

import warnings
from contextlib import suppress
from io import BytesIO
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from karnak_core.errors import Permanent
from karnak_core.leaks import Encoded, Leak, find_leaks
from karnak_core.leaks.elements import read_elements
from karnak_core.leaks.identifiers import identifiers_of, what_of
from karnak_core.leaks.places import Places

NAME = "Quillington^Peregrine=山田^太郎"
UID = "1.2.826.0.1.3680043.7777.1"
TEXTS = ("SH", "LO", "ST", "LT", "UT", "UC", "PN", "AE", "UN", "OB")
#: identifier, its VRs, what it is called
PLANTED: list[tuple[str, tuple[str, ...], str]] = [
    ("quillington", TEXTS, "part of Patient's Name"),
    ("PEREGRINE", TEXTS, "part of Patient's Name"),
    ("山田", ("LO", "LT", "UT", "PN", "OB", "UN"), "part of Patient's Name"),
    ("PID-9021", TEXTS, "Patient ID"),
    ("ACC77-XY", TEXTS, "Accession Number"),
    ("19631122", (*TEXTS, "DA", "DT"), "Patient's Birth Date"),
    (UID, ("UI", "LT", "UT", "UC", "LO", "UN", "OB"), "SOP Instance UID"),
]
PLACES = {vr: 0x00110000 | 0x1000 + number for number, vr in enumerate((*TEXTS, "DA", "DT", "UI"))}
SEQUENCES = (0x00081115, 0x0040A730, 0x52009230, 0x00111050)
AROUND = ("", " ", "(", ": ", "-")


def patient() -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPInstanceUID = UID
    dataset.PatientName = NAME
    dataset.PatientID = "PID-9021"
    dataset.PatientBirthDate = "19631122"
    dataset.AccessionNumber = "ACC77-XY"
    return dataset


def encoded(dataset: Dataset, *, implicit: bool = False, little: bool = True) -> Encoded:
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that are not what their VR says
        pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return Encoded(dataset=file.getvalue(), implicit=implicit, little=little)


RECEIVED = encoded(patient())


def add(dataset: Dataset, tag: int, vr: str, value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.add_new(tag, vr, value)


def neutral_texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", exclude_characters="\\"), max_size=12).filter(
        lambda text: (
            not any("山" <= char <= "郎" or char in "0123456789" for char in text)
            and text.strip().lower() not in ("quillington", "peregrine")
        )
    )


@st.composite
def neutral(draw: st.DrawFn, depth: int = 3) -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x00110010, "LO", "ACME")
    for vr in draw(st.lists(st.sampled_from(("LO", "LT", "UT", "PN")), max_size=3)):
        add(dataset, PLACES[vr] + 0x20, vr, draw(neutral_texts()))
    if draw(st.booleans()):
        add(dataset, 0x00111080, "OB", draw(st.binary(max_size=20).map(lambda value: value + b"\0" * (len(value) % 2))))
    if draw(st.booleans()):
        dataset.StudyDate, dataset.SliceThickness, dataset.InstanceNumber = "19631123", "9021", "1963"
    if depth:
        for tag in draw(st.lists(st.sampled_from(SEQUENCES), max_size=2, unique=True)):
            dataset.add_new(tag, "SQ", draw(st.lists(neutral(depth=depth - 1), max_size=2)))
    return dataset


ENCODINGS = st.sampled_from([(True, True), (False, True), (False, False)])


@settings(max_examples=150)
@given(neutral(), ENCODINGS)
def test_data_set_without_identifiers_is_silent(dataset: Dataset, encoding: tuple[bool, bool]) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    sent = encoded(dataset, implicit=encoding[0], little=encoding[1])
    assert find_leaks(RECEIVED, sent) == ()


@settings(max_examples=300)
@given(neutral(), ENCODINGS, st.data())
def test_identifier_planted_anywhere_is_found(
    dataset: Dataset, encoding: tuple[bool, bool], data: st.DataObject
) -> None:
    value, vrs, what = data.draw(st.sampled_from(PLANTED))
    vr = data.draw(st.sampled_from(vrs))
    if vr not in ("DA", "DT", "UI"):
        value = data.draw(st.sampled_from(AROUND)) + value + data.draw(st.sampled_from(AROUND))
    level, path = dataset, ""
    for tag in data.draw(st.lists(st.sampled_from(SEQUENCES), max_size=4)):
        item = Dataset()
        items = [*(level[tag].value if tag in level else ()), item]
        level.add_new(tag, "SQ", items)
        path += f"({tag >> 16:04X},{tag & 0xFFFF:04X})[{len(items) - 1}]."
        level = item
    level.add_new(0x00110010, "LO", "ACME")
    tag = PLACES[vr]
    raw = value.encode()
    add(level, tag, vr, raw + b"\0" * (len(raw) % 2) if vr in ("UN", "OB") else value)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    sent = encoded(dataset, implicit=encoding[0], little=encoding[1])
    found = find_leaks(RECEIVED, sent)
    assert found == (Leak(path=f"{path}(0011,{tag & 0xFFFF:04X})", what=what),)
    assert value.strip() not in str(found)


PIECES = st.sampled_from(
    [
        *(value for value, _, _ in PLANTED),
        "x",
        " ",
        "\\",
        "^",
        ".",
        "1",
        "é",
        "山",
        "郎",
        "PID",
        "-",
        "1963",
        "1122",
        "\n",
    ]
)
VALUES = st.lists(PIECES, max_size=4).map("".join)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from((*PLACES, "DS", "IS", "CS", "TM")), VALUES), max_size=6), ENCODINGS)
def test_quick_look_misses_nothing_that_the_exact_one_finds(
    values: list[tuple[str, str]], encoding: tuple[bool, bool]
) -> None:
    implicit, little = encoding
    item = b""
    order = "little" if little else "big"
    for number, (vr, text) in enumerate(values):
        raw = text.encode()
        raw += b" " * (len(raw) % 2)
        group, low = (0x11).to_bytes(2, order), (0x1000 + number).to_bytes(2, order)  # type: ignore[arg-type]
        if implicit:
            item += group + low + len(raw).to_bytes(4, "little") + raw
        elif vr in ("UT", "UC", "UN", "OB"):
            item += group + low + vr.encode() + bytes(2) + len(raw).to_bytes(4, order) + raw  # type: ignore[arg-type]
        else:
            item += group + low + vr.encode() + len(raw).to_bytes(2, order) + raw  # type: ignore[arg-type]
    sent = read_elements(item, implicit=implicit, little=little)
    before = read_elements(RECEIVED.dataset, implicit=False, little=True)
    everything = Places(identifiers_of((before,), frozenset()), sent, before).find()
    expected = tuple(dict.fromkeys(Leak(path=path, what=what_of(tag)) for path, tag in everything))
    assert find_leaks(RECEIVED, Encoded(dataset=item, implicit=implicit, little=little)) == expected


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_damaged_data_set_is_read_or_refused(at: int, byte: int, implicit: bool) -> None:
    dataset = patient()
    dataset.ReferencedImageSequence = [patient(), patient()]
    whole = encoded(dataset, implicit=implicit).dataset
    at %= len(whole)
    for value in (whole[:at], whole[:at] + bytes([byte]) + whole[at + 1 :]):
        damaged = Encoded(dataset=value, implicit=implicit, little=True)
        for pair in ((RECEIVED, damaged), (damaged, RECEIVED)):
            with suppress(Permanent):  # nothing else
                find_leaks(*pair)


# ---- what is made to take long ---------------------------------------------------------------------------------------


def test_names_inside_other_words_without_end_are_taken_to_be_there() -> None:
    before = Dataset()
    before.PatientName = "^".join("a" * count for count in range(3, 9))
    sent = Dataset()
    sent.add_new(0x0040A160, "UT", "a" * 1_000_000)
    assert [leak.path for leak in find_leaks(encoded(before), encoded(sent))] == ["(0040,A160)"]


def test_combining_characters_without_end_are_read() -> None:
    sent = Dataset()
    sent.SpecificCharacterSet = "ISO_IR 192"
    sent.add_new(0x0040A160, "UT", "Peregrine" + "a" + "\u0301\u0327" * 500_000)
    assert find_leaks(RECEIVED, encoded(sent)) == ()
    sent.add_new(0x0040A160, "UT", "a" + "\u0301\u0327" * 500_000 + " Peregrine")
    assert [leak.path for leak in find_leaks(RECEIVED, encoded(sent))] == ["(0040,A160)"]


@pytest.mark.parametrize(
    "text", ["." * 1_000_000, "1." * 500_000, "1.2.3 " * 100_000, "^" * 1_000_000, "-" * 1_000_000]
)
def test_long_runs_of_anything_are_read(text: str) -> None:
    long = Dataset()
    long.add_new(0x00100010, "UT", text)
    long.add_new(0x0040A160, "UT", text)
    assert find_leaks(RECEIVED, encoded(long)) == ()
    find_leaks(encoded(long), encoded(long))


def test_more_names_than_anyone_has_are_refused() -> None:
    before = Dataset()
    before.OtherPatientNames = [f"Name{number}" for number in range(501)]
    with pytest.raises(Permanent) as error:
        find_leaks(encoded(before), RECEIVED)
    assert error.value.reason == "leak check: the received data set has more than 500 names and IDs"
