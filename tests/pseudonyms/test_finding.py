"""What is stored for a patient, on both databases."""

from __future__ import annotations

import pytest

from karnak_core.database import Database
from karnak_core.database.tables import metadata, pseudonym
from karnak_core.errors import Retryable
from karnak_core.model import StoredPseudonym, now_ms
from karnak_core.pseudonyms.finding import FRESH_SECONDS, REMEMBERED, PseudonymLookup


def store(database: Database, patient_id: str, name: str, *, issuer: str = "", expires_at: int | None = None) -> None:
    """Insert a row as it is."""
    with database.write() as connection:
        connection.execute(
            pseudonym.insert().values(
                project="STUDY-A",
                patient_id=patient_id,
                issuer=issuer,
                pseudonym=name,
                created_at=now_ms(),
                created_by="tests",
                expires_at=expires_at,
            )
        )


def test_everything_of_a_patient_id_is_found_by_issuer(database: Database) -> None:
    store(database, "PID-1", "TWO", issuer="WEST")
    store(database, "PID-1", "ONE", issuer="EAST")
    store(database, "PID-2", "OTHER")
    find = PseudonymLookup(database)
    assert list(find("STUDY-A", "PID-1")) == [
        StoredPseudonym(pseudonym="ONE", patient_id="PID-1", issuer="EAST"),
        StoredPseudonym(pseudonym="TWO", patient_id="PID-1", issuer="WEST"),
    ]
    assert list(find("STUDY-B", "PID-1")) == []


def test_patient_ids_differ_by_case(database: Database) -> None:
    store(database, "pid-1", "ONE")
    assert list(PseudonymLookup(database)("STUDY-A", "PID-1")) == []


def test_expired_ones_are_not_found(database: Database) -> None:
    store(database, "OVER", "ONE", expires_at=now_ms() - 1)
    store(database, "STILL", "TWO", expires_at=now_ms() + 60_000)
    find = PseudonymLookup(database)
    assert [len(find("STUDY-A", patient_id)) for patient_id in ("OVER", "STILL")] == [0, 1]


@pytest.mark.parametrize("patient_id", ["", "A" * 65, "A\0B", "A\ud800", "A\nB"])
def test_a_patient_id_that_cannot_be_stored_has_no_pseudonym(database: Database, patient_id: str) -> None:
    assert list(PseudonymLookup(database)("STUDY-A", patient_id)) == []


def test_an_answer_is_used_again_for_a_moment_only(database: Database) -> None:
    now = [100.0]
    find = PseudonymLookup(database, clock=lambda: now[0])
    assert list(find("STUDY-A", "PID-1")) == []
    store(database, "PID-1", "ONE")
    assert list(find("STUDY-A", "PID-1")) == []
    now[0] += FRESH_SECONDS
    assert [entry.pseudonym for entry in find("STUDY-A", "PID-1")] == ["ONE"]


def test_the_oldest_answers_are_forgotten_first(database: Database) -> None:
    find = PseudonymLookup(database, clock=lambda: 0.0)
    find("STUDY-A", "FIRST")
    for number in range(REMEMBERED):
        find("STUDY-A", f"{number}")
    store(database, "FIRST", "ONE")
    store(database, "0", "ZERO")
    assert len(find("STUDY-A", "FIRST")) == 1
    assert len(find("STUDY-A", f"{REMEMBERED - 1}")) == 0


def test_a_database_that_fails_is_asked_again_later(database: Database) -> None:
    with database.write() as connection:
        metadata.tables["pseudonym"].drop(connection)
    with pytest.raises(Retryable, match=r"^the stored pseudonyms could not be read: \w+$"):
        PseudonymLookup(database)("STUDY-A", "PID-1")
