"""Signing in, users and tokens in Chromium: by mouse, by keyboard, on a phone, in the dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from web_support import PASSWORD, ConsoleApp, check_accessibility

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONE, TABLET, DESK = {"width": 390, "height": 844}, {"width": 820, "height": 1000}, {"width": 1440, "height": 900}
PATHS = ("/overview", "/users", "/users/1", "/account", "/password", "/nowhere")


@pytest.mark.parametrize("viewport", [PHONE, TABLET, DESK], ids=["phone", "tablet", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_no_wider_than_the_screen(
    open_page: Callable[..., Page], console_app: ConsoleApp, scheme: str, viewport: dict[str, int]
) -> None:
    console_app.with_token("read", "deliveries", name="a-program-with-quite-a-long-name")
    page = open_page("/overview", viewport=viewport, color_scheme=scheme)
    for path in PATHS:
        page.goto(path)
        check_accessibility(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
    page.context.clear_cookies()
    page.goto("/sign-in")
    check_accessibility(page)


def test_wrong_password_is_said_and_the_right_one_goes_on_to_where_one_was_going(
    page: Page, served: str, console_app: ConsoleApp
) -> None:
    console_app.add_user("admin")
    page.goto(f"{served}/users")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("The name or the password is wrong.").first.wait_for()
    check_accessibility(page)
    assert page.get_by_label("Password").evaluate("one => one === document.activeElement")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Users and tokens").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.goto(f"{served}/users")
    page.get_by_role("heading", name="Sign in").wait_for()


def test_user_is_added_changed_and_deleted(open_page: Callable[..., Page]) -> None:
    page = open_page("/users")
    page.get_by_label("Name required").fill("Sara")
    page.get_by_role("button", name="Add the user").click()
    page.get_by_role("alert").get_by_text("One thing is wrong.").first.wait_for()
    check_accessibility(page)
    page.get_by_role("checkbox", name="user looks after pseudonyms").check()
    page.get_by_role("button", name="Add the user").click()
    once = page.get_by_role("status").filter(has_text="The one-time password of sara")
    once.wait_for()
    assert re.fullmatch(r"(\w{4}-){3}\w{4}", once.locator("code").inner_text())
    check_accessibility(page)
    page.get_by_role("link", name="sara").click()
    page.get_by_label("Shown as").fill("Sara R.")
    page.get_by_label("Disabled").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("sara is changed.").first.wait_for()
    page.get_by_role("row", name=re.compile("^sara Sara R. user disabled")).wait_for()
    page.reload()
    assert page.get_by_text("sara is changed.").count() == 0
    page.get_by_role("link", name="sara").click()
    page.wait_for_load_state()
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete sara?")
    dialog.wait_for()
    check_accessibility(page)
    dialog.get_by_role("button", name="Cancel").click()
    dialog.wait_for(state="hidden")
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    page.get_by_text("sara is deleted.").first.wait_for()
    page.wait_for_load_state()
    assert page.get_by_role("link", name="sara").count() == 0


def test_question_is_asked_and_answered_by_the_keyboard(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    console_app.add_user("admin")
    sara = console_app.add_user("sara", "user")
    page = open_page(f"/users/{sara.id}")
    reset = page.get_by_role("button", name="Reset the password")
    reset.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert reset.evaluate("one => one === document.activeElement")
    page.keyboard.press("Enter")
    dialog.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("The one-time password of sara").first.wait_for()


def test_token_is_made_used_and_deleted(open_page: Callable[..., Page], served: str) -> None:
    page = open_page("/account")
    page.get_by_text("You have no tokens.").first.wait_for()
    page.get_by_label("Name required").fill("monitor")
    page.get_by_role("checkbox", name="read look at").check()
    page.get_by_role("button", name="Make the token").click()
    token = page.locator("#once-value").inner_text()
    page.wait_for_load_state()
    check_accessibility(page)
    headers = {"Authorization": f"Bearer {token}"}
    api = page.context.browser.new_context()
    try:
        assert api.request.get(f"{served}/api/v1/status", headers=headers).status == 200
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog", name="Delete the token “monitor”?").get_by_role("button", name="Delete").click()
        page.get_by_text("The token monitor is deleted.").first.wait_for()
        assert api.request.get(f"{served}/api/v1/status", headers=headers).status == 401
    finally:
        api.close()


def test_first_thing_the_keyboard_reaches_is_the_way_past_the_navigation(open_page: Callable[..., Page]) -> None:
    page = open_page("/account")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Change it"


def focused(page: Page) -> Any:
    return page.evaluate("document.activeElement.textContent.trim()")


def test_light_and_dark_are_those_of_the_system_until_one_is_chosen(open_page: Callable[..., Page]) -> None:
    page = open_page("/account", color_scheme="dark")
    dark = background(page)
    switch = page.get_by_role("button", name="Dark appearance")
    assert switch.get_attribute("aria-pressed") == "true"
    switch.click()
    light = background(page)
    assert light != dark
    assert switch.get_attribute("aria-pressed") == "false"
    page.goto("/users")
    assert background(page) == light


def background(page: Page) -> Any:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_navigation_opens_on_a_phone(open_page: Callable[..., Page]) -> None:
    page = open_page("/account", viewport=PHONE)
    link = page.get_by_role("navigation", name="Areas").get_by_role("link", name="Users and tokens")
    assert link.count() == 0
    menu = page.get_by_role("button", name="Menu")
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    check_accessibility(page)
    link.click()
    page.get_by_role("heading", name="Users and tokens").wait_for()


def test_page_whose_session_is_over_goes_to_the_sign_in_by_itself(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    page = open_page("/overview")
    # the session ends elsewhere; the next look of a live part finds out
    page.context.request.post("/sign-out", form={"csrf_token": csrf(page)})
    page.get_by_role("heading", name="Sign in").wait_for()


def csrf(page: Page) -> str:
    value = page.locator('input[name="csrf_token"]').first.get_attribute("value")
    assert value
    return value


def test_pages_work_without_scripts(open_page: Callable[..., Page]) -> None:
    page = open_page("/users", java_script_enabled=False)
    page.get_by_label("Name required").fill("sara")
    page.get_by_role("checkbox", name="user looks after pseudonyms").check()
    page.get_by_role("button", name="Add the user").click()
    page.get_by_text("The one-time password of sara").first.wait_for()
    page.get_by_role("link", name="sara").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("sara is deleted.").first.wait_for()
