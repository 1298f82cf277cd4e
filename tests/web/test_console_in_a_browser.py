"""The console in Chromium, on a gateway that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from web_support import check_accessibility

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_first_sign_in_asks_for_another_password_and_ends_at_the_overview(signed_in_page: Page) -> None:
    page = signed_in_page
    page.get_by_text("Your password is changed.").first.wait_for()
    check_accessibility(page)
