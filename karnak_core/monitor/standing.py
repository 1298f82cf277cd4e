"""How the gateway stands, in one picture: what ``karnak status`` shows, and the metrics give as numbers."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from karnak_core.config.models import Configuration, Destination
from karnak_core.database import Database
from karnak_core.database.tables import instance, refusal
from karnak_core.model import Health, now_ms
from karnak_core.monitor.expiries import Expiry, of_follow_ups
from karnak_core.spool import health, room, standing, tallies
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.standing import LiveProcess, Open
from karnak_core.spool.views import DestinationNumbers, destination_numbers, iso

#: refused peers that are told, the last ones
REFUSALS = 10


@dataclass(frozen=True, kw_only=True)
class DestinationStanding:
    """How one destination is."""

    numbers: DestinationNumbers
    #: what keeps it, configuration included
    state: Health
    reason: str
    #: when the next delivery goes out to see whether it is back, ms; None: it is well, or nothing goes out
    next_probe_at: int | None
    failed_reasons: Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Everything at one moment."""

    destinations: Sequence[DestinationStanding]
    #: (forward node, what) -> how often
    totals: dict[tuple[str, str, str], int]
    spool_bytes: int
    free_bytes: int
    #: free bytes below which nothing is accepted
    reserve: int
    processes: Sequence[LiveProcess]
    follow_ups: Sequence[Open]
    notifications: Sequence[Open]
    refusals: Sequence[Any]
    #: the tokens of follow-ups, as it was told last
    follow_up_expiries: Sequence[Expiry] = ()

    @property
    def accepting(self) -> bool:
        """Say whether there is room for more."""
        return self.free_bytes >= self.reserve


def look(database: Database, configuration: Configuration, folder: SpoolFolder) -> Standing:
    """Look at the ledger and the spool; costs the same however much is finished."""
    with database.read() as connection:
        numbers = destination_numbers(connection)
        reasons = standing.failed_reasons(connection)
        troubles = {key: health.read(connection, *key) for key, one in numbers.items() if one.health is not Health.OK}
        return Standing(
            destinations=[
                _destination(key, configured, numbers.get(key) or _nothing_yet(*key), reasons, troubles)
                for key, configured in _known(configuration, numbers)
            ],
            totals=tallies.read(connection),
            spool_bytes=int(connection.execute(_SPOOLED).scalar_one()),
            free_bytes=folder.free_bytes(),
            reserve=room.needed(configuration.storage.reserve),
            processes=standing.live_processes(connection),
            follow_ups=standing.open_follow_ups(connection),
            notifications=standing.open_notifications(connection),
            refusals=connection.execute(sa.select(refusal).order_by(refusal.c.last_at.desc()).limit(REFUSALS)).all(),
            follow_up_expiries=list(of_follow_ups(connection, configuration)),
        )


def runs(data_directory: Path) -> bool:
    """Say whether a gateway runs on a data directory: every process of it holds the lock."""
    try:
        descriptor = os.open(data_directory / "serve.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def as_json(found: Standing, *, running: bool, expiries: Iterable[Expiry]) -> dict[str, Any]:
    """Return what ``status --json`` prints; the names are a contract.

    Parameters
    ----------
    expiries
        What expires beside the tokens of follow-ups.
    """
    now = now_ms()
    return {
        "destinations": [_destination_json(one) for one in found.destinations],
        "instances": {
            name: sum(count for (_, _, key), count in found.totals.items() if key == name)
            for name in (tallies.RECEIVED, tallies.REFUSED)
        },
        "spool": {"bytes": found.spool_bytes, "free_bytes": found.free_bytes},
        "storage": {"reserve": found.reserve, "accepting": found.accepting},
        "gateway": {
            "running": running,
            "processes": [
                {"role": one.role, "node": one.node, "pid": one.pid, "seen_seconds": _ago(one.seen_at, now)}
                for one in found.processes
            ],
        },
        "follow_ups": [_open_json(one, now) for one in found.follow_ups],
        "notifications": [_open_json(one, now) for one in found.notifications],
        "expiries": [
            {
                "kind": one.kind,
                "of": one.of,
                "expires_at": iso(one.at),
                "seconds": None if one.at is None else (one.at - now) / 1000,
                "problem": one.problem,
            }
            for one in (*expiries, *found.follow_up_expiries)
        ],
        "refused_associations": [
            {
                "called_ae_title": row.called_ae_title,
                "calling_ae_title": row.calling_ae_title,
                "peer_host": row.peer_host,
                "reason": row.reason,
                "count": row._mapping["count"],
                "last_at": iso(row.last_at),
            }
            for row in found.refusals
        ],
    }


def _known(
    configuration: Configuration, numbers: dict[tuple[str, str], DestinationNumbers]
) -> list[tuple[tuple[str, str], Destination | None]]:
    """Return the configured destinations, then those that are no more and have something open."""
    configured = {
        (node.ae_title, destination.name): destination
        for node in configuration.forward_nodes
        for destination in node.destinations
    }
    removed = {key for key, one in numbers.items() if key not in configured and (one.pending or one.failed)}
    return [*configured.items(), *((key, None) for key in sorted(removed))]


def _destination(
    key: tuple[str, str],
    configured: Destination | None,
    numbers: DestinationNumbers,
    reasons: dict[tuple[str, str], list[tuple[str, int]]],
    troubles: dict[tuple[str, str], health.DestinationHealth],
) -> DestinationStanding:
    state, reason, probe = numbers.health, numbers.reason, None
    if configured is None:
        state, reason = Health.DISABLED, "removed from the configuration"
    elif not configured.enabled:
        state, reason = Health.DISABLED, "enabled is false"
    elif configured.paused:
        state, reason = Health.PAUSED, "paused is true"
    elif key in troubles and numbers.pending:
        probe = troubles[key].next_probe_at
    return DestinationStanding(
        numbers=numbers, state=state, reason=reason, next_probe_at=probe, failed_reasons=reasons.get(key, ())
    )


def _destination_json(one: DestinationStanding) -> dict[str, Any]:
    known = one.numbers
    return {
        "forward_node": known.forward_node,
        "destination": known.destination,
        "state": one.state.value,
        "reason": one.reason,
        "pending": known.pending,
        "sent": known.sent,
        "duplicate": known.duplicate,
        "excluded": known.excluded,
        "failed": known.failed,
        "discarded": known.discarded,
        "oldest_pending_seconds": known.oldest_pending_seconds,
        "since": iso(known.since) if one.state is known.health else None,
        "next_probe_at": iso(one.next_probe_at),
        "failed_reasons": [{"reason": reason, "count": count} for reason, count in one.failed_reasons],
    }


def _open_json(one: Open, now: int) -> dict[str, Any]:
    return {
        "forward_node": one.forward_node,
        "destination": one.destination,
        "part": one.part,
        "pending": one.pending,
        "failed": one.failed,
        "reason": one.reason,
        "oldest_seconds": _ago(one.oldest_at, now),
    }


def _ago(then: int, now: int) -> float:
    return max(0.0, (now - then) / 1000)


def _nothing_yet(forward_node: str, destination: str) -> DestinationNumbers:
    return DestinationNumbers(
        forward_node=forward_node,
        destination=destination,
        health=Health.OK,
        reason="",
        pending=0,
        sent=0,
        duplicate=0,
        excluded=0,
        failed=0,
        discarded=0,
        oldest_pending_seconds=None,
    )


_SPOOLED = sa.select(sa.func.coalesce(sa.func.sum(instance.c.size), 0)).where(instance.c.path.is_not(None))
