"""Deliveries and what follows them, for programs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from ledger_support import HOSTILE, audited, configure, deliver, follow, notify, states
from web_support import ConsoleApp

from karnak_core.model import State
from karnak_core.spool.views import FIELDS
from karnak_plugins.web_console import sheet

API = "/api/v1"


def listed(client: Any, path: str, **query: Any) -> Any:
    answer = client.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_deliveries_have_the_names_of_the_command_and_come_in_pages(console_app: ConsoleApp) -> None:
    numbers = [deliver(console_app.console) for _ in range(5)]
    client = console_app.with_token("read")
    first = listed(client, "/deliveries", limit=2)
    assert tuple(first["items"][0]) == FIELDS
    found = [one["id"] for one in first["items"]]
    cursor = first["next"]
    while cursor:
        page = listed(client, "/deliveries", limit=2, cursor=cursor)
        found += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert found == numbers[::-1]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"state": "failed"}, 1),
        ({"state": ["failed", "sent"]}, 2),
        ({"destination": "FORWARD/pacs"}, 2),
        ({"destination": "OTHER/pacs"}, 0),
        ({"study": "9.9.1"}, 1),
        ({"series": "1.5.1"}, 1),
        ({"since": "2020-01-01T00:00:00Z", "until": "2020-02-01"}, 0),
        ({"changed_since": "2020-01-01"}, 3),
        ({"changed_until": "2020-01-01T00:00:00+02:00"}, 0),
        ({"id": [1, 2]}, 2),
    ],
)
def test_filters_are_those_of_the_command(console_app: ConsoleApp, query: dict[str, Any], count: int) -> None:
    deliver(console_app.console, sent="9.9")
    deliver(console_app.console, study="1.5", state=State.FAILED)
    deliver(console_app.console, study="1.6", state=State.EXCLUDED, destination="other")
    assert len(listed(console_app.with_token("read"), "/deliveries", **query)["items"]) == count


@pytest.mark.parametrize(
    "query",
    [
        {"state": "gone"},
        {"id": 0},
        {"id": 2**63},
        {"studi": "1.2"},
        {"study": "1.2\0"},
        {"since": "yesterday"},
        {"limit": 0},
        {"limit": 100000},
    ],
)
def test_wrong_filters_are_refused_with_their_place(console_app: ConsoleApp, query: dict[str, Any]) -> None:
    answer = console_app.with_token("read").get(f"{API}/deliveries", params=query)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert next(iter(query)) in answer.json()["detail"]


def test_a_patient_is_looked_for_by_who_may_see_identities_and_that_is_noted(console_app: ConsoleApp) -> None:
    deliver(console_app.console)
    for query in ({"patient_id": "PID-17"}, {"text": "doe"}):
        for path in ("/deliveries", "/deliveries/export", "/studies"):
            refused = console_app.with_token("read").get(f"{API}{path}", params=query)
            assert refused.status_code == 403
    assert audited(console_app.console) == []
    client = console_app.with_token("read", "identities")
    assert len(listed(client, "/deliveries", patient_id="PID-17")["items"]) == 1
    assert len(listed(client, "/deliveries", text="doe")["items"]) == 1
    ((action, what, detail), _) = audited(console_app.console)
    assert (action, what) == ("look at", "original identities in deliveries")
    assert "PID-17" not in detail


def test_one_delivery_and_its_story_are_told(console_app: ConsoleApp) -> None:
    number = deliver(console_app.console, state=State.FAILED, reason="0xA700 out of resources", sop="1.2.3.4")
    client = console_app.with_token("read")
    assert listed(client, f"/deliveries/{number}")["reason"] == "0xA700 out of resources"
    story = listed(client, f"/deliveries/{number}/why")
    assert story["kind"] == "instance"
    assert story["receptions"][0]["first_at"].endswith("Z")
    assert "a person decides" in story["destinations"][0]["groups"][0]["next"]["words"]
    assert listed(client, "/instances/1.2.3.4/why") == story
    assert listed(client, "/instances/1.2.3/why")["kind"] == "study"
    for path in ("/deliveries/999", "/deliveries/999/why", "/instances/9.9.9/why", "/instances/%00/why"):
        assert client.get(f"{API}{path}").status_code == 404


def test_failed_deliveries_are_tried_again_and_waiting_ones_discarded(console_app: ConsoleApp) -> None:
    console = console_app.console
    failed, other = (deliver(console, state=State.FAILED) for _ in range(2))
    client = console_app.with_token("deliveries")
    done = client.post(f"{API}/deliveries/retry", json={"filter": {"id": [failed]}, "count": 1})
    assert (done.status_code, done.json()) == (200, {"count": 1})
    assert states(console) == ["pending", "failed"]
    done = client.post(f"{API}/deliveries/discard", json={"filter": {"state": ["pending", "failed"]}})
    assert done.json() == {"count": 2}
    assert states(console) == ["discarded", "discarded"]
    assert audited(console) == [
        ("retry", "1 delivery", f"of number {failed}"),
        ("discard", "2 deliveries", "of state pending, failed"),
    ]
    assert other


def test_nothing_is_done_when_there_are_more_than_were_agreed_to(console_app: ConsoleApp) -> None:
    console = console_app.console
    for _ in range(3):
        deliver(console, state=State.FAILED)
    client = console_app.with_token("deliveries")
    for what in ("retry", "discard"):
        answer = client.post(f"{API}/deliveries/{what}", json={"filter": {"state": ["failed"]}, "count": 2})
        assert answer.status_code == 409
    assert states(console) == ["failed"] * 3
    assert audited(console) == []


def test_everything_is_decided_about_only_when_that_is_said(console_app: ConsoleApp) -> None:
    deliver(console_app.console, state=State.FAILED)
    client = console_app.with_token("deliveries")
    assert client.post(f"{API}/deliveries/retry", json={"filter": {}}).status_code == 422
    assert client.post(f"{API}/deliveries/retry", json={"filter": {}, "all": True}).json() == {"count": 1}


def test_deciding_needs_its_scope(console_app: ConsoleApp) -> None:
    deliver(console_app.console, state=State.FAILED)
    client = console_app.with_token("read")
    for path in ("/deliveries", "/follow-ups", "/notifications"):
        for what in ("retry", "discard"):
            answer = client.post(f"{API}{path}/{what}", json={"filter": {}, "all": True})
            assert answer.status_code == 403
    assert states(console_app.console) == ["failed"]


def test_the_export_is_csv_with_the_delimiter_and_quote_asked_for_and_no_formulas(console_app: ConsoleApp) -> None:
    deliver(console_app.console, state=State.FAILED, reason="=HYPERLINK(1);'it'")
    deliver(console_app.console, state=State.SENT)
    client = console_app.with_token("read")
    answer = client.get(f"{API}/deliveries/export", params={"delimiter": ";", "quote": "'", "state": "failed"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    (header, row) = csv.reader(io.StringIO(answer.text), delimiter=";", quotechar="'")
    assert tuple(header) == FIELDS
    assert dict(zip(header, row, strict=True))["reason"] == "'=HYPERLINK(1);'it'"
    for query in ({"delimiter": ";", "quote": ";"}, {"delimiter": "ab"}, {"delimiter": "\n"}):
        assert client.get(f"{API}/deliveries/export", params=query).status_code == 422


def test_a_long_export_comes_in_one_piece(console_app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "STEP", 3)
    for count in range(1, 8):
        deliver(console_app.console)
        text = console_app.with_token("read").get(f"{API}/deliveries/export").text
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["id"] for row in rows] == [str(number) for number in range(count, 0, -1)]


def test_series_are_exported_to_who_may_see_identities_and_that_is_noted(console_app: ConsoleApp) -> None:
    deliver(console_app.console, facts={"PatientID": "=1+1", "StudyDescription": HOSTILE})
    query = {"by": "series"}
    assert console_app.with_token("read").get(f"{API}/deliveries/export", params=query).status_code == 403
    answer = console_app.with_token("read", "identities").get(f"{API}/deliveries/export", params=query)
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["Patient Id Original"] == "'=1+1"
    assert row["Study Description Original"] == HOSTILE
    assert audited(console_app.console) == [("look at", "original identities in an export of series", "")]


def test_studies_and_series_are_added_up_without_original_identities(console_app: ConsoleApp) -> None:
    console = console_app.console
    sent_facts = {"PatientID": "PSN-1", "StudyDescription": "THORAX", "Modality": "CT"}
    deliver(console, sent="9.9", sent_facts=sent_facts, facts={**sent_facts, "PatientID": "PID-17"})
    deliver(console, state=State.FAILED, reason="no room", study="1.4")
    client = console_app.with_token("read")
    failed, sent = listed(client, "/studies")["items"]
    assert (failed["study_instance_uid"], failed["counts"]["failed"]) == ("1.4", 1)
    assert failed["series"][0]["reasons"] == [{"state": "failed", "text": "no room", "count": 1}]
    assert sent["sent_study_instance_uid"] == "9.9.1"
    assert (sent["series"][0]["facts"], sent["series"][0]["sent_facts"]) == (
        None,
        {"PatientID": "PSN-1", "Modality": "CT"},
    )
    assert len(listed(client, "/series", study="1.4")["items"]) == 1
    assert client.get(f"{API}/studies", params={"identities": True}).status_code == 403
    assert audited(console) == []


def test_original_identities_are_shown_to_who_may_see_them_and_that_is_noted(console_app: ConsoleApp) -> None:
    deliver(console_app.console, sent="9.9", sent_facts={"PatientID": "PSN-1"})
    client = console_app.with_token("read", "identities")
    (study,) = listed(client, "/studies", identities=True)["items"]
    assert study["series"][0]["facts"]["PatientID"] == "PID-17"
    assert audited(console_app.console) == [("look at", "original identities in studies", "")]


def test_studies_come_in_pages(console_app: ConsoleApp) -> None:
    for number in range(5):
        deliver(console_app.console, study=f"1.{number}", state=State.FAILED if number == 1 else State.SENT)
    client = console_app.with_token("read")
    found, cursor = [], None
    while True:
        page = listed(client, "/studies", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [one["study_instance_uid"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == ["1.1", "1.4", "1.3", "1.2", "1.0"]
    assert client.get(f"{API}/studies", params={"cursor": "x1"}).status_code == 400


@pytest.mark.parametrize("path", ["/follow-ups", "/notifications"])
def test_what_follows_deliveries_is_listed_tried_again_and_given_up(console_app: ConsoleApp, path: str) -> None:
    console = console_app.console
    configure(console, "pacs")
    first = deliver(console)
    numbers = (
        [follow(console, first, subject=subject, reason=HOSTILE) for subject in ("1.1", "1.2", "1.3")]
        if path == "/follow-ups"
        else [notify(console, study=study, reason=HOSTILE) for study in ("1.1", "1.2", "1.3")]
    )
    client = console_app.with_token("read", "deliveries")
    page = listed(client, path, limit=2, state="failed", destination="FORWARD/pacs")
    assert [one["id"] for one in page["items"]] == numbers[:0:-1]
    assert page["items"][0]["reason"] == HOSTILE
    assert [one["id"] for one in listed(client, path, cursor=page["next"])["items"]] == numbers[:1]
    assert client.post(f"{API}{path}/retry", json={}).status_code == 422
    too_few = client.post(f"{API}{path}/discard", json={"all": True, "count": 2})
    assert too_few.status_code == 409
    assert client.post(f"{API}{path}/retry", json={"id": numbers[:1]}).json() == {"count": 1}
    assert client.post(f"{API}{path}/discard", json={"state": ["failed"]}).json() == {"count": 2}
    now = {one["id"]: one["state"] for one in listed(client, path)["items"]}
    assert now == dict(zip(numbers, ["pending", "discarded", "discarded"], strict=True))
    assert [action for action, _, _ in audited(console)] == ["retry", "discard"]
