"""Which of the stored pseudonyms is a patient's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydicom import Dataset

from karnak_core.database.tables import patient_key
from karnak_core.errors import NoPseudonym, Permanent
from karnak_core.model import OpenContext, StoredPseudonym
from karnak_core.pseudonyms import STORED
from karnak_core.pseudonyms.stored import Stored

ANY = StoredPseudonym(pseudonym="ANY", patient_id="PID-1")
EAST = StoredPseudonym(pseudonym="P-EAST", patient_id="PID-1", issuer="EAST")
WEST = StoredPseudonym(pseudonym="P-WEST", patient_id="PID-1", issuer="WEST")


def patient(patient_id: str | None = "PID-1", issuer: str | None = None) -> Dataset:
    """Return what is known of a patient."""
    ds = Dataset()
    if patient_id is not None:
        ds.PatientID = patient_id
    if issuer is not None:
        ds.IssuerOfPatientID = issuer
    return ds


def found(
    tmp_path: Any, stored: Sequence[StoredPseudonym], ds: Dataset, *, default_issuer: str = "", skip: bool = True
) -> str:
    """Return the pseudonym of a patient where these are stored in project STUDY-A."""

    def lookup(project: str, patient_id: str) -> Sequence[StoredPseudonym]:
        return [entry for entry in stored if project == "STUDY-A" and entry.patient_id == patient_id]

    context = OpenContext(
        data_directory=tmp_path, stored_pseudonyms=lookup, default_issuer_of_patient_id=default_issuer
    )
    return STORED.open(Stored(skip_issuer_of_patient_id=skip), context).pseudonym(ds, "STUDY-A")


@pytest.mark.parametrize(
    ("stored", "issuer", "pseudonym"),
    [
        ([ANY], None, "ANY"),
        ([ANY], "EAST", "ANY"),
        ([EAST], None, "P-EAST"),
        ([EAST], "WEST", "P-EAST"),
        ([ANY, EAST], None, "ANY"),
        ([ANY, EAST], "EAST", "P-EAST"),
        ([EAST, WEST], "WEST", "P-WEST"),
    ],
)
def test_issuers_only_tell_apart_where_they_are_not_asked_for(
    tmp_path: Any, stored: Sequence[StoredPseudonym], issuer: str | None, pseudonym: str
) -> None:
    assert found(tmp_path, stored, patient(issuer=issuer)) == pseudonym


def test_several_pseudonyms_of_different_issuers_are_none(tmp_path: Any) -> None:
    with pytest.raises(NoPseudonym) as caught:
        found(tmp_path, [EAST, WEST], patient())
    assert caught.value.reason == (
        "several pseudonyms are stored in project 'STUDY-A' for this Patient ID, of different issuers;"
        " set default_issuer_of_patient_id, or delete some"
    )
    assert caught.value.waits_for == patient_key("STUDY-A", "PID-1")


@pytest.mark.parametrize(
    ("issuer", "pseudonym"), [(None, "P-EAST"), ("", "P-EAST"), ("EAST", "P-EAST"), ("WEST", "P-WEST")]
)
def test_a_default_issuer_is_for_data_sets_without_one(tmp_path: Any, issuer: str | None, pseudonym: str) -> None:
    assert found(tmp_path, [EAST, WEST], patient(issuer=issuer), default_issuer="EAST") == pseudonym


def test_with_a_default_issuer_another_issuer_is_another_patient(tmp_path: Any) -> None:
    with pytest.raises(NoPseudonym):
        found(tmp_path, [EAST], patient(issuer="WEST"), default_issuer="EAST")
    with pytest.raises(NoPseudonym):
        found(tmp_path, [EAST], patient(), default_issuer="WEST")
    assert found(tmp_path, [ANY, EAST], patient(issuer="WEST"), default_issuer="EAST") == "ANY"


@pytest.mark.parametrize("issuer", [None, "EAST"])
def test_where_issuers_count_without_a_default_only_entries_without_one_are_found(
    tmp_path: Any, issuer: str | None
) -> None:
    with pytest.raises(NoPseudonym):
        found(tmp_path, [EAST], patient(issuer=issuer), skip=False)
    assert found(tmp_path, [ANY, EAST], patient(issuer=issuer), skip=False) == "ANY"


def test_blanks_at_the_ends_do_not_count(tmp_path: Any) -> None:
    assert found(tmp_path, [EAST, WEST], patient(" PID-1 ", " WEST ")) == "P-WEST"


def test_a_patient_without_a_pseudonym_is_waited_for(tmp_path: Any) -> None:
    with pytest.raises(NoPseudonym) as caught:
        found(tmp_path, [EAST], patient("PID-2"))
    assert caught.value.reason == "no pseudonym is stored in project 'STUDY-A' for this patient"
    assert caught.value.waits_for == patient_key("STUDY-A", "PID-2")


@pytest.mark.parametrize("patient_id", [None, "", " "])
def test_a_data_set_without_a_patient_id_has_nothing_to_wait_for(tmp_path: Any, patient_id: str | None) -> None:
    with pytest.raises(Permanent) as caught:
        found(tmp_path, [ANY], patient(patient_id))
    assert not isinstance(caught.value, NoPseudonym)
    assert caught.value.reason == "the data set has no Patient ID (0010,0020)"
