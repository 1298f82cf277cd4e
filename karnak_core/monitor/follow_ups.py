"""Rows of what follows deliveries -> follow-ups, each with threads of its own.

A follow-up of a destination does several subjects at once, and waits for no other one: one that hangs holds up itself
only. What is under way when the process dies is given back, and done again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from karnak_core.config.afterwards import FollowUp as Configured
from karnak_core.config.afterwards import by_key
from karnak_core.config.models import Configuration, Destination
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.model import now_ms
from karnak_core.monitor.follow_up_part import FollowUpPart
from karnak_core.monitor.telling import OpenContexts, back_off
from karnak_core.original import LazyHeader
from karnak_core.spool import expiring, follow_ups
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.follow_ups import FollowUpRow, Part

logger = logging.getLogger(__name__)

#: seconds between two looks at what is due, where nothing rings
LOOK_AGAIN: Final = 1.0
#: pauses between two looks, as long as a look takes
PAUSES: Final = 4
#: seconds that what is under way gets at the end
END_SECONDS: Final = 5.0
#: seconds until what cannot be stored is stored again
STORE_AGAIN: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """How an attempt ended."""

    #: what was done; None: nothing, and nothing is to be done
    words: str | None = None
    error: DeliveryError | None = None


class FollowUps:
    """Does what is due until told to stop. Any number of them may run, in any number of processes."""

    def __init__(
        self,
        database: Database,
        folder: SpoolFolder,
        following: Following,
        contexts: OpenContexts,
        bell: Doorbell,
        owner: str,
    ) -> None:
        self._database = database
        self._folder = folder
        self._following = following
        self._contexts = contexts
        self._bell = bell
        self._owner = owner
        self._version: int | None = None
        self._parts: dict[Part, FollowUpPart] = {}
        #: which this version of the configuration was the first to have; None: not known, after a start
        self._new: set[Part] | None = None
        #: with other settings since, and what waits for them not yet woken
        self._changed: set[Part] = set()
        #: held while leasing: what we have leased is in ``_under_way``, or nobody knows
        self._leasing = threading.Lock()
        self._under_way: set[int] = set()
        self._doubt = False
        self._threads: set[threading.Thread] = set()

    def run(self, stop: threading.Event) -> None:
        """Do what is due; then wait for what is under way, but not for what hangs: it is given back, and done again."""
        while not stop.is_set():
            heard = self._bell.heard()
            began = time.monotonic()
            try:
                wait = self.look(stop)
            except SQLAlchemyError as error:
                logger.error("the ledger cannot be used: %s", type(error).__name__)
                wait = LOOK_AGAIN
            # with very much that waits a look takes its time: it rings more often than we look
            stop.wait(min(LOOK_AGAIN, PAUSES * (time.monotonic() - began)))
            self._bell.wait(heard, wait)
        deadline = time.monotonic() + END_SECONDS
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        for part in self._parts.values():
            part.retire()
        self._parts, self._version = {}, None

    def look(self, stop: threading.Event) -> float:
        """Begin what is due; return for how many seconds there is nothing more to begin."""
        self._follow()
        self._wake_changed()
        if self._doubt:
            self._give_back_unknown()
        with self._database.read() as connection:
            waiting = follow_ups.waiting(connection)
        now = now_ms()
        wait = LOOK_AGAIN
        for some in waiting:
            part = self._parts.get(some.of)
            if part is None:
                self._orphaned(some.of)
                if self._following.version != self._version:
                    return 0.0
            elif not part.held:
                for _ in range(part.take(some.due)):
                    self._begin(part, stop)
                if some.first > now:
                    wait = min(wait, (some.first - now) / 1000)
        return wait

    def _begin(self, part: FollowUpPart, stop: threading.Event) -> None:
        thread = threading.Thread(target=self._work, args=(part, stop), name="/".join(part.key), daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            # too many threads, which may be over soon
            self._threads.discard(thread)
            part.leave()
            logger.error("follow-up %s of %s/%s has to wait: no thread can be started", part.key[2], *part.key[:2])

    def _work(self, part: FollowUpPart, stop: threading.Event) -> None:
        """Do one after the other, until nothing is due."""
        worked = False
        try:
            row = self._claim(part)
            while row is not None:
                worked = True
                try:
                    result = self._do(part, row)
                finally:
                    if row.held is not None:
                        row.held.close()
                row = self._store(part, row, result, stop)
        except Exception:
            logger.exception("follow-up %s of %s/%s failed; goes on", part.key[2], *part.key[:2])
            stop.wait(STORE_AGAIN)
        finally:
            part.leave()
            self._threads.discard(threading.current_thread())
            if worked:
                self._bell.ring()

    def _claim(self, part: FollowUpPart) -> FollowUpRow | None:
        with self._leasing:
            try:
                with self._database.write(durable=False) as connection:
                    rows = follow_ups.claim(connection, self._folder, part.key, self._owner)
            except SQLAlchemyError:
                # perhaps it was committed: then we have leased what we do not know
                self._doubt = True
                raise
            self._under_way.update(row.id for row in rows)
        return rows[0] if rows else None

    def _give_back_unknown(self) -> None:
        with self._leasing:
            with self._database.write() as connection:
                follow_ups.give_back_all_but(connection, self._owner, self._under_way)
            self._doubt = False

    def _do(self, part: FollowUpPart, row: FollowUpRow) -> Result:
        try:
            follow_up = part.opened()
            with LazyHeader(row.original) as header:
                try:
                    original = header.dataset
                except FileNotFoundError as error:
                    raise Permanent("the spool file is missing") from error
                return Result(words=follow_up.after_send(row.outgoing, original))
        except DeliveryError as error:
            return Result(error=error)
        except Exception as error:
            logger.exception("follow-up %s of %s/%s failed", part.key[2], *part.key[:2])
            return Result(error=Retryable(f"unexpected {type(error).__name__}; see the log"))

    def _store(self, part: FollowUpPart, row: FollowUpRow, result: Result, stop: threading.Event) -> FollowUpRow | None:
        """Store how it ended, however long that takes: while this process lives, nobody else does. Return the next."""
        recovered = part.note(result.error)
        while True:
            try:
                removable = self._settle(part, row, result, recovered=recovered)
                break
            except SQLAlchemyError as error:
                logger.error("the ledger cannot be used: %s", type(error).__name__)
                if stop.wait(STORE_AGAIN):
                    # given back when the process ends, and done again
                    return None
        with self._leasing:
            self._under_way.discard(row.id)
        self._folder.remove(removable)
        return None if stop.is_set() or not part.may_go_on() else self._claim(part)

    def _settle(self, part: FollowUpPart, row: FollowUpRow, result: Result, *, recovered: bool) -> list[str]:
        removable: list[str] = []
        news = part.news()
        with self._database.write() as connection:
            match result.error:
                case None:
                    removable = (
                        follow_ups.forget(connection, row, self._owner)
                        if result.words is None
                        else follow_ups.done(connection, row, self._owner, result.words)
                    )
                case Misconfigured() as error:
                    wait = 0.0 if part.retired else part.longest * random.uniform(0.5, 1.0)
                    follow_ups.again(connection, row, self._owner, error.reason, _in(wait), counts=False)
                case Retryable() as error if now_ms() - row.since <= part.give_up_after * 1000:
                    wait = back_off(row.attempts + 1, part.first, part.longest)
                    if error.retry_after is not None:
                        wait = min(max(wait, error.retry_after), part.longest)
                    # other settings may help
                    wait = 0.0 if part.retired else wait
                    follow_ups.again(connection, row, self._owner, error.reason, _in(wait), counts=True)
                case error:
                    given_up = "given up: " if isinstance(error, Retryable) else ""
                    if follow_ups.failed(connection, row, self._owner, f"{given_up}{error.reason}"):
                        logger.error("follow-up %s of %s/%s failed: %s", part.key[2], *part.key[:2], error.reason)
            if recovered:
                follow_ups.due_now(connection, part.key)
            expiring.keep(connection, part.key, part.configured.secrets_digest, news)
        part.keeps(news)
        return removable

    def _follow(self) -> None:
        """Open, replace and close, so that it fits the configuration."""
        version, configuration = self._following.current
        if version == self._version:
            return
        parts: dict[Part, FollowUpPart] = {}
        for node in configuration.forward_nodes:
            for destination in node.destinations:
                for key, configured in by_key(destination.follow_ups).items():
                    part = self._make(configuration, (node.ae_title, destination.name, key), destination, configured)
                    parts[part.key] = part
        for of, before in self._parts.items():
            after = parts.get(of)
            if after is not None and after.same_as(before):
                # with its connections, and what is under way
                before.held = after.held
                parts[of] = before
            else:
                before.retire()
                self._changed.add(of)
        self._new = None if self._version is None else parts.keys() - self._parts.keys()
        self._parts, self._version = parts, version

    def _wake_changed(self) -> None:
        """Have tried what waits for follow-ups with other settings: what kept it from being done may be over."""
        for of in list(self._changed):
            with self._database.write() as connection:
                follow_ups.due_now(connection, of)
            self._changed.discard(of)

    def _make(
        self, configuration: Configuration, key: Part, destination: Destination, configured: Configured
    ) -> FollowUpPart:
        kind = self._following.plugins.follow_ups[configured.type]
        return FollowUpPart(
            key,
            configured=configured,
            kind=kind,
            context=self._contexts.of(configuration, key[0], key[1], kind),
            destination=destination,
            used=(configuration.authenticators, configuration.services),
        )

    def _orphaned(self, of: Part) -> None:
        """Have what waits for a follow-up that is no more done by its successor, or else fail it."""
        if not self._following.is_up_to_date() or self._following.version != self._version:
            # it may be a new one
            return
        successors = [
            part
            for part in self._parts.values()
            if part.key[:2] == of[:2]
            and not part.configured.name
            and of[2].startswith(f"{part.configured.type}-")
            # one that was there beside it is not what has become of it
            and (self._new is None or part.key in self._new)
        ]
        # its keys were changed, and so its key, which is made of them
        successor = successors[0].key[2] if len(successors) == 1 else None
        total = 0
        while True:
            removable: list[str] = []
            with self._database.write() as connection:
                if successor is not None:
                    count, removable = follow_ups.rename(connection, of, successor)
                else:
                    count = follow_ups.fail_removed(connection, of)
            self._folder.remove(removable)
            total += count
            if count < follow_ups.CHUNK:
                break
        words = "failed" if successor is None else "are done by the one that has taken its place"
        logger.warning("%s/%s: a follow-up was removed from the configuration; %d %s", *of[:2], total, words)
        self._bell.ring()


def _in(seconds: float) -> int:
    """Return the moment so many seconds from now, ms since 1970."""
    return now_ms() + round(seconds * 1000)
