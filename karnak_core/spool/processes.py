"""Processes that hold leases: known while they are seen, and robbed of their leases when they are not."""

from __future__ import annotations

import os

import sqlalchemy as sa

from karnak_core.database.tables import process
from karnak_core.model import now_ms
from karnak_core.spool import leases

#: a process not seen for this long has lost its leases
LEASE_MS = 60_000
#: how often a process says that it lives
HEARTBEAT_SECONDS = 10.0


def register(connection: sa.Connection, owner: str, node: str, role: str) -> None:
    """Make a process known, before its first claim."""
    connection.execute(sa.insert(process).values(owner=owner, node=node, role=role, pid=os.getpid(), seen_at=now_ms()))


def heartbeat(connection: sa.Connection, owner: str) -> bool:
    """Say that a process lives; False: it was given up, its leases are gone, and it must end."""
    updated = connection.execute(sa.update(process).where(process.c.owner == owner).values(seen_at=now_ms())).rowcount
    return bool(updated)


def release_node(connection: sa.Connection, node: str) -> int:
    """Give back the leases of every process of a data directory, all of which are known to be gone."""
    owners = connection.execute(sa.select(process.c.owner).where(process.c.node == node)).scalars().all()
    return leases.release(connection, owners)


def release_unseen(connection: sa.Connection) -> int:
    """Give back the leases of processes, on any machine, that have not been seen for too long."""
    owners = (
        connection.execute(sa.select(process.c.owner).where(process.c.seen_at < now_ms() - LEASE_MS)).scalars().all()
    )
    return leases.release(connection, owners)
