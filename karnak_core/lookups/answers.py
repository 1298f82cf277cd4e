"""Answers that are used again for a while; who asks for the same at the same time waits for one request."""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Final

from karnak_core.errors import DeliveryError

#: answers kept, and their characters
MOST_ANSWERS: Final = 10_000
MOST_CHARACTERS: Final = 16 << 20
#: seconds that a failure is used again, so that a series does not ask for each of its instances
FAILURE_SECONDS: Final = 5.0

Result = str | DeliveryError


class Answers:
    """A bounded memory; for any number of threads.

    Parameters
    ----------
    keep_seconds
        How long an answer is used again.
    """

    def __init__(
        self,
        keep_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        most_answers: int = MOST_ANSWERS,
        most_characters: int = MOST_CHARACTERS,
    ) -> None:
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._most_answers = most_answers
        self._most_characters = most_characters
        self._lock = threading.Lock()
        # until when a result is good, and the result; those that were made first come first
        self._kept: OrderedDict[Hashable, tuple[float, Result]] = OrderedDict()
        self._characters = 0
        self._asked: dict[Hashable, Future[Result]] = {}

    def get(self, key: Hashable, ask: Callable[[], str]) -> str:
        """Return what ``ask`` returned for this key a while ago, or returns now; raises what it raised."""
        with self._lock:
            good_until, result = self._kept.get(key, (0.0, ""))
            if self._clock() < good_until:
                return _given(result)
            asked = self._asked.get(key)
            mine: Future[Result] = Future()
            if asked is None:
                self._asked[key] = mine
        if asked is not None:
            return _given(asked.result())
        try:
            result = _result(ask)
            self._keep(key, result)
            mine.set_result(result)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._asked[key]
        return _given(result)

    def doubt(self, key: Hashable) -> None:
        """Use an answer no longer than a failure: what was looked for is not in it."""
        with self._lock:
            if key in self._kept:
                good_until, result = self._kept[key]
                self._kept[key] = (min(good_until, self._clock() + FAILURE_SECONDS), result)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._characters = 0

    def _keep(self, key: Hashable, result: Result) -> None:
        seconds = self._keep_seconds
        if isinstance(result, DeliveryError):
            seconds = min(seconds, FAILURE_SECONDS)
        with self._lock:
            self._drop(key)
            self._kept[key] = (self._clock() + seconds, result)
            self._characters += _size(result)
            while len(self._kept) > self._most_answers or self._characters > self._most_characters:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        if key in self._kept:
            _, result = self._kept.pop(key)
            self._characters -= _size(result)


def _result(ask: Callable[[], str]) -> Result:
    try:
        return ask()
    except DeliveryError as error:
        # without the frames, and all that they hold
        return copy.copy(error)


def _given(result: Result) -> str:
    if isinstance(result, DeliveryError):
        # each thread its own: raising adds to it
        raise copy.copy(result)
    return result


def _size(result: Result) -> int:
    return len(result) if isinstance(result, str) else 0
