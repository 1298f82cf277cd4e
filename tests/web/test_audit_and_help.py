"""The audit trail and the help, as pages."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from web_support import ConsoleApp

from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.pages.audit import PAGE


def write(
    app: ConsoleApp, count: int = 1, *, who: str = "nora", action: str = "change", object: str = "node A"
) -> None:
    """Let somebody do something."""
    for number in range(count):
        audit(app.console, who, action, object, f"number {number}")


def test_entries_are_listed_filtered_and_paged(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    write(console_app, PAGE + 5)
    write(console_app, who="<b>Zoë</b>", action="look at", object="worklist of 100%_A")
    page = client.get("/audit").text
    assert "&lt;b&gt;Zoë&lt;/b&gt;" in page
    assert "<b>Zoë" not in page
    assert page.count("<tr>") == PAGE + 1
    first = client.get("/audit?text=node+A").text
    older = first.partition('href="/audit?text=node+A&amp;before=')[2].partition('"')[0]
    assert client.get(f"/audit?text=node+A&before={older}").text.count("<tr>") == 5 + 1
    for query, rows in (
        ("who=zo", 1),
        ("action=look+at", 1),
        ("text=100%25_", 1),
        ("text=_00", 0),
        ("who=nobody", 0),
        ("text=NODE+a", PAGE),
        (f"since={datetime.now(UTC):%Y-%m-%d}&action=look+at", 1),
        ("until=2001-01-01", 0),
    ):
        found = client.get(f"/audit?{query}").text
        assert found.count("<tr>") == (rows + 1 if rows else 0), query
    assert "There is no such entry." in client.get("/audit?who=nobody").text
    wrong = client.get("/audit?since=31.1.2026")
    assert (wrong.status_code, "is not a day such as" in wrong.text) == (422, True)
    assert client.get("/audit?until=9999-12-31").status_code == 422


def test_entries_are_saved_as_csv(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    write(console_app, 1200)
    write(console_app, object="=1+1", action="delete")
    answer = client.get("/audit/export.csv?action=change")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 1200
    assert len({row["id"] for row in rows}) == 1200
    assert (rows[0]["who"], rows[0]["object"], rows[0]["detail"]) == ("nora", "node A", "number 1199")
    assert "'=1+1" in client.get("/audit/export.csv?action=delete").text
    assert "the audit trail" in client.get("/audit?action=export").text


def test_api_filters_too(console_app: ConsoleApp) -> None:
    write(console_app, 3)
    write(console_app, who="zoe", action="delete")
    program = console_app.with_token("users")
    found = program.get("/api/v1/audit", params={"who": "ZO", "action": "delete", "text": "node"}).json()["items"]
    assert [entry["who"] for entry in found] == ["zoe"]


def test_trail_is_for_admins(console_app: ConsoleApp) -> None:
    user = console_app.signed_in("ursula", "user")
    assert user.get("/audit").status_code == 403
    assert user.get("/audit/export.csv").status_code == 403


def test_help_is_for_everybody_and_names_what_one_sees(console_app: ConsoleApp) -> None:
    admin, user = console_app.signed_in(), console_app.signed_in("ursula", "user")
    whole, part = admin.get("/help").text, user.get("/help").text
    assert "Who changed what, and who looked" in whole
    assert "Who changed what, and who looked" not in part
    assert "web_console" in part
    assert console_app.client().get("/help").status_code == 303
