"""Counts by destination: as much as one answer has time for, and remembered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ledger_support import deliver
from web_support import ConsoleApp

from karnak_core.model import State
from karnak_core.spool import searching
from karnak_core.spool.searching import Patience
from karnak_core.spool.tree import Counted
from karnak_core.spool.views import Filter
from karnak_plugins.web_console import counting

NOW = Filter(changed_since=1)
PACS = ("FORWARD", "pacs")


@pytest.fixture
def ask(console_app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counted]:
    """Ask for the numbers of a period; two deliveries are counted at a time."""
    monkeypatch.setattr(searching, "STEP", 2)

    def asked(words: str = "24h", seconds: float | None = 0) -> Counted:
        with console_app.console.database.read() as connection:
            return console_app.console.counting.by_state(connection, words, NOW, Patience(seconds))

    return asked


def test_what_is_begun_is_gone_on_with_and_remembered(console_app: ConsoleApp, ask: Callable[..., Counted]) -> None:
    for _ in range(3):
        deliver(console_app.console)
    found = [ask() for _ in range(3)]
    assert [one.counts[PACS][State.SENT] for one in found] == [2, 3, 3]
    assert [one.before is None for one in found] == [False, True, True]
    # another question is counted by itself
    assert ask("7d").before is not None


def test_the_numbers_of_a_moment_ago_are_better_than_a_part(
    console_app: ConsoleApp, ask: Callable[..., Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "WORTH", -1)
    for _ in range(3):
        deliver(console_app.console)
    assert ask(seconds=None).counts[PACS] == {State.SENT: 3}
    deliver(console_app.console)
    deliver(console_app.console)
    found = [ask() for _ in range(3)]
    assert [one.counts[PACS][State.SENT] for one in found] == [3, 3, 5]
    assert all(one.before is None for one in found)


def test_a_decision_has_everything_counted_anew(console_app: ConsoleApp, ask: Callable[..., Counted]) -> None:
    deliver(console_app.console)
    assert ask(seconds=None).counts[PACS] == {State.SENT: 1}
    deliver(console_app.console, state=State.FAILED)
    console_app.console.counting.forget()
    assert ask(seconds=None).counts[PACS] == {State.SENT: 1, State.FAILED: 1}


def test_only_so_many_counts_are_remembered(
    console_app: ConsoleApp, ask: Callable[..., Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST", 2)
    for _ in range(3):
        deliver(console_app.console)
    assert ask("a").before is not None
    for words in ("b", "c"):
        ask(words)
    # forgotten, so it begins anew
    assert ask("a").counts[PACS] == {State.SENT: 2}
    assert ask("a").before is None
