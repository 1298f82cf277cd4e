"""Rows of what people are to be told -> notifiers, with pauses for those that do not work.

A row is given up by its process dying, never lost: it is then told by another one, maybe once more than needed.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import closing
from dataclasses import replace
from threading import Event, Thread
from typing import Any, Final, Protocol

from karnak_core.config.afterwards import Notification, by_key
from karnak_core.config.models import Configuration, Destination
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext, now_ms
from karnak_core.monitor.notices import find_destination, find_notification
from karnak_core.monitor.summaries import summarize
from karnak_core.spool import notices
from karnak_core.spool.notices import Notice, Part
from karnak_core.summary import StudySummary

logger = logging.getLogger(__name__)

#: seconds between two looks at what is due
PAUSE: Final = 0.5
#: seconds that what is under way gets at the end
END_SECONDS: Final = 5.0
#: rows claimed at once; of one notification, one is told after the other
AT_ONCE: Final = 10
#: ms until what is for a notification that is not known is looked at again
UNKNOWN_PAUSE: Final = 5000
#: told at once by one notification after a quiet time, and seconds between two after that
BURST, PACE = 20, 1.0


class OpenContexts(Protocol):
    """Says what parts are told when they are opened."""

    def of(
        self, configuration: Configuration, forward_node: str, destination: str, kind: Kind[Any, Any] | None = None
    ) -> OpenContext:
        """Return what a part of a destination is told."""
        ...


class Teller:
    """Tells people what is due; each notification of a destination in a thread of its own: none holds others up."""

    def __init__(self, database: Database, following: Following, contexts: OpenContexts, owner: str) -> None:
        self._database = database
        self._following = following
        self._contexts = contexts
        self._owner = owner
        self._pauses: dict[Part, _Pause] = {}
        self._pace: dict[Part, _Pace] = {}
        #: why something could not be told last, until something is
        self._failures: dict[Part, str] = {}
        #: what threads are at; they end with their notification's last
        self._under_way: dict[Part, list[int]] = {}
        self._ended = Event()

    def run(self, stop: Event) -> None:
        """Tell what is due until told to stop; then wait for what is under way, but not for what hangs."""
        version = -1
        threads: list[Thread] = []
        while not stop.is_set():
            if version != self._following.version:
                version = self._following.version
                self._follow()
            self._ended.clear()
            begun = self._begin(stop)
            threads = [thread for thread in threads if thread.is_alive()] + [one.thread for one in begun]
            if not begun:
                # a stop ends it, too: nothing else waits longer than this
                self._ended.wait(PAUSE) if threads else stop.wait(PAUSE)
        deadline = time.monotonic() + END_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def tell(self, stop: Event) -> int:
        """Tell once what is due, and wait until it is told; return how much was tried."""
        begun = self._begin(stop)
        for one in begun:
            one.thread.join()
        return sum(one.tried for one in begun)

    def _begin(self, stop: Event) -> list[_Begun]:
        """Begin to tell what is due."""
        at_it = dict(self._under_way)
        ids = [number for some in at_it.values() for number in some]
        with self._database.read() as connection:
            if not notices.anything_due(connection, self._owner, ids):
                return []
        now = time.monotonic()
        paused = [part for part, pause in list(self._pauses.items()) if pause.until > now]
        paused += [part for part, pace in list(self._pace.items()) if pace.wait(now) > 0]
        with self._database.write() as connection:
            if notices.release_lost(connection, self._owner, ids):
                logger.info("it could not be noted whether people were told about a study; they are told again")
            claimed = notices.claim(connection, self._owner, AT_ONCE, paused, at_it)
        groups: dict[Part, list[Notice]] = {}
        for notice in claimed:
            groups.setdefault(notice.of, []).append(notice)
        begun = []
        for part, some in groups.items():
            self._under_way[part] = [notice.id for notice in some]
            one = _Begun()
            one.thread = Thread(target=self._tell_some, args=(part, some, one, stop), name="/".join(part), daemon=True)
            try:
                one.thread.start()
            except RuntimeError:
                # too many threads, which may be over soon; what was claimed is released by the next look
                self._under_way.pop(part)
                logger.error("%s/%s: people cannot be told yet: no thread can be started", *part[:2])
            else:
                begun.append(one)
        return begun

    def _tell_some(self, part: Part, claimed: list[Notice], begun: _Begun, stop: Event) -> None:
        """Tell what was claimed for a notification; what is not tried is given back."""
        left = list(claimed)
        try:
            try:
                for notice in claimed:
                    if stop.is_set():
                        break
                    if notice.asked or self._may_go(part):
                        left.remove(notice)
                        self._tell_one(notice)
                        begun.tried += 1
            finally:
                with self._database.write(durable=False) as connection:
                    notices.give_back(connection, left, self._owner)
        except Exception:
            # what it had is released by the next look
            logger.exception("%s/%s: people cannot be told; that is tried again", *part[:2])
            stop.wait(PAUSE)
        finally:
            self._under_way.pop(part, None)
            self._ended.set()

    def _may_go(self, part: Part) -> bool:
        now = time.monotonic()
        pause = self._pauses.get(part)
        return (pause is None or pause.until <= now) and self._pace.setdefault(part, _Pace()).take(now)

    def _tell_one(self, notice: Notice) -> None:
        configuration = self._following.configuration
        destination = find_destination(configuration, notice.forward_node, notice.destination)
        notification = find_notification(destination, notice.part)
        if destination is None or notification is None:
            # removed; or of a newer configuration, which this process comes to know, or cannot use
            with self._database.write() as connection:
                notices.give_back(connection, [notice], self._owner, now_ms() + UNKNOWN_PAUSE)
            self._follow()
            return
        try:
            to = self._notify(configuration, destination, notification, notice)
        except Permanent as error:
            self._failed(notice, error.reason)
        except DeliveryError as error:
            self._later(notice, notification, error)
        except Exception as error:
            logger.exception("notification %s of %s/%s failed", notification.type, *notice.of[:2])
            self._later(notice, notification, error)
        else:
            self._pauses.pop(notice.of, None)
            self._failures.pop(notice.of, None)
            with self._database.write() as connection:
                notices.sent(connection, notice, self._owner, to)
            logger.info("%s/%s: told of a study by %s: %s", *notice.of[:2], notification.type, to)

    def _notify(
        self, configuration: Configuration, destination: Destination, notification: Notification, notice: Notice
    ) -> str:
        summary = self._as_it_may_be_told(destination, notice)
        kind = self._following.plugins.notifiers[notification.type]
        context = self._contexts.of(configuration, notice.forward_node, destination.name, kind)
        with closing(kind.open(notification.options, context)) as notifier:
            return notifier.notify(summary)

    def _as_it_may_be_told(self, destination: Destination, notice: Notice) -> StudySummary:
        """Return the summary, made anew where the destination de-identifies and did not when it was made."""
        summary = StudySummary.from_json(notice.summary)
        if summary.deidentified or destination.de_identification is None:
            return summary
        with self._database.read() as connection:
            found = summarize(connection, notice.forward_node, destination, notice.study_instance_uid)
        if found is None:
            raise Permanent("it was made before the destination de-identified, and its study is forgotten")
        return replace(
            found.summary,
            number=summary.number,
            recovered=summary.recovered and not found.summary.failed and not found.summary.waiting,
            id=summary.id,
            made_at=summary.made_at,
        )

    def _failed(self, notice: Notice, reason: str) -> None:
        with self._database.write() as connection:
            notices.failed(connection, notice, self._owner, reason)
        # what fails alike is not said again for each study; `karnak status` counts them
        level = logging.INFO if self._failures.get(notice.of) == reason else logging.ERROR
        self._failures[notice.of] = reason
        logger.log(level, "%s/%s: nobody was told of a study: %s", *notice.of[:2], reason)

    def _later(self, notice: Notice, notification: Notification, error: Exception) -> None:
        known = isinstance(error, DeliveryError)
        reason = error.reason if isinstance(error, DeliveryError) else f"unexpected {type(error).__name__}; see the log"
        if now_ms() - notice.created_at > notification.retry_for * 1000:
            self._failed(notice, f"given up: {reason}")
            return
        wait = back_off(notice.attempts + 1, notification.retry_first, notification.retry_longest)
        if isinstance(error, Retryable) and error.retry_after is not None:
            wait = min(max(wait, error.retry_after), notification.retry_longest)
        if known:
            # the others have to pass the same door: one of them tries it when the time has come
            pause = self._pauses.setdefault(notice.of, _Pause())
            pause.failures += 1
            pause.until = time.monotonic() + min(
                wait, back_off(pause.failures, notification.retry_first, notification.retry_longest)
            )
            if pause.failures == 1:
                level = logging.ERROR if isinstance(error, Misconfigured) else logging.WARNING
                logger.log(level, "%s/%s: people cannot be told, which is tried again: %s", *notice.of[:2], reason)
        remember = error.remember if isinstance(error, Retryable) else None
        with self._database.write() as connection:
            notices.again(connection, notice, self._owner, reason, now_ms() + round(wait * 1000), remember)

    def _follow(self) -> None:
        """Have what waits for a notification that is no more told by its successor, or else drop it."""
        with self._database.read() as connection:
            waiting = notices.waiting_parts(connection)
        for part in waiting:
            destination = find_destination(self._following.configuration, *part[:2])
            if find_notification(destination, part[2]) is not None or not self._following.is_up_to_date():
                continue
            successor = _successor(destination, part[2])
            with self._database.write() as connection:
                if successor is not None:
                    notices.rename(connection, part, successor)
                elif dropped := notices.drop(connection, part):
                    logger.info("%s/%s: a notification was removed; %d are not told", *part[:2], dropped)
        self._pauses.clear()


def back_off(attempt: int, first: float, longest: float) -> float:
    """Return how many seconds to wait after the ``attempt``-th attempt (1, 2, …): exponential, half of it jitter."""
    return float(min(longest, first * 2.0 ** min(attempt - 1, 32)) * random.uniform(0.5, 1.0))


def _successor(destination: Destination | None, part: str) -> str | None:
    """Return what has taken a notification's place: its keys were changed, and what it is known by is made of them."""
    if destination is None:
        return None
    every = by_key(destination.notifications)
    same = [key for key, one in every.items() if not one.name and part.startswith(f"{one.type}-")]
    return same[0] if len(same) == 1 else None


class _Begun:
    """A thread that tells, and how much it tried."""

    thread: Thread

    def __init__(self) -> None:
        self.tried = 0


class _Pause:
    """A notification that does not work."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0


class _Pace:
    """How much a notification may still tell: some at once, then one after the other."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = time.monotonic()

    def wait(self, now: float) -> float:
        """Return the seconds until it may."""
        self._refill(now)
        return max(0.0, (1.0 - self._left) * PACE)

    def take(self, now: float) -> bool:
        """Say whether it may, now, and count it."""
        self._refill(now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _refill(self, now: float) -> None:
        self._left = min(float(BURST), self._left + (now - self._at) / PACE)
        self._at = now
