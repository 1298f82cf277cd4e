"""The start page: all is well, or what is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from ledger_support import HOSTILE, configure, deliver, follow
from web_support import ConsoleApp, check_accessibility

from karnak_core.database.tables import destination_health, refusal, tally
from karnak_core.model import State, now_ms
from karnak_core.spool.traffic import Hour
from karnak_plugins.web_console.pages.chart import HALF, draw
from karnak_plugins.web_console.troubles import troubles

if TYPE_CHECKING:
    from conftest import RunningConsole
    from playwright.sync_api import Page

WELL: dict[str, Any] = {
    "destinations": [],
    "gateway": {"running": True, "processes": []},
    "spool": {"bytes": 0, "free_bytes": 100},
    "storage": {"reserve": 10, "accepting": True},
    "follow_ups": [],
    "notifications": [],
    "expiries": [],
    "refused_associations": [],
}
DESTINATION = {
    "forward_node": "FORWARD",
    "destination": "pacs",
    "state": "ok",
    "reason": "",
    "pending": 0,
    "failed": 0,
    "oldest_pending_seconds": None,
    "since": None,
    "failed_reasons": [],
}


def told(**status: Any) -> list[tuple[str, str, str]]:
    return [(one.tone, one.of, one.text) for one in troubles({**WELL, **status}, now_ms())]


def test_nothing_is_told_when_all_is_well() -> None:
    assert told(destinations=[DESTINATION]) == []
    # what is under way is no trouble
    assert told(destinations=[{**DESTINATION, "pending": 5, "oldest_pending_seconds": 20.0}]) == []


def test_a_gateway_that_does_not_run_is_told_first() -> None:
    found = told(
        gateway={"running": False, "processes": []},
        expiries=[{"kind": "certificate", "of": "listener", "problem": "", "seconds": 86400.0, "expires_at": None}],
    )
    assert found[0] == ("bad", "The gateway", "does not run: nothing is received or sent.")
    assert found[1] == ("warning", "listener, certificate", "expires in 1 d.")


def test_what_is_wrong_with_a_destination_is_told_with_since_when_and_what_waits() -> None:
    one = {
        **DESTINATION,
        "state": "unreachable",
        "reason": "connection refused",
        "since": "2026-01-01T00:00:00.000Z",
        "pending": 1200,
        "oldest_pending_seconds": 7200.0,
        "failed": 1,
        "failed_reasons": [{"reason": "0xA900", "count": 1}],
    }
    (first, second) = troubles({**WELL, "destinations": [one]}, now_ms())
    assert (first.tone, first.since) == ("bad", 1767225600000)
    assert first.text == "cannot be reached: connection refused. 1,200 deliveries wait."
    assert first.link == "/monitoring?destination=FORWARD%2Fpacs&state=pending&period=all"
    assert second.text == "1 delivery failed and is kept: 1× 0xA900."


def test_what_is_held_back_on_purpose_is_told_when_something_waits_for_it() -> None:
    paused = {**DESTINATION, "state": "paused", "reason": "paused is true"}
    assert told(destinations=[paused]) == []
    assert told(destinations=[{**paused, "pending": 1}]) == [
        ("warning", "FORWARD/pacs", "sends nothing: paused is true. 1 delivery waits.")
    ]
    slow = {**DESTINATION, "pending": 2, "oldest_pending_seconds": 4 * 3600.0}
    assert told(destinations=[slow]) == [
        ("warning", "FORWARD/pacs", "is slow: the oldest delivery waits for 4 h. 2 deliveries wait.")
    ]


def test_a_disk_that_fills_up_is_told_before_it_is_full() -> None:
    assert told(spool={"bytes": 0, "free_bytes": 15})[0][0] == "warning"
    full = told(spool={"bytes": 0, "free_bytes": 5}, storage={"reserve": 10, "accepting": False})
    assert full == [("bad", "The disk", "is full: 5 B are free, and 10 B are kept free. Nothing is accepted.")]


def test_follow_ups_tokens_and_refused_peers_are_told() -> None:
    part = {
        "forward_node": "FORWARD",
        "destination": "pacs",
        "part": "email",
        "pending": 2,
        "failed": 1,
        "reason": "the mail server is down",
        "oldest_seconds": 60.0,
    }
    refused = {
        "called_ae_title": "FORWARD",
        "calling_ae_title": "CT9",
        "peer_host": "10.0.0.9",
        "reason": "no source",
        "count": 3,
    }
    found = told(
        notifications=[part],
        follow_ups=[{**part, "failed": 0}],
        expiries=[
            {"kind": "token", "of": of, "problem": "", "seconds": -5.0, "expires_at": "2026-01-01T00:00:00Z"}
            for of in ("archive", "FORWARD/cloud album: source token")
        ],
        refused_associations=[
            {**refused, "last_at": "2020-01-01T00:00:00.000Z"},
            {**refused, "last_at": "2199-01-01T00:00:00.000Z"},
        ],
    )
    assert found == [
        ("bad", "FORWARD/pacs, notification email", "1 failed, 2 wait, the oldest for 1 min: the mail server is down."),
        ("bad", "archive, token", "has expired."),
        ("bad", "FORWARD/cloud album: source token", "has expired."),
        ("warning", "CT9 at 10.0.0.9 to FORWARD", "was refused 3 times: no source."),
    ]


def test_the_chart_has_what_came_in_upwards_and_what_became_of_it_downwards() -> None:
    hours = [
        Hour(start=hour * 3600_000, received=10 * hour, sent=5 * hour, excluded=0, failed=hour) for hour in range(24)
    ]
    chart = draw(hours)
    assert chart.top == 230
    assert [text for _, text in chart.labels] == ["now", "−6 h", "−12 h", "−18 h"]
    tallest = max((bar for bar in chart.bars if bar.kind == "received"), key=lambda bar: bar.height)
    assert (tallest.y, tallest.height) == (0, HALF)
    assert all(bar.y >= 0 and bar.y + bar.height <= chart.height and bar.x >= 0 for bar in chart.bars)
    # one of 230 is still seen
    assert min(bar.height for bar in chart.bars) >= 1.5
    assert draw([Hour(start=0, received=0, sent=0, excluded=0, failed=0)]).bars == []


def test_an_empty_gateway_says_what_to_do_next(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    # nothing runs in this test
    assert "Start it with karnak serve." in client.get("/overview").text
    console_app.console.change(
        lambda before: {**before, "forward_nodes": []}, expected_version=None, author="test", comment=""
    )
    assert "There is no forward node yet." in client.get("/overview").text
    configure(console_app.console)
    assert "No forward node has a destination." in client.get("/overview").text


def test_what_happened_today_and_what_failed_is_shown_and_peers_cannot_write_into_the_page(
    console_app: ConsoleApp,
) -> None:
    console = console_app.console
    configure(console, "pacs")
    deliver(console, ago=0)
    failed = deliver(console, state=State.FAILED, reason=HOSTILE, ago=0)
    follow(console, failed, reason=HOSTILE)
    with console.database.write() as connection:
        connection.execute(
            sa.insert(destination_health).values(
                forward_node="FORWARD",
                destination="pacs",
                health="unreachable",
                reason=HOSTILE,
                since=now_ms() - 5000,
                failures=3,
                next_probe_at=0,
            )
        )
        connection.execute(
            sa.insert(refusal).values(
                called_ae_title="<b>X",
                calling_ae_title="<i>Y",
                peer_host="10.0.0.1",
                reason=HOSTILE,
                count=1,
                first_at=now_ms(),
                last_at=now_ms(),
            )
        )
        connection.execute(
            sa.insert(tally).values(forward_node="FORWARD", destination="pacs", name="sent", count=1234567)
        )
    client = console_app.signed_in()
    page = client.get("/overview").text
    assert "<script>alert" not in page
    assert "<b>X" not in page
    assert "<i>Y" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "49" not in re.findall(r"alert\(1\)\S*", page)[0]
    assert "1,234,567" in page
    assert re.search(r"<dt>Received today</dt><dd>2</dd>", page)
    assert re.search(r"<dt>Failed today</dt><dd class=\"bad\">1</dd>", page)
    for part in ("/overview/live", "/overview/traffic"):
        fragment = client.get(part)
        assert fragment.status_code == 200
        assert "<html" not in fragment.text


def test_only_admins_see_the_start_page(console_app: ConsoleApp) -> None:
    for path in ("/overview", "/overview/live", "/overview/traffic"):
        assert console_app.signed_in("ann", "user").get(path).status_code == 403
        assert console_app.client().get(path).status_code == 303


def test_certificates_are_told_by_the_api(console_app: ConsoleApp) -> None:
    answer = console_app.with_token("read").get("/api/v1/status")
    assert answer.json()["expiries"] == []


def test_the_start_page_follows_without_a_reload_and_is_accessible(
    page: Page, running_console: RunningConsole, make_console_beside: Any
) -> None:
    from conftest import sign_in

    sign_in(page, running_console)
    page.get_by_text("Nothing is received yet.").first.wait_for()
    check_accessibility(page)
    console = make_console_beside(running_console)
    page.get_by_text("The numbers", exact=True).click()
    page.get_by_role("heading", name="Overview").click()
    configure(console, "pacs")
    deliver(console, state=State.FAILED, reason="refused by the peer")
    page.get_by_text("1 thing needs attention.").first.wait_for()
    page.get_by_text("1 delivery failed and is kept: 1× refused by the peer.").first.wait_for()
    # what was opened stays open
    page.locator("#traffic-numbers[open]").wait_for()
    check_accessibility(page)
