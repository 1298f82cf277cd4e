"""Pseudonyms in the database: added, imported, edited, deleted, listed and found, on both kinds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.tables import patient_key, pseudonym
from karnak_core.errors import NotFound
from karnak_core.model import now_ms
from karnak_core.pseudonyms import store
from karnak_core.pseudonyms.entries import Entry, PseudonymError
from karnak_core.pseudonyms.store import Choice, Row

A, B = "STUDY-A", "STUDY-B"
ADA = Entry(pseudonym="PSN-1", patient_id="PID-1", issuer="EAST", first_name="Ada", last_name="Nobody")


def add(database: Database, *entries: Entry, project: str = A) -> None:
    """Store these."""
    with database.write() as connection:
        for entry in entries:
            store.add(connection, project, entry, "tests")


def listed(database: Database, project: str | None = None, search: str = "") -> list[Row]:
    """Return what is stored."""
    with database.read() as connection:
        return list(store.page(connection, project=project, search=search))


def names(rows: list[Row]) -> list[str]:
    """Return the pseudonyms."""
    return [row.pseudonym for row in rows]


def refused(database: Database, change: Callable[[sa.Connection], object]) -> list[str]:
    """Return why a change is refused."""
    with pytest.raises(PseudonymError) as caught, database.write() as connection:
        change(connection)
    return list(caught.value.problems)


def test_what_is_added_is_listed_trimmed(database: Database) -> None:
    before = now_ms()
    add(database, Entry(pseudonym=" PSN-1 ", patient_id="PID-1 ", issuer=" EAST", last_name="Nobody "))
    (row,) = listed(database)
    assert (row.pseudonym, row.patient_id, row.issuer, row.last_name) == ("PSN-1", "PID-1", "EAST", "Nobody")
    assert (row.project, row.created_by, row.expires_at) == (A, "tests", None)
    assert before <= row.created_at <= now_ms()


def test_adding_says_what_deliveries_may_have_waited_for(database: Database) -> None:
    with database.write() as connection:
        assert store.add(connection, A, ADA, "tests") == {patient_key(A, "PID-1")}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pseudonym": " "}, "the pseudonym is missing"),
        ({"patient_id": ""}, "the Patient ID is missing"),
        ({"pseudonym": "P" * 65}, "the pseudonym has 65 characters; at most 64 are allowed"),
        ({"patient_id": "P\\Q"}, "the Patient ID has a backslash or a control character"),
        ({"issuer": "E\0"}, "the issuer has a backslash or a control character"),
        ({"first_name": "A\nB"}, "the first name has a backslash or a control character"),
        ({"last_name": "N" * 65}, "the last name has 65 characters; at most 64 are allowed"),
    ],
)
def test_what_is_no_value_of_vr_lo_is_refused(database: Database, change: dict[str, str], problem: str) -> None:
    wrong = replace(ADA, **change)
    assert refused(database, lambda connection: store.add(connection, A, wrong, "tests")) == [problem]
    assert listed(database) == []


def test_a_patient_has_one_pseudonym_in_a_project(database: Database) -> None:
    add(database, ADA)
    again = replace(ADA, pseudonym="PSN-2")
    assert refused(database, lambda connection: store.add(connection, A, again, "tests")) == [
        "this Patient ID with this issuer has a pseudonym already: stored"
    ]


def test_two_patients_of_a_project_never_share_a_pseudonym(database: Database) -> None:
    add(database, ADA)
    for other in (replace(ADA, patient_id="PID-2"), replace(ADA, issuer="WEST")):
        assert refused(database, lambda connection, other=other: store.add(connection, A, other, "tests")) == [  # type: ignore[misc]
            "another patient has this pseudonym already: stored"
        ]


def test_projects_know_nothing_of_one_another(database: Database) -> None:
    add(database, ADA)
    add(database, replace(ADA, patient_id="PID-2"), project=B)
    assert [(row.project, row.patient_id) for row in listed(database)] == [(A, "PID-1"), (B, "PID-2")]
    assert names(listed(database, B)) == ["PSN-1"]


def test_what_differs_by_case_or_by_where_its_parts_meet_is_different(database: Database) -> None:
    add(database, replace(ADA, patient_id="12", issuer="3", pseudonym="a"))
    add(database, replace(ADA, patient_id="1", issuer="23", pseudonym="A"))
    assert len(listed(database)) == 2
    assert patient_key("P1", "2") != patient_key("P", "12")


def test_what_has_expired_is_neither_listed_nor_found_nor_in_the_way(database: Database) -> None:
    add(database, replace(ADA, expires_at=now_ms() - 1))
    assert listed(database) == []
    with database.read() as connection:
        assert store.find(connection, "PSN-1") == []
        assert store.count(connection) == 0
    add(database, replace(ADA, pseudonym="PSN-2"), replace(ADA, patient_id="PID-2"))
    assert names(listed(database)) == ["PSN-2", "PSN-1"]


def test_what_has_expired_can_be_forgotten(database: Database) -> None:
    add(database, replace(ADA, expires_at=now_ms() + 60_000))
    add(database, replace(ADA, patient_id="PID-2", pseudonym="PSN-2", expires_at=now_ms() - 1))
    with database.write() as connection:
        assert store.forget_expired(connection) == 1
        assert connection.execute(sa.select(pseudonym.c.pseudonym)).scalars().all() == ["PSN-1"]


def test_rows_are_imported_all_together(database: Database) -> None:
    rows = [(number, Entry(pseudonym=f"PSN-{number}", patient_id=f"PID-{number}")) for number in range(1, 1202)]
    with database.write() as connection:
        count, keys = store.import_rows(connection, A, rows, "tests")
    assert (count, len(keys), len(listed(database))) == (1201, 1201, 1201)


def test_rows_are_imported_not_at_all_where_any_is_wrong(database: Database) -> None:
    add(database, ADA)
    rows = [
        (2, Entry(pseudonym="NEW", patient_id="NEW")),
        (3, Entry(pseudonym="", patient_id="")),
        (4, Entry(pseudonym="OTHER", patient_id="PID-1", issuer="EAST")),
        (5, Entry(pseudonym="PSN-1", patient_id="PID-5")),
        (6, Entry(pseudonym="NEWER", patient_id="NEW")),
        (8, Entry(pseudonym="NEW", patient_id="NEWEST")),
    ]
    assert refused(database, lambda connection: store.import_rows(connection, A, rows, "tests")) == [
        "row 3: the pseudonym is missing",
        "row 3: the Patient ID is missing",
        "row 4: this Patient ID with this issuer has a pseudonym already: stored",
        "row 5: another patient has this pseudonym already: stored",
        "row 6: this Patient ID with this issuer has a pseudonym already: row 2",
        "row 8: another patient has this pseudonym already: row 2",
    ]
    assert names(listed(database)) == ["PSN-1"]


def test_rows_that_are_stored_already_can_be_left_out(database: Database) -> None:
    add(database, ADA)
    rows = [(1, ADA), (2, replace(ADA, patient_id="PID-2", pseudonym="PSN-2"))]
    with database.write() as connection:
        assert store.import_rows(connection, A, rows, "tests", skip_stored=True) == (1, {patient_key(A, "PID-2")})
    rows = [(1, replace(ADA, pseudonym="PSN-3"))]
    assert refused(database, lambda connection: store.import_rows(connection, A, rows, "tests", skip_stored=True)) == [
        "row 1: this Patient ID with this issuer has a pseudonym already: stored"
    ]


def test_an_edit_replaces_what_was_stored_and_wakes_both_patients(database: Database) -> None:
    add(database, ADA)
    (row,) = listed(database)
    with database.write() as connection:
        changed = replace(ADA, patient_id="PID-2", expires_at=now_ms() + 60_000)
        assert store.edit(connection, row.number, changed) == {patient_key(A, "PID-1"), patient_key(A, "PID-2")}
    (found,) = listed(database)
    assert (found.number, found.patient_id, found.pseudonym) == (row.number, "PID-2", "PSN-1")
    assert found.expires_at == changed.expires_at


def test_an_edit_that_another_entry_is_in_the_way_of_changes_nothing(database: Database) -> None:
    add(database, ADA, replace(ADA, patient_id="PID-2", pseudonym="PSN-2"))
    number = listed(database)[1].number
    assert refused(database, lambda connection: store.edit(connection, number, ADA)) == [
        "this Patient ID with this issuer has a pseudonym already: stored"
    ]
    assert names(listed(database)) == ["PSN-1", "PSN-2"]


def test_what_is_not_there_cannot_be_edited(database: Database) -> None:
    with pytest.raises(NotFound, match="there is no pseudonym 7"), database.write() as connection:
        store.edit(connection, 7, ADA)


def test_chosen_ones_of_a_project_are_deleted(database: Database) -> None:
    add(database, ADA, replace(ADA, issuer="WEST", pseudonym="PSN-2"), Entry(pseudonym="PSN-3", patient_id="PID-3"))
    add(database, ADA, project=B)
    with database.write() as connection:
        chosen = Choice(patient_ids=["PID-1", "P\0"], pseudonyms=["PSN-2", "PSN-3"])
        assert store.delete(connection, A, chosen) == (1, {patient_key(A, "PID-1")})
        assert store.delete(connection, A, Choice()) == (0, frozenset())
        assert store.delete(connection, A, Choice(pseudonyms=["NOBODY"], patient_ids=["PID-3"])) == (0, frozenset())
    assert names(listed(database, A)) == ["PSN-1", "PSN-3"]
    with database.write() as connection:
        assert store.delete(connection, B, Choice(numbers=[row.number for row in listed(database, A)]))[0] == 0
        assert store.delete_all(connection, A)[0] == 2
    assert [row.project for row in listed(database)] == [B]


def test_who_is_behind_a_pseudonym_is_found_exactly(database: Database) -> None:
    add(database, ADA)
    add(database, replace(ADA, patient_id="PID-9"), project=B)
    with database.read() as connection:
        assert [row.patient_id for row in store.find(connection, "PSN-1")] == ["PID-1", "PID-9"]
        assert [row.patient_id for row in store.find(connection, "PSN-1", B)] == ["PID-9"]
        assert [store.find(connection, name) for name in ("psn-1", "PSN", "PSN-1\0", "%")] == [[], [], [], []]


def test_a_search_looks_into_every_text_whatever_its_case(database: Database) -> None:
    add(database, ADA, Entry(pseudonym="100%", patient_id="PID_2"))
    for text in ("psn", "pid-1", "east", "ada", "BODY"):
        assert names(listed(database, search=text)) == ["PSN-1"]
    assert names(listed(database, search="0%")) == ["100%"]
    assert names(listed(database, search="_")) == ["100%"]
    assert listed(database, search="\0") == []


def test_pages_follow_one_another(database: Database) -> None:
    add(database, *(Entry(pseudonym=f"P{number}", patient_id=f"{number}") for number in range(5)))
    with database.read() as connection:
        pages = [names(list(store.page(connection, limit=2, offset=offset))) for offset in (0, 2, 4)]
        assert pages == [["P0", "P1"], ["P2", "P3"], ["P4"]]
        assert store.count(connection, project=A, search="P1") == 1


def test_of_two_who_store_at_once_the_second_sees_the_first(database: Database) -> None:
    added, problems = threading.Event(), []

    def second() -> None:
        added.wait(60)
        problems.extend(
            refused(database, lambda connection: store.add(connection, A, replace(ADA, patient_id="PID-2"), "tests"))
        )

    thread = threading.Thread(target=second)
    thread.start()
    with database.write() as connection:
        store.add(connection, A, ADA, "tests")
        added.set()
        thread.join(0.3)  # enough for one that would not wait for the end of this transaction
    thread.join(60)
    assert problems == ["another patient has this pseudonym already: stored"]
