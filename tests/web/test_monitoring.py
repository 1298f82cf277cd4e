"""The pages of the monitoring."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from ledger_support import HOSTILE, audited, configure, deliver, follow, notify, states
from web_support import ConsoleApp, check_accessibility

from karnak_core.model import State, now_ms
from karnak_core.spool import searching
from karnak_plugins.web_console.api import deliveries as deliveries_api
from karnak_plugins.web_console.api import monitoring as monitoring_api
from karnak_plugins.web_console.pages.monitoring import listing
from karnak_plugins.web_console.pages.monitoring import studies as studies_page
from karnak_plugins.web_console.selecting import DAY, selection

if TYPE_CHECKING:
    from conftest import RunningConsole
    from playwright.sync_api import Page

PSEUDONYM = {"PatientID": "PSN-1", "PatientName": "PSN-1", "Modality": "CT"}


def forms(page: str, action: str) -> list[dict[str, str]]:
    """Return the hidden fields of the forms of a page with this action."""
    found = []
    for form in re.findall(rf'<form method="post" action="{action}".*?</form>', page, re.DOTALL):
        fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
        found.append({name: html.unescape(value) for name, value in fields if name != "csrf_token"})
    return found


def test_presets_and_dates_become_a_filter() -> None:
    now = now_ms()
    assert selection({}, now).chosen.changed_since == now - DAY
    assert selection({"period": "5m"}, now).chosen.changed_since == now - 5 * 60_000
    assert selection({"period": "all", "from": "2026-01-01"}, now).chosen.changed_since is None
    today = selection({"period": "today"}, now).chosen.changed_since
    assert today is not None
    assert 0 <= now - today <= DAY + 3600_000
    custom = selection({"period": "custom", "from": "2026-01-01T00:00Z", "until": "2026-01-02T00:00Z"}, now).chosen
    assert custom.changed_until is not None
    assert custom.changed_since == custom.changed_until - DAY == 1767225600000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("period", "8m"),
        ("state", "lost"),
        ("from", "soon"),
        ("study", "1" * 65),
        ("text", "a\x00b"),
        ("node", "x" * 17),
    ],
)
def test_what_is_wrong_in_the_filter_is_told_at_the_field_and_nothing_is_shown(
    console_app: ConsoleApp, name: str, value: str
) -> None:
    deliver(console_app.console, study="1.2.77")
    answer = console_app.signed_in().get("/monitoring", params={"period": "all", name: value})
    assert answer.status_code == 422
    assert f'id="{name}-error"' in answer.text
    assert "1.2.77" not in answer.text


def test_the_tree_has_destinations_studies_series_and_reasons_with_badges(console_app: ConsoleApp) -> None:
    console = console_app.console
    configure(console, "pacs", "research")
    deliver(console, study="1.1")
    deliver(console, study="1.2", state=State.FAILED, reason="0xA700 out of resources")
    deliver(console, study="1.3", state=State.EXCLUDED, reason="the condition is false", destination="research")
    page = console_app.signed_in().get("/monitoring").text
    assert "FORWARD → pacs" in page
    assert page.index("1.2.1") < page.index("1.1.1"), "failures come first"
    assert '<span class="badge bad">1 error</span>' in page
    assert '<span class="badge warning">1 excluded</span>' in page
    assert '<span class="badge good">OK</span>' in page
    assert "0xA700 out of resources" in page
    assert "the condition is false" in page


def test_the_filter_narrows_and_stands_in_every_link(console_app: ConsoleApp) -> None:
    console = console_app.console
    configure(console, "pacs", "research")
    deliver(console, study="1.11", destination="research")
    deliver(console, study="1.22", state=State.FAILED)
    client = console_app.signed_in()
    page = client.get("/monitoring", params={"state": "failed", "period": "7d"}).text
    assert "1.22" in page
    assert "1.11" not in page
    assert "/monitoring/deliveries?period=7d&amp;state=failed" in page
    assert 'hx-get="/monitoring/live?period=7d&amp;state=failed"' in page
    assert "Nothing matches." in client.get("/monitoring", params={"study": "9.9"}).text
    assert "1.22" in client.get("/monitoring", params={"destination": "FORWARD/pacs"}).text
    assert "Nothing matches." in client.get("/monitoring", params={"destination": "OTHER/pacs"}).text
    assert "1.11" not in client.get("/monitoring", params={"period": "all", "destination": "FORWARD/pacs"}).text


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers look at two deliveries each."""
    monkeypatch.setattr(searching, "STEP", 2)
    for module in (studies_page, listing, deliveries_api, monitoring_api):
        monkeypatch.setattr(module, "SEARCHED", 0)
    monkeypatch.setattr(studies_page, "COUNTED", 0)


