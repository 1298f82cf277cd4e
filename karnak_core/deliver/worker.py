"""A worker: one thread, one destination, one connection. Claims, delivers, settles, waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from karnak_core.database import Database
from karnak_core.deliver.clinical import ClinicalLog
from karnak_core.deliver.pipeline import Pipeline
from karnak_core.deliver.retry import RetryRule
from karnak_core.deliver.sending import deliver
from karnak_core.errors import DeliveryError, Misconfigured, Unreachable
from karnak_core.kinds import Kind
from karnak_core.model import Delivery, Destination, Health, OpenContext, Outcome, State, now_ms
from karnak_core.plugins import Plugins
from karnak_core.spool import health, leases
from karnak_core.spool.afterwards import Watcher
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder

logger = logging.getLogger(__name__)

#: deliveries claimed at once
BATCH = 64
#: outcomes are stored after this many, or this many seconds, whichever comes first
SETTLE_COUNT, SETTLE_SECONDS = 64, 0.5
#: after a batch smaller than SMALL, wait this long for more of it to come: a claim costs as much for one as for many
SMALL, GATHER_SECONDS = 32, 0.04
#: a worker that stops, and cannot store its last outcomes, tries again after this long
SETTLE_AGAIN_SECONDS = 1.0
#: without work for this long, connections are given back; below what peers usually allow
IDLE_SECONDS = 25.0
#: a lost wake-up delays a delivery by this at most
LOOK_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Route:
    """A destination as a worker needs it."""

    forward_node: str
    destination: str
    kind: Kind[Any, Destination]
    options: Any
    context: OpenContext
    pipeline: Pipeline
    rule: RetryRule
    #: who is told about studies
    watchers: tuple[Watcher, ...] = ()
    #: of the configuration that it was made of
    version: int = 0
    #: where it is written down which de-identified instance was which; None: nowhere
    clinical: ClinicalLog | None = None


class Worker:
    """Delivers to one destination until told to stop."""

    def __init__(
        self,
        route: Route,
        *,
        database: Database,
        folder: SpoolFolder,
        plugins: Plugins,
        owner: str,
        bell: Doorbell,
        doubt: threading.Event | None = None,
        tell: Callable[[], None] | None = None,
    ) -> None:
        self._route = route
        self._key = (route.forward_node, route.destination)
        self._database = database
        self._folder = folder
        self._plugins = plugins if plugins.has("karnak_delivery_finished") else None
        self._owner = owner
        self._bell = bell
        self._doubt = doubt
        #: tells who does what follows
        self._tell = tell
        self._stop = threading.Event()
        self._part: Destination | None = None
        self._known = health.WELL
        #: what we have leased, with what is to be stored of it; ours until then
        self._owed: dict[int, tuple[Delivery, Outcome]] = {}
        #: when it was leased, ms since 1970
        self._claimed_at = 0
        self._last_use = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name=f"deliver {route.forward_node}/{route.destination}", daemon=True
        )

    @property
    def pipeline(self) -> Pipeline:
        """What it sends instances through."""
        return self._route.pipeline

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the instance in flight; may be called twice and from any thread."""
        self._stop.set()
        self._bell.ring()

    def join(self, timeout: float) -> bool:
        """Wait for the end; False: it takes longer."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            heard = self._bell.heard()
            try:
                wait = self._work()
            except SQLAlchemyError as error:
                # what we have leased is settled first when the ledger is back
                logger.error("the ledger cannot be used: %s", type(error).__name__)
                wait = LOOK_AGAIN_SECONDS
            except Exception:
                logger.exception("delivery worker failed; goes on")
                wait = LOOK_AGAIN_SECONDS
            if wait > 0 and not self._stop.is_set():
                self._rest(heard, wait)
        self._give_back()
        self._close()

    def _give_back(self) -> None:
        """Settle what is still owed, however long it takes: while this process lives, nobody else does."""
        while self._owed:
            try:
                self._settle(list(self._owed), None)
            except Exception:
                logger.exception("delivery worker cannot settle what it has; tries again")
                self._bell.wait(self._bell.heard(), SETTLE_AGAIN_SECONDS)

    def _rest(self, heard: int, seconds: float) -> None:
        idle_left = self._last_use + IDLE_SECONDS - time.monotonic()
        if self._part is not None and idle_left <= 0:
            self._close()
        elif self._part is not None:
            seconds = min(seconds, idle_left)
        self._bell.wait(heard, min(seconds, LOOK_AGAIN_SECONDS))

    def _work(self) -> float:
        """Deliver one batch; return for how many seconds there is nothing to do."""
        if self._owed:
            self._settle(list(self._owed), None)
        with self._database.read() as connection:
            due = leases.next_due(connection, *self._key)
            self._known = health.read(connection, *self._key)
        if due is None:
            return LOOK_AGAIN_SECONDS
        probe = self._known.health is not Health.OK
        start = max(due, self._known.next_probe_at) if probe else due
        now = now_ms()
        if start > now:
            return (start - now) / 1000
        self._claimed_at = now
        try:
            claimable = self._claim(probe=probe)
        except DBAPIError as error:
            if error.connection_invalidated and self._doubt is not None:
                # perhaps it was committed: then we have leased what we do not know
                self._doubt.set()
            raise
        for delivery in claimable:
            self._owed[delivery.id] = (delivery, _untried(delivery))
        claimed = len(self._owed)
        if claimed:
            self._deliver()
        if claimed < SMALL and not probe:
            self._stop.wait(GATHER_SECONDS)
        return 0.0

    def _claim(self, *, probe: bool) -> list[Delivery]:
        with self._database.write(durable=False) as connection:
            if probe and not health.take_probe(connection, *self._key):
                return []
            limit = 1 if probe else BATCH
            return leases.claim(connection, self._folder, *self._key, self._owner, limit)

    def _deliver(self) -> None:
        """Send what was claimed; whatever happens, it stays owed until it is settled."""
        settled_at = time.monotonic()
        known: list[int] = []
        answered = False
        try:
            part = self._open()
        except DeliveryError as error:
            self._settle(list(self._owed), error)
            return
        batch = [delivery for delivery, _ in self._owed.values()]
        for delivery, outcome, trouble in deliver(batch, self._route.pipeline, part, self._route.rule):
            self._owed[delivery.id] = (delivery, outcome)
            known.append(delivery.id)
            if isinstance(trouble, Unreachable | Misconfigured):
                # the others are not tried: the destination is in trouble, not they
                self._settle(list(self._owed), trouble)
                return
            answered = answered or trouble is not None or outcome.outgoing is not None
            if len(known) >= SETTLE_COUNT or time.monotonic() - settled_at >= SETTLE_SECONDS:
                self._settle(known, None, answered=answered)
                known, settled_at = [], time.monotonic()
            if self._stop.is_set():
                break
        self._last_use = time.monotonic()
        self._settle(list(self._owed), None, answered=answered)

    def _settle(self, ids: list[int], error: DeliveryError | None, *, answered: bool = False) -> None:
        """Store outcomes, and what they say about the destination; what cannot be stored stays owed."""
        if not ids:
            return
        outcomes = [self._owed[delivery_id] for delivery_id in ids]
        known = self._known
        with self._database.write() as connection:
            removable = leases.settle(
                connection,
                self._owner,
                outcomes,
                since=self._claimed_at,
                watchers=self._route.watchers,
                version=self._route.version,
            )
            if error is not None:
                known = health.note_failure(
                    connection, *self._key, error.reason, misconfigured=isinstance(error, Misconfigured)
                )
            elif answered and not known.well:
                health.note_answer(connection, *self._key)
                known = health.WELL
        self._known = known
        for delivery_id in ids:
            delivery, _ = self._owed.pop(delivery_id)
            if delivery.held is not None:
                delivery.held.close()
        self._folder.remove(removable)
        if self._tell is not None and any(outcome.due for _, outcome in outcomes):
            self._tell()
        if self._route.clinical is not None:
            self._route.clinical.note(outcomes)
        self._report(outcomes, error)

    def _report(self, outcomes: list[tuple[Delivery, Outcome]], error: DeliveryError | None) -> None:
        if error is not None:
            state = self._known.health if self._known.health is not Health.OK else "in trouble"
            logger.warning("destination %s/%s is %s: %s", *self._key, state, error.reason)
        failed = [outcome for _, outcome in outcomes if outcome.state is State.FAILED]
        if failed:
            logger.error("%d deliveries to %s/%s failed: %s", len(failed), *self._key, failed[0].reason)
        if self._plugins is not None:
            for delivery, outcome in outcomes:
                self._plugins.each("karnak_delivery_finished", delivery=delivery, outcome=outcome)

    def _open(self) -> Destination:
        self._last_use = time.monotonic()
        if self._part is None:
            self._part = self._route.kind.open(self._route.options, self._route.context)
        return self._part

    def _close(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            try:
                part.close()
            except Exception:
                logger.exception("destination %s/%s failed to close", *self._key)


def _untried(delivery: Delivery) -> Outcome:
    return Outcome(state=State.PENDING, not_before=delivery.created_at, counts=False)
