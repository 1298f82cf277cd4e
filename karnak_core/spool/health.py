"""How each destination is: the breaker's memory, shared by all processes.

A destination that is not ``ok`` gets one delivery at a time, at growing intervals, until one gets an answer; the rest
wait, and no attempt of theirs is counted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from karnak_core.database.tables import delivery, destination_health
from karnak_core.model import Health, State, now_ms
from karnak_core.spool.texts import storable

#: transport failures in a row after which a destination is unreachable
FAILURES_UNTIL_UNREACHABLE = 3
#: ms between probes: at first, and at most
FIRST_PROBE_MS, LONGEST_PROBE_MS = 2_000, 60_000


@dataclass(frozen=True, kw_only=True)
class DestinationHealth:
    """A row of ``destination_health``."""

    health: Health = Health.OK
    reason: str = ""
    since: int = 0
    failures: int = 0
    next_probe_at: int = 0

    @property
    def well(self) -> bool:
        """Say whether nothing has failed since the last answer."""
        return self.health is Health.OK and self.failures == 0


WELL = DestinationHealth()


def read(connection: sa.Connection, forward_node: str, destination: str) -> DestinationHealth:
    """Return how a destination is."""
    row = connection.execute(_READ, {"node": forward_node, "name": destination}).first()
    if row is None:
        return WELL
    return DestinationHealth(
        health=Health(row.health),
        reason=row.reason,
        since=row.since,
        failures=row.failures,
        next_probe_at=row.next_probe_at,
    )


def take_probe(connection: sa.Connection, forward_node: str, destination: str) -> bool:
    """Take the right to send the next probe; False: it is not time yet, or another worker took it."""
    known = read(connection, forward_node, destination)
    now = now_ms()
    taken = connection.execute(
        sa.update(destination_health)
        .where(_key(forward_node, destination), destination_health.c.next_probe_at <= now)
        .values(next_probe_at=now + _probe_interval(known.failures))
    ).rowcount
    return bool(taken)


def note_failure(
    connection: sa.Connection, forward_node: str, destination: str, reason: str, *, misconfigured: bool
) -> DestinationHealth:
    """Count a transport failure, or hold a destination that refuses us; return how it is now."""
    # the row is made and locked first: others fail at the same time, and every failure counts
    insert: Any = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(destination_health)
    insert = insert.values(forward_node=forward_node, destination=destination)
    nothing_yet = insert.values(health=Health.OK, reason="", since=0, failures=0, next_probe_at=0)
    connection.execute(nothing_yet.on_conflict_do_nothing())
    connection.execute(
        sa.select(destination_health.c.failures).where(_key(forward_node, destination)).with_for_update()
    ).all()
    known = read(connection, forward_node, destination)
    now = now_ms()
    failures = known.failures + 1
    if misconfigured:
        health = Health.HELD
    elif failures >= FAILURES_UNTIL_UNREACHABLE or known.health is not Health.OK:
        health = Health.UNREACHABLE
    else:
        health = Health.OK
    noted = DestinationHealth(
        health=health,
        reason=storable(reason),
        since=known.since if health is known.health and known.since else now,
        failures=failures,
        next_probe_at=now + _probe_interval(failures) if health is not Health.OK else 0,
    )
    values = {
        "health": noted.health,
        "reason": noted.reason,
        "since": noted.since,
        "failures": noted.failures,
        "next_probe_at": noted.next_probe_at,
    }
    connection.execute(
        insert.values(**values).on_conflict_do_update(index_elements=["forward_node", "destination"], set_=values)
    )
    return noted


def note_answer(connection: sa.Connection, forward_node: str, destination: str) -> None:
    """Note that a destination answers: what waited for it is due now."""
    known = read(connection, forward_node, destination)
    if known.well:
        return
    forget(connection, forward_node, destination)
    if known.health is not Health.OK:
        now = now_ms()
        connection.execute(
            sa.update(delivery)
            .where(
                delivery.c.forward_node == forward_node,
                delivery.c.destination == destination,
                delivery.c.state == State.PENDING,
                delivery.c.not_before > now,
            )
            .values(not_before=now)
        )


def probe_now(connection: sa.Connection, forward_node: str, destination: str) -> None:
    """Let the next delivery go out at once to see whether the destination is back: a person asks."""
    connection.execute(
        sa.update(destination_health).where(_key(forward_node, destination)).values(next_probe_at=now_ms())
    )


def forget(connection: sa.Connection, forward_node: str, destination: str) -> None:
    """Forget what was wrong: the configuration changed, or a person asks to try again now."""
    connection.execute(sa.delete(destination_health).where(_key(forward_node, destination)))


def _probe_interval(failures: int) -> int:
    ceiling = min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 2 ** max(0, min(failures - FAILURES_UNTIL_UNREACHABLE, 16)))
    return random.randint(ceiling // 2, ceiling)


def _key(forward_node: str, destination: str) -> sa.ColumnElement[bool]:
    return sa.and_(destination_health.c.forward_node == forward_node, destination_health.c.destination == destination)


_READ = sa.select(destination_health).where(
    destination_health.c.forward_node == sa.bindparam("node"),
    destination_health.c.destination == sa.bindparam("name"),
)