@pytest.mark.usefixtures("impatient")
def test_what_one_answer_has_no_time_to_search_the_next_one_does(console_app: ConsoleApp) -> None:
    console = console_app.console
    deliver(console, study="1.71", reason="a rare reason", state=State.EXCLUDED)
    for number in range(4):
        deliver(console, study=f"1.8{number}")
    client = console_app.signed_in()
    page = client.get("/monitoring", params={"period": "all", "text": "RARE"}).text
    assert "1.71" not in page
    assert "Nothing matches" not in page
    assert "Search further back" in page
    assert 'hx-trigger="load delay:50ms"' in page
    assert "More is being counted." in page
    looked = 0
    while "1.71" not in page:
        (further,) = set(re.findall(r'hx-get="(/monitoring/live[^"]*cursor=[^"]*)"', page))
        page = client.get(html.unescape(further)).text
        looked += 1
    assert looked == 2
    listed = client.get("/monitoring/deliveries", params={"period": "all", "text": "rare"}).text
    assert "Nothing was found so far." in listed
    assert "Search further back" in listed
    program = console_app.with_token("read", "identities")
    for path in ("/api/v1/deliveries", "/api/v1/studies"):
        rows: list[Any] = []
        cursor: str | None = None
        while True:
            answer = program.get(path, params={"text": "rare", **({"cursor": cursor} if cursor else {})}).json()
            rows += answer["items"]
            cursor = answer["next"]
            if cursor is None:
                break
        assert [row["study_instance_uid"] for row in rows] == ["1.71"]


@pytest.mark.usefixtures("impatient")
def test_a_count_that_takes_long_is_shown_when_it_is_done(console_app: ConsoleApp) -> None:
    console = console_app.console
    for state in (State.FAILED, State.SENT, State.SENT, State.SENT):
        deliver(console, state=state, study="1.5")
    client = console_app.signed_in()
    page = client.get("/monitoring").text
    assert "2 sent" in page
    assert "Retry 1 failed" not in re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert 'hx-trigger="every 1s"' in page
    page = client.get("/monitoring/live").text
    assert "3 sent, 1 failed" in page
    assert "Retry 1 failed" in page
    assert 'hx-trigger="every 5s"' in page


def test_an_old_study_is_found_by_a_longer_period(console_app: ConsoleApp) -> None:
    deliver(console_app.console, study="1.33", ago=2 * DAY)
    client = console_app.signed_in()
    assert "Nothing was received or sent in the last 24 hours." in client.get("/monitoring").text
    assert "1.33" in client.get("/monitoring", params={"period": "7d"}).text
    assert "1.33" in client.get("/monitoring", params={"period": "all"}).text


def test_original_identities_are_hidden_until_asked_for_and_that_is_noted_once(console_app: ConsoleApp) -> None:
    console = console_app.console
    number = deliver(console, sent="9.9", sent_facts=PSEUDONYM)
    deliver(console, study="1.4")
    client = console_app.signed_in()
    pages = [client.get(path).text for path in ("/monitoring", "/monitoring/live", f"/monitoring/deliveries/{number}")]
    assert not any("PID-17" in page or "DOE" in page for page in pages)
    assert all("PSN-1" in page for page in pages)
    # what went out as it was received is an original identity, too
    assert "identity hidden" in pages[0]
    assert audited(console) == []
    shown = client.get("/monitoring", params={"identities": "1"}).text
    assert "DOE^JOHN · PID-17" in shown
    assert re.search(r"PSN-1 · PSN-1 \(de-identified\)", shown)
    client.get("/monitoring/live", params={"identities": "1"})
    assert audited(console) == [("look at", "original identities in the monitoring", "shown")]
    assert "PID-17" in client.get(f"/monitoring/deliveries/{number}?identities=1").text
    assert audited(console)[1] == ("look at", f"original identities in delivery {number}", "shown")


