"""The manual in the console: every page of it, as it comes with the program."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from web_support import ConsoleApp, check_accessibility

from karnak_core.testing import wait_until
from karnak_plugins.web_console import manual
from karnak_plugins.web_console.pages import AREAS, manual_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = sorted(path.stem for path in manual.folder().glob("*.md"))


def ids(page: str) -> set[str]:
    """Return the ids of the elements of a page."""
    return set(re.findall(r' id="([^"]+)"', page))


def test_every_page_is_listed_by_its_title(console_app: ConsoleApp) -> None:
    page = console_app.signed_in("ursula", "user").get("/help").text
    assert "web-console" in NAMES
    assert sorted(re.findall(r'<dt><a href="/help/([\w-]+)">', page)) == NAMES
    assert "<dd>What the configuration file and the commands can do, for people, in a browser" in page


@pytest.mark.parametrize("name", NAMES)
def test_page_has_no_style_no_script_and_no_link_that_goes_nowhere(console_app: ConsoleApp, name: str) -> None:
    client = console_app.signed_in()
    answer = client.get(f"/help/{name}")
    assert answer.status_code == 200
    article = answer.text.partition("<article>")[2].partition("</article>")[0]
    assert not re.search(r"<script|<style|<iframe|<[^>]+ (style|on\w+)=", article)
    assert "&lt;img" not in article, "HTML of the page is shown as text"
    for href in map(html.unescape, re.findall(r'<a href="([^"]*)"', article)):
        if href.startswith(("https://", "http://")):
            continue
        path, _, fragment = href.partition("#")
        there = answer.text if not path else client.get(path).text
        assert not path or path.startswith("/help/"), href
        assert not fragment or fragment in ids(there), href
    for source in re.findall(r'<img src="([^"]*)"', article):
        picture = client.get(source)
        assert picture.status_code == 200, source
        assert picture.headers["Content-Type"].startswith("image/")
    for one in manual.pages()[name].sections:
        assert not one.id or one.id in ids(article), "the list of contents has it"


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.module)
def test_every_page_of_the_console_has_a_link_to_what_explains_it(console_app: ConsoleApp, area: object) -> None:
    path: str = area.path  # type: ignore[attr-defined]
    client = console_app.signed_in()
    place = manual_of(path)
    name, _, fragment = place.partition("#")
    assert not fragment or fragment in ids(client.get(f"/help/{name}").text)
    if path != "/help":
        assert f'<a href="/help/{place}"' in client.get(path, follow_redirects=True).text
        assert manual_of(f"{path}/something") == place


def test_what_is_searched_for_is_found_by_its_headings_first(console_app: ConsoleApp) -> None:
    client = console_app.signed_in()
    page = client.get("/help", params={"q": "identity PROVIDER"}).text
    first = re.search(r'id="found".*?<li><a href="([^"]+)"', page, re.DOTALL)
    assert first
    assert first[1] == "/help/web-console#sign-in-by-an-identity-provider"
    # by what is written below a heading
    assert "/help/operations#tls" in client.get("/help", params={"q": "bcp 195 renegotiation"}).text
    page = client.get("/help", params={"q": "<script>alert(1)</script>"}).text
    assert "The manual has nothing about" in page
    assert "<script>alert" not in page
    assert 'id="found"' not in client.get("/help", params={"q": "  "}).text


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "images/nothing.png",
        "images/..%2fweb-console.md",
        "..%2f..%2fpyproject",
        "%2e%2e/README",
        "example-plugin",
        "web-console.md",
    ],
)
def test_nothing_else_is_shown(console_app: ConsoleApp, path: str) -> None:
    assert console_app.signed_in().get(f"/help/{path}").status_code == 404
    assert console_app.client().get(f"/help/{path}").status_code in (303, 404)


def test_html_in_a_page_stays_text() -> None:
    tokens = manual.MarkdownIt("commonmark", {"html": False}).render("<img src=x onerror=alert(1)> [a](javascript:b)")
    assert "<img" not in tokens
    assert "href" not in tokens


def test_a_reader_finds_the_way_by_keyboard(open_page: Callable[..., Page]) -> None:
    page = open_page("/monitoring")
    page.get_by_role("link", name="Help on this page").click()
    page.wait_for_url("**/help/web-console#monitoring")
    heading = page.get_by_role("heading", name="Monitoring", exact=True)
    at_the_top = "one => { const top = one.getBoundingClientRect().top; return top >= 0 && top < 300 }"
    wait_until(lambda: heading.evaluate(at_the_top))
    check_accessibility(page)
    page.get_by_role("navigation", name="On this page").get_by_role("link", name="A guided tour").click()
    picture = page.get_by_role("img", name="A popup over the form of a destination")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("one => one.complete && one.naturalWidth > 100", arg=picture.element_handle())
    page.get_by_role("searchbox", name="Search the manual").fill("dicomweb")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Found in the manual").wait_for()
    wait_until(lambda: page.evaluate("document.activeElement.id") == "found")
    check_accessibility(page)
