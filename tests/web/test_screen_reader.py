"""What somebody hears who does not see the page, and where the focus goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from configured import with_node
from web_support import ConsoleApp

from karnak_core.testing import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOCUSED = "document.activeElement.id || document.activeElement.className"


def heard(page: Page, words: str) -> None:
    """Wait until this is announced, on this page or, while that one comes, on the next."""
    page.wait_for_function("words => document.getElementById('announcements')?.textContent.includes(words)", arg=words)


def test_what_was_done_is_said_on_the_next_page(open_page: Callable[..., Page], console_app: ConsoleApp) -> None:
    with_node(console_app)
    page = open_page("/gateway/node?node=FORWARD")
    page.get_by_label("Description").fill("research")
    page.get_by_role("button", name="Save").click()
    heard(page, "Saved.")


def test_from_what_is_wrong_to_the_field_though_it_is_folded_away(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    with_node(console_app)
    page = open_page("/gateway/destination?node=FORWARD&name=disk")
    page.locator("#retries").click()
    page.locator("#retry_for").fill("soon")
    page.get_by_role("button", name="Save").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert page.title().startswith("Something is wrong: ")
    # by a script, which may run a moment later; it is read first
    wait_until(lambda: page.evaluate(FOCUSED) == "flash wrong")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    alert.get_by_role("link").first.click()
    wait_until(lambda: page.evaluate(FOCUSED) == "retry_for")
    field = page.locator("#retry_for")
    assert field.is_visible()
    told = field.get_attribute("aria-describedby")
    assert told
    assert "retry_for-error" in told.split()


def test_an_answer_that_replaces_a_part_takes_the_focus_only_where_something_is_wrong(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("/tools/network")
    page.locator("#tool form button").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    wait_until(lambda: page.evaluate(FOCUSED) == "flash wrong")
    alert.get_by_role("link").first.press("Enter")
    wait_until(lambda: page.evaluate("document.activeElement.matches('input')"))


def test_escape_closes_the_menu_of_a_small_screen_and_gives_the_focus_back(open_page: Callable[..., Page]) -> None:
    page = open_page("/overview", viewport={"width": 360, "height": 740})
    menu = page.get_by_role("button", name="Menu")
    menu.press("Enter")
    link = page.get_by_role("navigation", name="Areas").get_by_role("link", name="Gateway")
    link.focus()
    page.keyboard.press("Escape")
    link.wait_for(state="hidden")
    assert menu.get_attribute("aria-expanded") == "false"
    wait_until(lambda: menu.evaluate("one => one === document.activeElement"))
