"""What is remembered of answers is bounded, and one who asks for many fails for all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from karnak_core.lookups.answers import Answers


class Asking:
    """Counts what is asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, key: str) -> str:
        return self.answers.get(key, lambda: self._answer(key))

    def _answer(self, key: str) -> str:
        self.asked.append(key)
        return key


def test_the_oldest_answers_are_forgotten_first() -> None:
    ask = Asking(Answers(900, most_answers=2))
    for key in ("A", "B", "C", "B", "C", "A"):
        assert ask(key) == key
    assert ask.asked == ["A", "B", "C", "A"]


def test_answers_are_forgotten_where_they_are_long() -> None:
    ask = Asking(Answers(900, most_characters=10))
    for key in ("four", "more", "four", "eleven", "four", "longer than all", "eleven"):
        assert ask(key) == key
    assert ask.asked == ["four", "more", "eleven", "four", "longer than all", "eleven"]


def test_nothing_is_remembered_where_nothing_is_to_be_kept() -> None:
    ask = Asking(Answers(0))
    assert [ask("A"), ask("A")] == ["A", "A"]
    assert ask.asked == ["A", "A"]


def test_an_unexpected_error_reaches_all_who_wait_and_the_next_one_asks_again() -> None:
    answers = Answers(900)
    asked, go = threading.Event(), threading.Event()

    def break_down() -> str:
        asked.set()
        go.wait(60)
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(answers.get, "A", break_down)
        assert asked.wait(60)
        second = threads.submit(answers.get, "A", break_down)
        go.set()
        for one in (first, second):
            with pytest.raises(ZeroDivisionError):
                one.result(20)
    assert answers.get("A", lambda: "better") == "better"
