"""A search that one answer has no time for goes on by itself until something is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from ledger_support import deliver
from web_support import ConsoleApp, check_accessibility

from karnak_core.model import State
from karnak_core.spool import searching
from karnak_plugins.web_console.pages.monitoring import listing, studies

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def old_one(console_app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> str:
    """The study that is searched for, behind many others; answers look at two deliveries each."""
    monkeypatch.setattr(searching, "STEP", 2)
    for module in (studies, listing):
        monkeypatch.setattr(module, "SEARCHED", 0)
    monkeypatch.setattr(studies, "COUNTED", 0)
    deliver(console_app.console, study="1.99", reason="a rare reason", state=State.EXCLUDED)
    for number in range(12):
        deliver(console_app.console, study=f"1.{number}")
    return "1.99"


def test_a_rare_text_is_found_without_a_click(
    console_app: ConsoleApp, old_one: str, open_page: Callable[..., Page]
) -> None:
    page = open_page("/monitoring?period=all&text=rare")
    page.locator("summary", has_text=old_one).wait_for()
    page.wait_for_function("document.getElementById('announcements').textContent === '1 study is shown'")
    page.get_by_text("1 excluded").first.wait_for()
    check_accessibility(page)


def test_a_text_that_is_nowhere_is_said_so_in_the_end(
    console_app: ConsoleApp, old_one: str, open_page: Callable[..., Page]
) -> None:
    page = open_page("/monitoring?period=all&text=nowhere")
    page.get_by_text("Nothing matches.").first.wait_for()
    assert page.get_by_text("Searching").count() == 0
    page.goto("/monitoring/deliveries?period=all&text=rare")
    while page.get_by_text("Nothing was found so far.").count():
        page.get_by_role("link", name="Search further back").click()
    page.get_by_text("a rare reason").first.wait_for()
