"""What is remembered between instances, and what is read sooner than pydicom does, is the same as without."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from karnak_core.deidentify import Project, Result, decode_dataset, encode_dataset
from karnak_core.deidentify.encode import make_raw, tag_of
from karnak_core.deidentify.hashing import Hasher
from karnak_core.deidentify.items import dataset_of
from karnak_core.deidentify.profile import basic_profile
from karnak_core.deidentify.visit import texts_of
from karnak_core.expressions.values import text_values
from karnak_core.testing import make_dataset

AT = datetime(2024, 2, 3, 4, 5, 6, 7, UTC)


def encoded(patient_id: str, **elements: Any) -> bytes:
    return encode_dataset(make_dataset(PatientID=patient_id, SOPInstanceUID="1.2.3.4", **elements), implicit=False)


def applied(value: bytes, pseudonym: str, project: Project) -> Dataset:
    result = basic_profile().apply(decode_dataset(value, implicit=False), project, pseudonym, at=AT)
    assert isinstance(result, Result)
    return result.dataset


def test_each_patient_has_their_own_attributes_whoever_came_before() -> None:
    project = Project(name="P", secret=bytes(16))
    patients = [
        (encoded("A"), "one"),
        (encoded("B"), "two"),
        (encoded("B", SpecificCharacterSet="ISO_IR 192"), "zwölf"),
    ]
    found = [[encode_dataset(applied(*patient, project), implicit=False) for patient in patients] for _ in range(2)]
    fresh = [
        encode_dataset(applied(*patient, Project(name="P", secret=bytes(16))), implicit=False) for patient in patients
    ]
    assert found[0] == found[1] == fresh
    assert len(set(fresh)) == 3


def test_changing_what_came_out_changes_nothing_that_comes_later() -> None:
    project = Project(name="P", secret=bytes(16))
    received = encoded("A")
    first = applied(received, "one", project)
    before = encode_dataset(first, implicit=False)
    first.PatientID = "other"
    first.DeidentificationMethodCodeSequence[0].CodeValue = "0"
    del first.ClinicalTrialSubjectID
    assert encode_dataset(applied(received, "one", project), implicit=False) == before


def test_creation_is_that_of_the_instance_in_central_europe() -> None:
    found = applied(encoded("A"), "one", Project(name="P", secret=bytes(16)))
    assert (found.InstanceCreationDate, found.InstanceCreationTime) == ("20240203", "050506.000007")


def test_remembered_uids_are_those_of_their_own_secret() -> None:
    one, other = Hasher(bytes(16)), Hasher(bytes(15) + b"\1")
    assert one.uid("1.2.3") == one.uid("1.2.3") == Hasher(bytes(16)).uid("1.2.3")
    assert one.uid("1" * 65) == one.uid("1" * 65) == Hasher(bytes(16)).uid("1" * 65)
    assert one.uid("1.2.3") != other.uid("1.2.3")
    assert one.uid(" ") is None


@pytest.mark.parametrize(
    "vr", ["AE", "CS", "DA", "DS", "IS", "LO", "LT", "OB", "PN", "SH", "ST", "UC", "UI", "UN", "UR", "UT"]
)
@pytest.mark.parametrize(
    "value", [None, b"", b" ", b"\0", b"a", b" a b \0", b"\\", b" \\a", b"a\\ b \\", b"1.2.3\0", b"\xfc", b"\x1b$Ba"]
)
def test_texts_are_read_alike_in_the_short_way_and_in_the_long_one(vr: str, value: bytes | None) -> None:
    raw = make_raw((tag_of(0x00100020), vr, len(value or b""), value, 0, False, True, True, False))
    assert isinstance(raw, RawDataElement)

    def outcome(read: object) -> object:
        level = dataset_of({raw.tag: raw})
        level.set_original_encoding(False, True, "iso8859")
        try:
            return read(level, 0x00100020)  # type: ignore[operator]
        except Exception as error:
            return str(error)

    assert outcome(texts_of) == outcome(text_values)


def test_data_set_that_is_made_sooner_is_one_like_any_other() -> None:
    source = make_dataset()
    made = dataset_of(dict(source.items()))
    assert type(made) is Dataset
    assert made == source
    made.PatientComments = "no comment"
    assert made["PatientComments"].VR == "LT"
    assert "PatientComments" not in source
    assert vars(dataset_of({})).keys() == vars(Dataset({})).keys()