def test_a_search_for_a_patient_is_noted_without_the_patient(console_app: ConsoleApp) -> None:
    deliver(console_app.console, study="1.44")
    client = console_app.signed_in()
    assert "1.44" in client.get("/monitoring", params={"patient": "PID-17"}).text
    assert "1.44" in client.get("/monitoring", params={"text": "doe"}).text
    ((action, what, detail),) = audited(console_app.console)
    assert (action, what, detail) == (
        "look at",
        "original identities in the monitoring",
        "looked for a patient or a text",
    )


def test_all_that_match_are_retried_and_discarded_with_their_count(console_app: ConsoleApp) -> None:
    console = console_app.console
    configure(console, "pacs")
    deliver(console, state=State.FAILED, study="1.1")
    deliver(console, state=State.FAILED, study="1.2")
    deliver(console, state=State.FAILED, study="1.3", ago=3 * DAY)
    client = console_app.signed_in()
    page = client.get("/monitoring").text
    assert "Retry 2 failed deliveries?" in page
    retry = next(one for one in forms(page, "/monitoring/decide") if one["what"] == "retry")
    answer = client.submit("/monitoring/decide", retry)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/monitoring?")
    assert states(console) == ["pending", "pending", "failed"]
    assert "2 deliveries are tried again." in client.get("/monitoring").text
    page = client.get("/monitoring?period=all").text
    discard = next(one for one in forms(page, "/monitoring/decide") if one["what"] == "discard")
    assert (discard["state"], discard["count"]) == ("failed", "1")
    deliver(console, state=State.FAILED, study="1.5")
    refused = client.submit("/monitoring/decide", discard)
    assert refused.status_code == 409
    assert "nothing was changed" in refused.text
    client.submit("/monitoring/decide", {**discard, "count": 2})
    assert states(console) == ["pending", "pending", "discarded", "discarded"]
    assert [action for action, _, _ in audited(console)] == ["retry", "discard"]


def test_a_study_is_decided_about_at_its_destination_only(console_app: ConsoleApp) -> None:
    console = console_app.console
    configure(console, "pacs", "research")
    for study, destination in (("1.1", "pacs"), ("1.1", "research"), ("1.2", "pacs")):
        deliver(console, state=State.FAILED, study=study, destination=destination)
    client = console_app.signed_in()
    page = client.get("/monitoring").text
    wanted = {"what": "retry", "study": "1.1", "destination": "FORWARD/pacs"}
    (form,) = (one for one in forms(page, "/monitoring/decide") if wanted.items() <= one.items())
    client.submit("/monitoring/decide", form)
    assert states(console) == ["pending", "failed", "failed"]


def test_chosen_deliveries_are_decided_about(console_app: ConsoleApp) -> None:
    console = console_app.console
    numbers = [deliver(console, state=State.FAILED, reason=f"reason {index}") for index in range(3)]
    client = console_app.signed_in()
    page = client.get("/monitoring/deliveries").text
    assert all(f"reason {index}" in page for index in range(3))
    client.submit("/monitoring/decide", {"what": "discard", "number": numbers[:2], "back": "/monitoring/deliveries"})
    assert states(console) == ["discarded", "discarded", "failed"]
    assert "2 deliveries are discarded." in client.get("/monitoring/deliveries").text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"what": "send"},
        {"what": "retry"},
        {"what": "retry", "by": "filter"},
        {"what": "retry", "by": "filter", "count": "9", "state": "lost"},
        {"what": "retry", "by": "filter", "count": "9", "study": "1" * 65},
        {"what": "retry", "number": "x"},
    ],
)
def test_a_form_that_does_not_say_what_is_meant_does_nothing(console_app: ConsoleApp, fields: dict[str, str]) -> None:
    deliver(console_app.console, state=State.FAILED)
    assert console_app.signed_in().submit("/monitoring/decide", fields).status_code == 422
    assert states(console_app.console) == ["failed"]


def test_it_goes_back_to_pages_of_ours_only(console_app: ConsoleApp) -> None:
    number = deliver(console_app.console, state=State.FAILED)
    fields = {"what": "retry", "number": number, "back": "https://evil.example/"}
    assert console_app.signed_in().submit("/monitoring/decide", fields).headers["Location"] == "/monitoring"


