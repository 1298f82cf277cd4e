"""What only a browser shows of the configuration: popups, fields that come and go, rows, the width of pages."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from configured import STOW, with_node, with_project
from web_support import ConsoleApp, check_accessibility

if TYPE_CHECKING:
    from playwright.sync_api import Page

AT = "/gateway/destination?node=FORWARD&name=web"


@pytest.fixture
def open_console(console_app: ConsoleApp, make_page: Callable[..., Page]) -> Iterator[Callable[..., Page]]:
    """Serve the console without a gateway, and return a page where admin is signed in."""
    with socket.socket() as listening, ThreadPoolExecutor(1) as pool:
        listening.bind(("127.0.0.1", 0))
        # a page may be asked for before the server is there
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(console_app.app, log_level="warning", lifespan="off"))
        running = pool.submit(server.run, sockets=[listening])

        def open_it(*, with_a_project: bool = False, **settings: Any) -> Page:
            (with_project if with_a_project else with_node)(console_app, STOW)
            page = make_page(base_url=url, **settings)
            cookies: list[Any] = [
                {"name": one.name, "value": one.value, "url": url} for one in console_app.signed_in().cookies.jar
            ]
            page.context.add_cookies(cookies)
            return page

        try:
            yield open_it
        finally:
            server.should_exit = True
            running.result(timeout=60)


def test_popup_comes_where_no_project_exists_and_both_of_its_ways_work(open_console: Callable[..., Page]) -> None:
    page = open_console()
    page.goto(AT)
    page.locator("#cleaning").click()
    box = page.get_by_label("Activate de-identification")
    box.click()
    popup = page.get_by_role("dialog", name="There is no project yet")
    popup.wait_for()
    check_accessibility(page)
    popup.get_by_role("button", name="Continue").click()
    popup.wait_for(state="hidden")
    assert not box.is_checked()
    box.click()
    popup.get_by_role("button", name="Create a project").click()
    page.get_by_role("heading", name="Projects").wait_for()


def test_deidentification_is_configured_by_clicks_and_shows_the_keys_of_what_is_chosen(
    open_console: Callable[..., Page],
) -> None:
    page = open_console(with_a_project=True)
    page.goto(AT)
    page.get_by_role("heading", name="Tag morphing").click()
    page.get_by_label("Activate tag morphing").check()
    page.locator("#cleaning").click()
    page.get_by_label("Activate de-identification").check()
    assert not page.get_by_label("Activate tag morphing").is_checked()
    clean = page.locator("#de_identification-fields")
    clean.get_by_label("Project").select_option("STUDY")
    assert not page.locator("[id='de_identification.pseudonym~tag.tag']").is_visible()
    clean.get_by_label("Pseudonym type").select_option("tag")
    page.locator("[id='de_identification.pseudonym~tag.tag']").fill("(0010,0020)")
    check_accessibility(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").first.wait_for()
    assert page.get_by_label("Activate de-identification").is_checked()
    assert page.locator("[id='de_identification.pseudonym~tag.tag']").input_value() == "(0010,0020)"


def test_transcoding_of_uncompressed_only_follows_the_syntax(open_console: Callable[..., Page]) -> None:
    page = open_console()
    page.goto(AT)
    page.get_by_role("heading", name="Transfer syntax").click()
    box, syntax = page.get_by_label("Transcode only uncompressed"), page.get_by_label("Transfer syntax", exact=True)
    assert box.is_disabled()
    syntax.select_option("JPEG2000Lossless")
    assert box.is_enabled()
    assert box.is_checked()
    syntax.select_option("ExplicitVRLittleEndian")
    assert box.is_disabled()
    assert not box.is_checked()


def test_authorization_popup_puts_the_header_into_the_field_once(open_console: Callable[..., Page]) -> None:
    page = open_console()
    page.goto(AT)
    page.get_by_label("Headers").fill("<key>X-Tenant</key>\n<value>7</value>")
    page.get_by_role("button", name="Generate Authorization Header").click()
    popup = page.get_by_role("dialog", name="Generate Authorization Header")
    popup.get_by_label("User name").fill("user")
    popup.get_by_label("Password").fill("password")
    check_accessibility(page)
    popup.get_by_role("button", name="Generate").click()
    popup.wait_for(state="hidden")
    assert (
        page.get_by_label("Headers")
        .input_value()
        .endswith("<key>Authorization</key>\n<value>Basic dXNlcjpwYXNzd29yZA==</value>")
    )
    page.get_by_role("button", name="Generate Authorization Header").click()
    popup.get_by_label("Authorization type").select_option("oauth2")
    popup.get_by_label("Token").fill("1234567890")
    popup.get_by_role("button", name="Generate").click()
    popup.get_by_text("the headers already have").first.wait_for()
    popup.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").first.wait_for()
    assert "********" in page.get_by_label("Headers").input_value()


def test_albums_and_notifications_are_rows_that_are_added_and_removed(open_console: Callable[..., Page]) -> None:
    page = open_console()
    page.goto(AT)
    page.get_by_role("heading", name="Kheops albums").click()
    add = page.locator("#follow_ups").get_by_role("button", name="Add:")
    for number in range(2):
        add.click()
        page.locator(f"[id='follow_ups[{number}].api_url']").fill(f"https://k{number}.example/api")
        page.locator(f"[id='follow_ups[{number}].destination_token']").fill(f"token-{number}")
        page.locator(f"[id='follow_ups[{number}].source_token']").fill("source")
    page.get_by_role("heading", name="Notifications").click()
    page.locator("#notifications").get_by_role("button", name="Add:").click()
    assert page.get_by_label("Subject pattern").input_value() == "[Karnak Notification] %s %.30s"
    assert page.locator("[id='notifications[0].interval']").input_value() == "45 s"
    page.get_by_label("Recipients").fill("somebody@example.org")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").first.wait_for()
    assert page.locator("[id='follow_ups[1].api_url']").input_value() == "https://k1.example/api"
    page.wait_for_load_state()
    check_accessibility(page)
    page.locator("#follow_ups").get_by_role("button", name="Remove").first.click()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").first.wait_for()
    assert page.locator("[id='follow_ups[0].api_url']").input_value() == "https://k1.example/api"
    page.wait_for_load_state()
    assert page.locator("[id='follow_ups[1].api_url']").count() == 0


def test_sop_classes_are_found_by_name(open_console: Callable[..., Page]) -> None:
    page = open_console()
    page.goto(AT)
    page.get_by_role("heading", name="Authorized SOPs").click()
    page.get_by_label("Find a SOP class").fill("CT Image Storage")
    page.get_by_label("Find a SOP class").press("Enter")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").first.wait_for()
    assert page.get_by_label("Authorized SOP classes").input_value().strip() == "CT Image Storage"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(open_console: Callable[..., Page], scheme: str) -> None:
    page = open_console(with_a_project=True, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    for path in (
        "/gateway", "/gateway/node?node=FORWARD", AT, "/gateway/destination/add?node=FORWARD&type=dicom",
        "/profiles", "/profiles/profile?name=research", "/projects", "/projects/project?name=STUDY",
        "/authenticators", "/authenticators/add?type=oauth2", "/settings", "/settings/section?name=listener",
        "/settings/section?name=plugins.email_notify", "/history", "/history/version?number=1",
    ):  # fmt: skip
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        if scheme == "dark":
            # once is enough: colours are what differs, and pairs of dark ones are the closer ones
            check_accessibility(page)
