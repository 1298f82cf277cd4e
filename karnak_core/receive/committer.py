"""Group commit: associations that finish an instance at the same time share one transaction and one fsync of it.

There is no thread for it. Whoever comes first commits for all who have queued up meanwhile; a single association thus
never waits for another thread, and many associations share the cost.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sqlalchemy.exc import DataError, IntegrityError

from karnak_core.database import Database
from karnak_core.spool import wakeups
from karnak_core.spool.files import SpoolWriter
from karnak_core.spool.record import Received, record
from karnak_core.spool.wakeups import Wakeups

#: more than this in one transaction makes the first ones wait for the last
LARGEST_GROUP = 256
#: bytes of small instances in one transaction: so much log the ledger needs room for
LARGEST_GROUP_BYTES = 4 << 20


class _Waiting:
    __slots__ = ("done", "error", "received")

    def __init__(self, received: Received) -> None:
        self.received = received
        self.done = False
        self.error: Exception | None = None


class Committer:
    """Makes received instances durable; used by all association threads."""

    def __init__(self, database: Database, writer: SpoolWriter, wake: Wakeups) -> None:
        self._database = database
        self._writer = writer
        self._wake = wake
        self._queue: list[_Waiting] = []
        self._queue_lock = threading.Lock()
        self._turn = threading.Lock()

    def commit(self, received: Received) -> None:
        """Return once the instance and its deliveries are in the ledger, durably.

        Raises
        ------
        Exception
            What the database said; nothing of this instance is in the ledger, unless the connection to the database
            broke while it committed.
        """
        waiting = _Waiting(received)
        with self._queue_lock:
            self._queue.append(waiting)
        with self._turn:
            # of a long queue the first ones go first
            while not waiting.done:
                self._commit_group()
        if waiting.error is not None:
            raise waiting.error

    def _commit_group(self) -> None:
        with self._queue_lock:
            count = _fitting(self._queue)
            group, self._queue = self._queue[:count], self._queue[count:]
        self._commit_together(group)
        for waiting in group:
            waiting.done = True
        self._wake.publish(_topics([waiting.received for waiting in group if waiting.error is None]))

    def _commit_together(self, group: Sequence[_Waiting]) -> None:
        batch = [waiting.received for waiting in group]
        try:
            self._writer.sync_folders(received.path for received in batch if received.path)
            with self._database.write() as connection:
                record(connection, batch)
        except (DataError, IntegrityError, UnicodeError) as error:
            # something in one of them cannot be stored, and nothing was: the others are not to suffer
            if len(group) == 1:
                group[0].error = error
                return
            for waiting in group:
                self._commit_together([waiting])
        except Exception as error:
            for waiting in group:
                waiting.error = error


def _fitting(queue: Sequence[_Waiting]) -> int:
    """Return how many of the first ones may share a transaction."""
    total = 0
    for count, waiting in enumerate(queue[:LARGEST_GROUP]):
        total += len(waiting.received.content)
        if count and total > LARGEST_GROUP_BYTES:
            return count
    return min(len(queue), LARGEST_GROUP)


def _topics(batch: Sequence[Received]) -> set[str]:
    return {
        wakeups.topic(received.forward_node, destination)
        for received in batch
        for destination in received.destinations
        if not received.excluded
    }
