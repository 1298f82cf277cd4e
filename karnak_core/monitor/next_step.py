"""What happens next to something in the ledger, in words, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from karnak_core.config.models import Destination
from karnak_core.model import Health, State, now_ms
from karnak_core.spool.health import DestinationHealth


@dataclass(frozen=True, kw_only=True)
class Next:
    """What happens next."""

    words: str
    #: ms since 1970; None: at once, or nobody knows
    at: int | None = None
    #: ms since 1970; since when what is said keeps it; None: that is not known, or nothing does
    since: int | None = None
    #: what a person can do; each a command line
    commands: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Situation:
    """How things are at a destination."""

    forward_node: str
    name: str
    #: None: it was removed from the configuration
    destination: Destination | None
    health: DestinationHealth
    #: whether a gateway runs
    running: bool
    #: the option of ``karnak deliveries`` that chooses what is asked about
    chosen: str

    @property
    def label(self) -> str:
        """NODE/NAME."""
        return f"{self.forward_node}/{self.name}"


def of_deliveries(rows: Sequence[Any], situation: Situation) -> Next:
    """Return what happens next to deliveries that stand alike."""
    first = rows[0]
    match first.state:
        case State.SENT | State.DUPLICATE:
            return Next(words="nothing: it is there")
        case State.EXCLUDED:
            return Next(words="nothing: what a rule keeps back is not sent")
        case State.DISCARDED:
            return Next(words="nothing: a person gave it up")
        case State.FAILED:
            return _after_failure(first, situation)
    if not situation.running:
        return Next(words="nothing until the gateway runs", commands=("karnak serve",))
    if first.state == State.LEASED:
        return Next(words="it is being sent right now")
    return _of_waiting(rows, situation)


def _after_failure(row: Any, situation: Situation) -> Next:
    chosen = f"{situation.chosen} --destination {situation.label} --state failed"
    by_hand = (f"karnak deliveries retry {chosen}", f"karnak deliveries discard {chosen}")
    if situation.destination is None:
        return Next(words="a person decides: the destination is not in the configuration any more", commands=by_hand)
    if row.waits_for is not None:
        project = situation.destination.de_identification
        name = project.project if project is not None else "PROJECT"
        return Next(
            words="it is tried again by itself when a pseudonym of the patient is stored",
            commands=(f"karnak pseudonyms add --project {name} --patient-id … --pseudonym …", *by_hand),
        )
    return Next(words="a person decides; it is kept with its file until then", commands=by_hand)


def _of_waiting(rows: Sequence[Any], situation: Situation) -> Next:
    health = situation.health
    kept = _kept_from(situation.destination)
    if kept is not None:
        return kept
    if health.health is not Health.OK:
        state = "is held" if health.health is Health.HELD else "is unreachable"
        return Next(
            words=f"it waits: the destination {state}: {health.reason}; one goes out to see whether it is back",
            at=health.next_probe_at,
            since=health.since or None,
            commands=(f"karnak probe {situation.label}",),
        )
    due = min(row.not_before for row in rows)
    if due <= now_ms():
        return Next(words="it is sent as soon as its turn comes")
    return Next(
        words="it is tried again",
        at=due,
        commands=(f"karnak deliveries retry {situation.chosen} --destination {situation.label}",),
    )


def _kept_from(destination: Destination | None) -> Next | None:
    """Return what becomes of what waits, where the configuration keeps us from the destination; None: it does not."""
    if destination is None:
        return Next(words="it fails, and is kept: the destination is not in the configuration any more")
    if not destination.enabled:
        return Next(words="it waits until the destination is enabled (enabled: true)", commands=("karnak apply FILE",))
    if destination.paused:
        return Next(words="it waits until the destination goes on (paused: false)", commands=("karnak apply FILE",))
    return None


def of_afterwards(row: Any, situation: Situation, what: str) -> Next:
    """Return what happens next to a follow-up, or to a notification."""
    if row.state == State.FAILED:
        commands = tuple(f"karnak {what}s {verb} --id {row.id}" for verb in ("retry", "discard"))
        return Next(words=f"a person decides; the {what} is kept until then", commands=commands)
    if row.state == State.DISCARDED:
        return Next(words="nothing: it was given up, or something else has taken its place")
    if row.not_before is None:
        return Next(words="nothing: it is done")
    if not situation.running:
        return Next(words="nothing until the gateway runs", commands=("karnak serve",))
    if row.state == State.LEASED:
        return Next(words="it is being done right now")
    kept = _kept_from(situation.destination) if what == "follow-up" else None
    if kept is not None:
        return kept
    if row.not_before <= now_ms():
        return Next(words="it is done as soon as its turn comes")
    return Next(words="it is tried again" if row.attempts else "it is done", at=row.not_before)
