"""Remember what was refused: counted in memory, written together from time to time.

A flood of refused associations costs the ledger one small transaction a second.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from karnak_core.database import Database
from karnak_core.database.tables import refusal
from karnak_core.dimse import AssociationRequest
from karnak_core.model import now_ms
from karnak_core.spool import tallies

logger = logging.getLogger(__name__)

#: different (called, calling, host, reason) kept; the oldest go
KEPT = 1000

Key = tuple[str, str, str, str]


class Refusals:
    """Counts refused associations and instances."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._associations: Counter[Key] = Counter()
        self._instances: Counter[str] = Counter()

    def association(self, request: AssociationRequest, reason: str) -> None:
        """Count a refused association."""
        key = (request.called_ae_title, request.calling_ae_title, request.peer_host, reason[:255])
        with self._lock:
            if key in self._associations or len(self._associations) < KEPT:
                self._associations[key] += 1
        logger.warning("association refused: %s (called %r, calling %r, from %s)", reason, *key[:3])

    def connection(self, host: str, reason: str) -> None:
        """Count a connection that never came to ask for an association, so that there are no AE titles."""
        key = ("", "", host, reason[:255])
        with self._lock:
            if key in self._associations or len(self._associations) < KEPT:
                self._associations[key] += 1
        logger.warning("connection refused: %s (from %s)", reason, host)

    def instance(self, forward_node: str) -> None:
        """Count a refused instance."""
        with self._lock:
            self._instances[forward_node] += 1

    def flush(self) -> None:
        """Write what was counted since the last time; what cannot be written now is kept."""
        with self._lock:
            associations, self._associations = self._associations, Counter()
            instances, self._instances = self._instances, Counter()
        if not associations and not instances:
            return
        try:
            with self._database.write(durable=False) as connection:
                for key, count in associations.items():
                    _add(connection, key, count)
                _forget_oldest(connection)
                tallies.add(
                    connection,
                    Counter({(node, "", tallies.REFUSED): count for node, count in instances.items()}),
                )
        except SQLAlchemyError as error:
            logger.warning("refusals cannot be written yet: %s", type(error).__name__)
            with self._lock:
                self._associations.update(associations)
                self._instances.update(instances)


def _add(connection: sa.Connection, key: Key, count: int) -> None:
    called, calling, host, reason = key
    now = now_ms()
    same = sa.and_(
        refusal.c.called_ae_title == called,
        refusal.c.calling_ae_title == calling,
        refusal.c.peer_host == host,
        refusal.c.reason == reason,
    )
    updated = connection.execute(
        sa.update(refusal).where(same).values(count=refusal.c.count + count, last_at=now)
    ).rowcount
    if not updated:
        connection.execute(
            sa.insert(refusal).values(
                called_ae_title=called,
                calling_ae_title=calling,
                peer_host=host,
                reason=reason,
                count=count,
                first_at=now,
                last_at=now,
            )
        )


def _forget_oldest(connection: sa.Connection) -> None:
    newest = sa.select(refusal.c.id).order_by(refusal.c.last_at.desc()).limit(KEPT)
    connection.execute(sa.delete(refusal).where(refusal.c.id.not_in(newest)))
