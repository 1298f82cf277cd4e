"""External pseudonyms, for programs."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_support import audited, configure, deliver, states
from web_support import ConsoleApp

from karnak_core.database.tables import patient_key
from karnak_core.model import State

PATH = "/api/v1/projects/STUDY/pseudonyms"
ANY = {"If-Match": "*"}


@pytest.fixture
def program(console_app: ConsoleApp) -> Any:
    """A program with the scope, and the projects STUDY and OTHER."""
    configure(console_app.console, "pacs", projects=("STUDY", "OTHER"))
    return console_app.with_token("pseudonyms")


def add(program: Any, patient_id: str, pseudonym: str, path: str = PATH) -> Any:
    return program.post(path, json={"patient_id": patient_id, "pseudonym": pseudonym})


def test_pseudonyms_are_added_listed_searched_and_come_in_pages(program: Any, console_app: ConsoleApp) -> None:
    deliver(console_app.console, state=State.FAILED, waits_for=patient_key("STUDY", "PID-0"))
    answers = [add(program, f"PID-{number}", f"PSN-{number}") for number in range(5)]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert answers[0].json() == {"count": 1, "woken": 1, "would": False}
    assert states(console_app.console) == ["pending"]
    found, cursor = [], None
    while True:
        page = program.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [one["pseudonym"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [f"PSN-{number}" for number in range(5)]
    assert [one["patient_id"] for one in program.get(PATH, params={"search": "psn-3"}).json()["items"]] == ["PID-3"]
    looks = [detail for action, what, detail in audited(console_app.console) if action == "look at"]
    assert looks == ["", "", "", "with a search"]


def test_what_is_wrong_is_told_by_its_place(program: Any) -> None:
    answer = program.post(PATH, json={"patient_id": "x" * 65, "pseudonym": ""})
    assert answer.status_code == 422
    assert {one["place"] for one in answer.json()["errors"]} == {"patient_id", "pseudonym"}
    over = {"patient_id": "PID-1", "pseudonym": "PSN-1", "expires_at": "2020-01-01T00:00:00Z"}
    assert program.post(PATH, json=over).json()["errors"] == [{"place": "expires_at", "message": "this time is over"}]
    add(program, "PID-1", "PSN-1")
    assert "another patient has this pseudonym" in add(program, "PID-2", "PSN-1").json()["detail"]
    assert add(program, "PID-1", "PSN-1", "/api/v1/projects/NONE/pseudonyms").status_code == 404


def test_a_change_is_refused_when_somebody_was_first(program: Any) -> None:
    add(program, "PID-1", "PSN-1")
    number = program.get(PATH).json()["items"][0]["number"]
    shown = program.get(f"{PATH}/{number}")
    tag = shown.headers["ETag"]
    new = {"patient_id": "PID-1", "pseudonym": "PSN-2", "expires_at": "2199-01-01T00:00:00Z"}
    assert program.put(f"{PATH}/{number}", json=new, headers={"If-Match": tag}).json()["count"] == 1
    assert program.put(f"{PATH}/{number}", json=new, headers={"If-Match": tag}).status_code == 412
    assert program.delete(f"{PATH}/{number}", headers={"If-Match": tag}).status_code == 412
    assert program.get(f"{PATH}/{number}").json()["expires_at"] == "2199-01-01T00:00:00.000Z"
    other = f"/api/v1/projects/OTHER/pseudonyms/{number}"
    for answer in (program.get(other), program.put(other, json=new, headers=ANY), program.delete(other, headers=ANY)):
        assert answer.status_code == 404
    for answer in (program.put(f"{PATH}/{number}", json=new), program.delete(f"{PATH}/{number}")):
        assert answer.status_code == 428
    assert program.delete(f"{PATH}/{number}", headers=ANY).json()["count"] == 1
    assert program.get(f"{PATH}/{number}").status_code == 404


def test_some_or_all_are_deleted(program: Any) -> None:
    for number in range(4):
        add(program, f"PID-{number}", f"PSN-{number}")
    numbers = [one["number"] for one in program.get(PATH).json()["items"]]
    assert program.post(f"{PATH}/delete", json={"numbers": numbers[:1]}).json()["count"] == 1
    for wrong in ({}, {"all_of_project": "OTHER"}, {"all_of_project": "STUDY", "numbers": numbers}):
        assert program.post(f"{PATH}/delete", json=wrong).status_code == 422
    assert program.post(f"{PATH}/delete", json={"all_of_project": "STUDY"}).json()["count"] == 3


def test_none_of_the_chosen_are_deleted_where_one_has_changed(program: Any) -> None:
    for number in range(3):
        add(program, f"PID-{number}", f"PSN-{number}")
    seen = program.get(PATH).json()["items"]
    chosen = {"numbers": [one["number"] for one in seen], "etags": [one["etag"] for one in seen]}
    at = f"{PATH}/{seen[1]['number']}"
    assert program.get(at).headers["ETag"] == f'"{seen[1]["etag"]}"'
    program.put(at, json={"patient_id": "PID-1", "pseudonym": "NEW"}, headers={"If-Match": seen[1]["etag"]})
    assert program.post(f"{PATH}/delete", json=chosen).status_code == 409
    assert len(program.get(PATH).json()["items"]) == 3
    assert program.post(f"{PATH}/delete", json={**chosen, "etags": chosen["etags"][:1]}).status_code == 422
    chosen["etags"] = [one["etag"] for one in program.get(PATH).json()["items"]]
    # one that somebody else has deleted is gone as it was to be
    program.delete(f"{PATH}/{seen[0]['number']}", headers=ANY)
    assert program.post(f"{PATH}/delete", json=chosen).json()["count"] == 2


def test_stale_number_deletes_nobody_else(program: Any) -> None:
    add(program, "PID-1", "WRONG")
    (before,) = program.get(PATH).json()["items"]
    program.delete(f"{PATH}/{before['number']}", headers=ANY)
    add(program, "PID-2", "GOOD")
    assert program.post(f"{PATH}/delete", json={"numbers": [before["number"]]}).json()["count"] == 0
    assert program.delete(f"{PATH}/{before['number']}", headers=ANY).status_code == 404
    assert [one["pseudonym"] for one in program.get(PATH).json()["items"]] == ["GOOD"]


def test_parts_of_the_list_leave_nobody_out_when_others_delete(program: Any) -> None:
    # the order is that of storing, which deleting does not change
    for number in (3, 1, 4, 0, 2, 5):
        add(program, f"PID-{number}", f"PSN-{number}")
    first = program.get(PATH, params={"limit": 3}).json()
    assert [one["pseudonym"] for one in first["items"]] == ["PSN-3", "PSN-1", "PSN-4"]
    for gone in (first["items"][0], first["items"][2]):
        program.delete(f"{PATH}/{gone['number']}", headers=ANY)
    second = program.get(PATH, params={"limit": 3, "cursor": first["next"]}).json()
    assert [one["pseudonym"] for one in second["items"]] == ["PSN-0", "PSN-2", "PSN-5"]
    assert second["next"] is None


def test_a_file_is_imported_as_a_whole_or_not_at_all(program: Any, console_app: ConsoleApp) -> None:
    csv = {"Content-Type": "text/csv"}
    wrong = program.post(f"{PATH}/import", content="pseudonym,patient_id\nPSN-1,PID-1\nPSN-2,\n", headers=csv)
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [{"place": "row 3", "message": "the Patient ID is missing"}]
    good = "pseudonym;patient_id\nPSN-1;PID-1\nPSN-2;PID-2\n"
    query = {"separator": ";"}
    trial = program.post(f"{PATH}/import", params={**query, "dry_run": True}, content=good, headers=csv)
    assert trial.json() == {"count": 2, "woken": 0, "would": True}
    assert program.get(PATH).json()["items"] == []
    done = program.post(f"{PATH}/import", params=query, content=good, headers=csv)
    assert done.json() == {"count": 2, "woken": 0, "would": False}
    again = program.post(f"{PATH}/import", params={**query, "skip_stored": True}, content=good, headers=csv)
    assert again.json()["count"] == 0
    assert program.post(f"{PATH}/import", params={"separator": "ab"}, content=good, headers=csv).status_code == 422
    assert program.post(f"{PATH}/import", content=b"", headers=csv).status_code == 422
    assert ("import", "pseudonyms of project STUDY", "2; 0 deliveries woken; number 1–2") in audited(
        console_app.console
    )


def test_who_is_behind_a_pseudonym_needs_its_scope_and_is_noted(program: Any, console_app: ConsoleApp) -> None:
    add(program, "PID-1", "PSN-1")
    question = {"pseudonym": "PSN-1"}
    assert program.post("/api/v1/pseudonyms/find", json=question).status_code == 403
    asker = console_app.with_token("identities")
    assert asker.post("/api/v1/pseudonyms/find", json=question).json()["items"][0]["patient_id"] == "PID-1"
    assert asker.post("/api/v1/pseudonyms/find", json={"pseudonym": "psn-1"}).json()["items"] == []
    assert [what for action, what, _ in audited(console_app.console) if action == "look at"] == [
        "who is behind a pseudonym",
        "who is behind a pseudonym",
    ]


def test_other_scopes_see_no_pseudonyms(program: Any, console_app: ConsoleApp) -> None:
    add(program, "PID-1", "PSN-1")
    other = console_app.with_token("read", "configuration", "deliveries", "users")
    for answer in (other.get(PATH), other.get(f"{PATH}/1"), add(other, "PID-2", "PSN-2"), other.delete(f"{PATH}/1")):
        assert answer.status_code == 403
        assert "PID-1" not in answer.text
