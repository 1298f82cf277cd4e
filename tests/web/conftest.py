"""Fixtures for tests of the console: the application by itself, a gateway that runs, a browser."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from karnak_core.testing import missing, run_gateway
from karnak_core.testing.gateway import RunningGateway

sys.path.insert(0, str(Path(__file__).parent))

from web_support import PASSWORD, ConsoleApp, make_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
#: milliseconds
PATIENCE = 60_000


@pytest.fixture
def make_console_app(tmp_path: Path) -> Iterator[Callable[..., ConsoleApp]]:
    """Make applications; the keyword ``config`` is the section of the configuration."""
    made: list[ConsoleApp] = []

    def make(**more: Any) -> ConsoleApp:
        data = tmp_path / f"data{len(made)}"
        made.append(make_app(data, **more))
        return made[-1]

    yield make
    for one in made:
        one.console.wake.close()
        one.console.database.close()


@pytest.fixture
def console_app(make_console_app: Callable[..., ConsoleApp]) -> ConsoleApp:
    """The application on an empty data directory, with the default configuration."""
    return make_console_app()


@pytest.fixture
def served(console_app: ConsoleApp) -> Iterator[str]:
    """The address at which a server of this process answers with ``console_app``: faster than a whole gateway."""
    with serving(console_app) as url:
        yield url


@contextmanager
def serving(console_app: ConsoleApp, **more: Any) -> Iterator[str]:
    """Serve an application at a free port of the loopback; give the address."""
    settings = uvicorn.Config(console_app.app, log_config=None, access_log=False, lifespan="off", ws="none", **more)
    server = uvicorn.Server(settings)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@dataclass(frozen=True, kw_only=True)
class RunningConsole:
    """A gateway that runs, with the console."""

    gateway: RunningGateway
    #: of the console, without a slash at the end
    url: str
    #: of the user admin, as it was printed
    one_time_password: str


@pytest.fixture
def make_running_console(tmp_path: Path) -> Iterator[Callable[..., RunningConsole]]:
    """Run gateways with the console: given a configuration, without ``plugins.web_console``; they end with the test."""
    entered: list[Any] = []

    def make(configuration: dict[str, Any] | None = None, **more: Any) -> RunningConsole:
        whole = {"forward_nodes": [], **(configuration or {})}
        whole["plugins"] = {"web_console": {"port": 0}, **whole.get("plugins", {})}
        context = run_gateway(whole, tmp_path / f"gateway{len(entered)}", **more)
        gateway = context.__enter__()
        entered.append(context)
        assert gateway.web, f"the console does not listen; {gateway.tail()}"
        return RunningConsole(gateway=gateway, url=gateway.web, one_time_password=printed_password(gateway))

    yield make
    for context in reversed(entered):
        context.__exit__(None, None, None)


@pytest.fixture
def running_console(make_running_console: Callable[..., RunningConsole]) -> RunningConsole:
    """A gateway that runs, with the console on a free port and nothing else configured."""
    return make_running_console()


def printed_password(gateway: RunningGateway) -> str:
    """Return the one-time password that the first start has printed."""
    found = re.search(r"web console: user admin, one-time password (\S+)", gateway.log.read_text())
    assert found, gateway.tail()
    return found[1]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not Path(CHROMIUM).exists() and shutil.which("chromium") is None:
        missing("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture
def make_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Make pages, each in a browser of its own that knows nothing; keywords as those of ``browser.new_context``.

    What a page's console or its policy complains of fails the test at its end.
    """
    contexts: list[Any] = []
    complaints: list[str] = []

    def make(**settings: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **settings})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def _is_complaint(said: Any) -> bool:
    # an answer of 4xx to a form is meant; anything else that is red is not
    # nor is a live part whose gateway has ended before the page
    meant = ("Failed to load resource", "Failed to fetch")
    return said.type in ("error", "warning") and not any(words in said.text for words in meant)


@pytest.fixture
def page(make_page: Callable[..., Page]) -> Page:
    """A page in a browser that knows nothing."""
    return make_page()


@pytest.fixture
def signed_in_page(page: Page, running_console: RunningConsole) -> Page:
    """A page of the running console, with admin signed in and the password changed: at the first page."""
    sign_in(page, running_console)
    return page


@pytest.fixture
def open_page(served: str, console_app: ConsoleApp, make_page: Callable[..., Page]) -> Callable[..., Page]:
    """Open pages of ``console_app``: given a path, a user's name (admin) and roles, who is added where missing.

    Keywords as those of ``browser.new_context``.
    """

    def open(path: str, name: str = "admin", *roles: str, **settings: Any) -> Page:
        page = make_page(base_url=served, **settings)
        cookies = console_app.signed_in(name, *roles).cookies
        page.context.add_cookies([{"name": key, "value": value, "url": served} for key, value in cookies.items()])
        page.goto(path)
        return page

    return open


def sign_in(page: Page, console: RunningConsole) -> None:
    """Sign in for the first time, as people do."""
    page.goto(console.url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(console.one_time_password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("The password you have").fill(console.one_time_password)
    page.get_by_label("New password required", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change it").click()
    page.get_by_role("heading", name="Overview").wait_for()


@pytest.fixture
def make_console_beside() -> Iterator[Callable[[RunningConsole], Any]]:
    """Open, in this process, what a console that runs works on: to look and to change beside it."""
    from web_support import make_console

    made: list[Any] = []

    def make(running: RunningConsole) -> Any:
        made.append(make_console(running.gateway.data))
        return made[-1]

    yield make
    for one in made:
        one.wake.close()
        one.database.close()
