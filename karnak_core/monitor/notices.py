"""Studies that something became of -> what people are to be told, once for each change.

A study is looked at when it is due: nothing of it came and nothing became of it for the notification's interval. What
still waits is waited for, up to a bound; then people are told that it waits. What was told last is remembered, and
only what differs from it is told.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from karnak_core.config.afterwards import Notification, by_key
from karnak_core.config.models import Configuration, Destination
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.model import State, now_ms
from karnak_core.monitor.summaries import GIVEN_UP, Summarized, summarize
from karnak_core.spool import notices, watches
from karnak_core.spool.afterwards import AHEAD, Watcher
from karnak_core.spool.watches import Watched

logger = logging.getLogger(__name__)

#: ms beyond the interval until people are told of what has not come to rest
PATIENCE: Final = 15 * 60_000
#: the same, where they were told already that something waits
LONG_PATIENCE: Final = 4 * 3_600_000
#: seconds between two looks at what is due
PAUSE: Final = 0.5
#: seconds between two searches for studies that nothing at all became of, and how far back they reach for failures, ms
SEARCH_PAUSE: Final = 300.0
SEARCH_BACK: Final = 24 * 3_600_000
#: seconds until a study that could not be looked at is looked at again
TROUBLE_PAUSE: Final = 300.0
#: ms until a study is looked at again for a notification that is not known
UNKNOWN_PAUSE: Final = 5000
#: studies of one look
AT_ONCE: Final = 50


class StudyWatch:
    """Looks at the studies that are due. Any number of them may run, in any number of processes.

    Parameters
    ----------
    patience, long_patience
        ms; see :data:`PATIENCE` and :data:`LONG_PATIENCE`.
    """

    def __init__(
        self,
        database: Database,
        following: Following,
        *,
        patience: int = PATIENCE,
        long_patience: int = LONG_PATIENCE,
    ) -> None:
        self._database = database
        self._following = following
        self._patience = patience
        self._long_patience = long_patience
        #: studies that could not be looked at -> when that is tried again, of the monotonic clock
        self._troubles: dict[tuple[str, str, str, str], float] = {}

    def run(self, stop: Event) -> None:
        """Look at what is due until told to stop."""
        search = 0.0
        while not stop.is_set():
            looked = self.look()
            search += PAUSE
            if search >= SEARCH_PAUSE:
                search = 0.0
                self.search()
            if looked < AT_ONCE:
                stop.wait(PAUSE)

    def look(self) -> int:
        """Look once at what is due; return at how many studies."""
        with self._database.read() as connection:
            due = watches.due(connection, self._patience, self._long_patience, AT_ONCE)
        configuration = self._following.configuration
        return sum(self._look_alone(configuration, watched) for watched in due)

    def search(self) -> None:
        """Find studies that wait for long without an outcome: their destination is held, or paused."""
        now = now_ms()
        for node in self._following.configuration.forward_nodes:
            for destination in node.destinations:
                watchers = watchers_of(destination)
                if not watchers:
                    continue
                parts = [one.part for one in watchers]
                with self._database.read() as connection:
                    found = watches.unwatched(
                        connection,
                        node.ae_title,
                        destination.name,
                        parts,
                        since=now - SEARCH_BACK,
                        until=now - self._patience,
                    )
                for study in found:
                    with self._database.write() as connection:
                        watches.watch_study(
                            connection, node.ae_title, destination.name, study, watchers, now - self._patience
                        )

    def _look_alone(self, configuration: Configuration, watched: Watched) -> bool:
        """Look at a study; one that cannot be looked at keeps nobody from being told of the others."""
        key = (watched.forward_node, watched.destination, watched.part, watched.study_instance_uid)
        if self._troubles.get(key, 0.0) > time.monotonic():
            return False
        self._troubles.pop(key, None)
        try:
            return self._look_at(configuration, watched)
        except SQLAlchemyError:
            # it is not this study's
            raise
        except Exception:
            logger.exception("%s/%s: a study cannot be looked at; that is tried again", *key[:2])
            self._troubles[key] = time.monotonic() + TROUBLE_PAUSE
            with self._database.write() as connection:
                # behind the others: only so many are looked at in one go
                watches.postpone(connection, watched, now_ms() + round(TROUBLE_PAUSE * 1000))
            return True

    def _look_at(self, configuration: Configuration, watched: Watched) -> bool:
        """Look at a study; False: there was no need to."""
        destination = find_destination(configuration, watched.forward_node, watched.destination)
        notification = find_notification(destination, watched.part)
        if destination is None or notification is None:
            if self._following.is_up_to_date():
                self._drop(watched, destination)
            else:
                # it may be of a newer configuration, which this process comes to know, or cannot use
                with self._database.write() as connection:
                    watches.postpone(connection, watched, now_ms() + UNKNOWN_PAUSE)
            return True
        interval = round(notification.interval * 1000)
        deadline = watched.since + interval + (self._long_patience if _told(watched).waiting else self._patience)
        now = now_ms()
        if watched.due_at > now and deadline > now:
            return False
        with self._database.read() as connection:
            found = summarize(connection, watched.forward_node, destination, watched.study_instance_uid)
        if found is None:
            # the ledger has forgotten it, by its retention
            with self._database.write() as connection:
                watches.forget(connection, watched)
            return True
        told = _told(watched)
        if told.is_all_of(found):
            remind_at = self._remind_at(told, watched.told_at, interval)
            if remind_at is None or remind_at > now:
                with self._database.write() as connection:
                    watches.nothing_new(connection, watched, remind_at)
            else:
                self._tell(watched, told, found, now, interval)
            return True
        # by a clock that was put back since nothing is said about when it came
        received_at = found.last_received_at if found.last_received_at <= now + AHEAD else 0
        quiet_at = max(received_at, watched.changed_at) + interval
        wait_until = deadline if found.summary.waiting and quiet_at <= now else quiet_at
        if now < deadline and now < wait_until:
            with self._database.write() as connection:
                # every outcome makes it due again
                watches.postpone(connection, watched, min(wait_until, deadline))
            return True
        self._tell(watched, told, found, now, interval)
        return True

    def _remind_at(self, told: Told, told_at: int | None, interval: int) -> int | None:
        """Return when people are told once more that something waits, ms; None: there is no need to."""
        if not told.waiting or told.reminded or told_at is None:
            return None
        return told_at + interval + self._long_patience

    def _tell(self, watched: Watched, told: Told, found: Summarized, now: int, interval: int) -> None:
        becomes = told.after(found)
        recovered = told.failed and becomes.all_well(told)
        summary = replace(
            found.summary,
            number=watched.number + 1,
            recovered=recovered,
            id=secrets.token_hex(16),
            made_at=now,
        )
        document = {
            **summary.to_json(),
            notices.AFTER_FAILURE: told.failed,
            notices.ALL_WELL: becomes.all_well(told),
        }
        with self._database.write() as connection:
            stored = watches.tell(
                connection,
                watched,
                told=becomes.to_json(),
                summary=document,
                at=now,
                again_at=self._remind_at(becomes, now, interval),
            )
        if stored:
            logger.info(
                "%s/%s: a study is told about, for the %d. time: %d received, %s",
                watched.forward_node,
                watched.destination,
                summary.number,
                summary.received,
                ", ".join(f"{summary.count(state)} {state}" for state in State if summary.count(state)),
            )

    def _drop(self, watched: Watched, destination: Destination | None) -> None:
        """Look no more for a notification that is no more, but for those that have taken its place."""
        with self._database.write() as connection:
            if watches.forget(connection, watched) and destination is not None:
                watches.watch_study(
                    connection,
                    watched.forward_node,
                    watched.destination,
                    watched.study_instance_uid,
                    watchers_of(destination),
                )


def find_destination(configuration: Configuration, forward_node: str, name: str) -> Destination | None:
    """Return a destination of the configuration; None: it is no more."""
    return next(
        (
            destination
            for node in configuration.forward_nodes
            if node.ae_title == forward_node
            for destination in node.destinations
            if destination.name == name
        ),
        None,
    )


def find_notification(destination: Destination | None, part: str) -> Notification | None:
    """Return a notification of a destination by its key; None: it is no more."""
    return by_key(destination.notifications).get(part) if destination else None


def watchers_of(destination: Destination) -> list[Watcher]:
    """Return who is to be told about studies at a destination."""
    return [
        Watcher(part=part, interval=round(one.interval * 1000))
        for part, one in by_key(destination.notifications).items()
    ]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What people know of a study."""

    #: series, as received -> instances by how they stand; see :class:`Summarized`
    series: Mapping[str, Mapping[str, int]]
    #: part and subject -> state, and of a failed one why; see :class:`Summarized`
    follow_ups: Mapping[str, str]
    #: a failure of which nothing else was told yet than that it is tried again
    failed: bool = False
    #: something was still to happen
    waiting: bool = False
    #: that was told a second time, after long
    reminded: bool = False

    def is_all_of(self, found: Summarized) -> bool:
        """Say whether nothing is new."""
        return bool(self.series) and (self.series, self.follow_ups) == (found.told, found.follow_ups)

    def after(self, found: Summarized) -> Told:
        """Return what people know when they are told this."""
        waiting = found.summary.waiting
        return Told(
            series=found.told,
            follow_ups=found.follow_ups,
            failed=found.summary.failed or (self.failed and waiting),
            waiting=waiting,
            reminded=waiting and self.is_all_of(found),
        )

    def all_well(self, before: Told) -> bool:
        """Say whether nothing is failed or waits, and nobody had to give anything up for it."""
        return not self.failed and not self.waiting and self._given_up() <= before._given_up()

    def _given_up(self) -> int:
        return sum(counts.get(GIVEN_UP, 0) for counts in self.series.values()) + sum(
            state == State.DISCARDED for state in self.follow_ups.values()
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as the ledger keeps it."""
        return {
            "series": self.series,
            "follow_ups": self.follow_ups,
            "failed": self.failed,
            "waiting": self.waiting,
            "reminded": self.reminded,
        }


def _told(watched: Watched) -> Told:
    told = watched.told or {}
    return Told(
        series=told.get("series", {}),
        follow_ups=told.get("follow_ups", {}),
        failed=bool(told.get("failed")),
        waiting=bool(told.get("waiting")),
        reminded=bool(told.get("reminded")),
    )
