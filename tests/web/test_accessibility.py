"""Every page with axe, by the keyboard, and on small screens: empty and filled, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from configured import with_node
from filled import crawl, fill
from web_support import ConsoleApp, check_accessibility

from karnak_plugins.web_console.pages import AREAS

if TYPE_CHECKING:
    from playwright.sync_api import Page

SMALL = {"width": 360, "height": 740}
FIRST = (*(area.path for area in AREAS), "/account", "/password")


def look_at(page: Page, addresses: list[str]) -> None:
    """Check pages one by one, in the light, and their colours in the dark; say all that is wrong in the end."""
    width = (page.viewport_size or SMALL)["width"]
    wrong: list[str] = []
    for address in addresses:
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.goto(address)
        # what is closed is for everybody, too
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        try:
            check_accessibility(page)
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            check_accessibility(page, "color-contrast")
        except AssertionError as error:
            wrong.append(f"{address}: {error}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            wrong.append(f"{address} is {wide} px wide")
    assert not wrong, "\n".join(wrong)


def test_first_pages_are_accessible_where_there_is_nothing_yet(open_page: Callable[..., Page]) -> None:
    look_at(open_page("/overview"), list(FIRST))


def test_every_page_is_accessible_and_no_wider_than_a_phone(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    fill(console_app)
    found = crawl(console_app.signed_in(), *FIRST, each=1)
    addresses = [address for address, page in found.items() if "</html>" in page]
    assert len(addresses) > 40
    look_at(open_page("/overview", viewport=SMALL), addresses)


def test_destination_is_changed_and_deleted_by_the_keyboard_alone(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    with_node(console_app)
    page = open_page("/gateway/destination?node=FORWARD&name=disk")
    press_until(page, "description")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("saved").first.wait_for()
    page.wait_for_load_state()
    press_until(page, "Delete")
    assert outlined(page)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert focused(page) == "Delete"
    page.keyboard.press("Enter")
    dialog.wait_for()
    press_until(page, "Delete", within="dialog")
    page.keyboard.press("Enter")
    page.get_by_text("disk is deleted").first.wait_for()


def test_popups_open_close_and_give_the_focus_back_by_the_keyboard(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    stow = {"name": "web", "type": "stow", "url": "https://archive.example/dicomweb"}
    with_node(console_app, stow)
    page = open_page("/gateway/destination?node=FORWARD&name=web")
    press_until(page, "Generate Authorization Header…")
    page.keyboard.press("Enter")
    popup = page.get_by_role("dialog", name="Generate Authorization Header")
    popup.wait_for()
    check_accessibility(page)
    page.keyboard.press("Escape")
    popup.wait_for(state="hidden")
    assert focused(page) == "Generate Authorization Header…"


def test_wherever_the_keyboard_goes_it_is_seen_and_it_gets_everywhere(
    open_page: Callable[..., Page], console_app: ConsoleApp
) -> None:
    with_node(console_app)
    page = open_page("/gateway/destination?node=FORWARD&name=disk")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        where = page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if where.startswith("<body"):
            break
        assert outlined(page), where
        reached.add(where)
    there = page.evaluate(
        """[...document.querySelectorAll("a, button, input, select, textarea, summary")]
        .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.type !== "hidden")
        .map(one => one.outerHTML.slice(0, 200))"""
    )
    assert set(there) <= reached


def press_until(page: Page, name: str, within: str = "body") -> None:
    """Press Tab until something with this id or text has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        inside = page.evaluate("within => !!document.activeElement.closest(within)", within)
        if inside and name in (focused(page), page.evaluate("document.activeElement.id")):
            return
    raise AssertionError(f"the keyboard does not get to {name}")


def focused(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.textContent.trim()")
    return text


def outlined(page: Page) -> bool:
    """Say whether what has the focus looks like it."""
    seen: bool = page.evaluate(
        """(() => {
            const style = getComputedStyle(document.activeElement);
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 || style.boxShadow !== "none";
        })()"""
    )
    return seen