def test_one_delivery_tells_its_whole_story_and_what_happens_next(console_app: ConsoleApp) -> None:
    console = console_app.console
    configure(console, "pacs")
    number = deliver(console, state=State.FAILED, reason="0xA700 out of resources")
    follow(console, number, subject="1.2.3.1", reason="album is full")
    client = console_app.signed_in()
    for path in (f"/monitoring/deliveries/{number}", f"/monitoring/deliveries/{number}/live"):
        page = client.get(path).text
        assert "a person decides; it is kept with its file until then" in page
        assert "album is full" in page
        assert "from CT1 at 127.0.0.1" in page
    assert client.get("/monitoring/deliveries/4711").status_code == 404
    assert client.get("/monitoring/story?uid=1.2.3").text.count("0xA700 out of resources") == 1
    assert "nothing is known about this UID" in client.get("/monitoring/story?uid=9.9").text
    assert "nothing is known about this UID" not in client.get("/monitoring/story").text


def test_pages_follow_one_another(console_app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from karnak_plugins.web_console.pages.monitoring import listing, studies

    monkeypatch.setattr(studies, "STUDIES", 2)
    monkeypatch.setattr(listing, "ROWS", 2)
    for number in range(5):
        deliver(console_app.console, study=f"1.2.{number}00", sop=f"1.9.{number}00")
    client = console_app.signed_in()
    for path, pattern in (
        ("/monitoring", r"aria-label=\"Series of study (\S+)"),
        ("/monitoring/deliveries", r"(1\.9\.\d00)</span>"),
    ):
        found: list[str] = []
        address: str | None = path
        while address:
            page = client.get(address).text
            found += re.findall(pattern, page)
            link = re.search(r'href="([^"]+)">Next page', page)
            address = html.unescape(link[1]) if link else None
        assert [one[-3] for one in found] == ["4", "3", "2", "1", "0"]
    assert client.get("/monitoring?cursor=zzz").status_code == 400


def test_what_matches_is_exported(console_app: ConsoleApp) -> None:
    deliver(console_app.console, study="1.1", state=State.FAILED)
    deliver(console_app.console, study="1.2")
    client = console_app.signed_in()
    answer = client.get("/monitoring/export", params={"state": "failed", "delimiter": ";", "quote": "'"})
    (row,) = csv.DictReader(io.StringIO(answer.text), delimiter=";")
    assert row["study_instance_uid"] == "1.1"
    assert audited(console_app.console) == []
    series = client.get("/monitoring/export", params={"by": "series", "delimiter": "\\t"})
    assert len(list(csv.DictReader(io.StringIO(series.text), delimiter="\t"))) == 2
    assert audited(console_app.console) == [("look at", "original identities in an export of series", "shown")]
    assert client.get("/monitoring/export", params={"state": "lost"}).status_code == 422
    assert client.get("/monitoring/export", params={"delimiter": ""}).status_code == 422


@pytest.mark.parametrize("path", ["follow-ups", "notifications"])
def test_what_follows_deliveries_is_shown_retried_and_discarded(console_app: ConsoleApp, path: str) -> None:
    console = console_app.console
    number = deliver(console)
    for subject in ("1.1", "1.2", "1.3"):
        if path == "follow-ups":
            follow(console, number, subject=subject, reason=HOSTILE)
        else:
            notify(console, study=subject, reason=HOSTILE)
    client = console_app.signed_in()
    page = client.get(f"/monitoring/{path}").text
    assert "<script>alert" not in page
    assert HOSTILE.split("49")[0] not in page
    assert html.escape("<script>alert(1)</script>") in page
    decide = f"/monitoring/{path}/decide"
    one = next(form for form in forms(page, decide) if form["what"] == "retry" and "number" in form)
    assert client.submit(decide, one).status_code == 303
    rest = next(form for form in forms(client.get(f"/monitoring/{path}").text, decide) if form["what"] == "discard")
    assert (rest["by"], rest["count"]) == ("failed", "2")
    client.submit(decide, rest)
    assert client.get(f"/monitoring/{path}?state=discarded").text.count(">discarded</span>") == 2
    assert "None is in this state." in client.get(f"/monitoring/{path}/live?state=failed").text
    assert client.get(f"/monitoring/{path}?state=lost").status_code == 422
    assert client.submit(decide, {"what": "retry"}).status_code == 422


def test_values_of_data_sets_and_peers_write_nothing_into_pages(console_app: ConsoleApp) -> None:
    console = console_app.console
    keywords = (
        "PatientID",
        "PatientName",
        "AccessionNumber",
        "StudyDescription",
        "SeriesDescription",
        "Modality",
        "StudyDate",
        "SeriesNumber",
    )
    uid = HOSTILE[:64]
    number = deliver(
        console,
        state=State.SENT,
        reason=HOSTILE,
        study=uid,
        series=uid,
        sop=uid,
        sent=HOSTILE[:60],
        facts=dict.fromkeys(keywords, HOSTILE),
        sent_facts=dict.fromkeys(keywords, f"sent {HOSTILE}"),
        destination="<b>x</b>",
    )
    deliver(console, state=State.FAILED, reason=HOSTILE, study=uid, series=uid, destination="<b>x</b>")
    client = console_app.signed_in()
    for path in (
        "/monitoring?identities=1",
        "/monitoring/live?period=all",
        "/monitoring/deliveries",
        f"/monitoring/deliveries/{number}?identities=1",
        f"/monitoring/deliveries/{number}/live",
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text
        assert "<b>x" not in page.text
        assert "&lt;script&gt;" in page.text
        # no expression of theirs is evaluated
        assert "&amp;49" not in page.text
    for query in ({"uid": HOSTILE}, {"uid": uid}):
        assert "<script>alert" not in client.get("/monitoring/story", params=query).text
    reflected = client.get("/monitoring", params={"text": HOSTILE, "study": uid, "destination": "<b>x</b>"}).text
    assert "<script>alert" not in reflected
    assert "<b>x" not in reflected


def test_the_monitoring_is_for_admins(console_app: ConsoleApp) -> None:
    client = console_app.signed_in("ann", "user", "investigator")
    for path in ("", "/live", "/export", "/deliveries", "/deliveries/1", "/story", "/follow-ups", "/notifications"):
        assert client.get(f"/monitoring{path}").status_code == 403
    deliver(console_app.console, state=State.FAILED)
    assert client.submit("/monitoring/decide", {"what": "retry", "number": 1}).status_code == 403
    assert states(console_app.console) == ["failed"]


def test_a_person_finds_a_failed_study_and_discards_it_in_a_browser(
    page: Page, running_console: RunningConsole, make_console_beside: Any
) -> None:
    from conftest import sign_in

    sign_in(page, running_console)
    console = make_console_beside(running_console)
    configure(console, "pacs")
    deliver(console, study="1.2.840.1", sent="9.9", sent_facts=PSEUDONYM)
    for _ in range(2):
        deliver(console, study="1.2.840.2", state=State.FAILED, reason="no room at the peer", destination="gone")
    page.get_by_role("link", name="Monitoring").click()
    page.locator("summary", has_text="1.2.840.2").click()
    page.get_by_text("no room at the peer").first.wait_for()
    check_accessibility(page)
    # it follows what happens, and what is open stays open
    deliver(console, study="1.2.840.3", state=State.EXCLUDED, reason="by a rule")
    page.locator("summary", has_text="1.2.840.3").wait_for()
    page.get_by_text("no room at the peer").first.wait_for()
    page.get_by_role("link", name="Every delivery").first.click()
    page.wait_for_load_state()
    page.get_by_label("Choose all of the page").check()
    page.get_by_role("button", name="Discard the chosen").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("chosen deliveries?").first.wait_for()
    check_accessibility(page)
    dialog.get_by_role("button", name="Discard").click()
    page.get_by_text("deliveries are discarded.").first.wait_for()
    with console.database.read():
        assert states(console).count("discarded") == 2
    page.get_by_role("link", name="Notifications").click()
    check_accessibility(page)
    page.get_by_role("link", name="The story of a UID").click()
    page.get_by_label("UID of an instance").fill("1.2.840.1")
    page.get_by_role("button", name="Tell").click()
    page.get_by_text("nothing: it is there").first.wait_for()
    page.get_by_role("link", name="Delivery 1").click()
    page.get_by_role("heading", name="Its story").wait_for()
    check_accessibility(page)
