"""The whole story of an instance, a series or a study: what happened to it, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from karnak_core.config.models import Configuration, Destination
from karnak_core.model import State
from karnak_core.monitor import next_step
from karnak_core.monitor.labels import label
from karnak_core.monitor.next_step import Next, Situation
from karnak_core.spool import health, stories
from karnak_core.spool.views import iso

#: deliveries of a group that are named
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Reception:
    """From whom instances came, and when; times in ms since 1970."""

    forward_node: str
    calling_ae_title: str
    peer_host: str
    instances: int
    first_at: int
    last_at: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Deliveries of one series that stand alike."""

    state: str
    reason: str
    count: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: Sequence[str]
    sent_study_instance_uid: str | None
    sent_series_instance_uid: str | None
    sent_sop_instance_uids: Sequence[str]
    #: numbers of the first of them
    ids: Sequence[int]
    #: the most of one of them
    attempts: int
    #: ms; when the last of them ended; None: not yet
    finished_at: int | None
    decided_by: str | None
    decided_at: int | None
    next: Next


@dataclass(frozen=True, kw_only=True)
class Afterwards:
    """A follow-up, or a notification."""

    part: str
    #: what it is for
    subject: str
    state: str
    reason: str
    attempts: int
    #: ms; when it was done
    finished_at: int | None
    next: Next


@dataclass(frozen=True, kw_only=True)
class AtDestination:
    """What happened at one destination."""

    forward_node: str
    destination: str
    #: where that is; empty: it is not configured any more
    where: str
    #: how it is changed on the way, as configured now: ``de_identification`` or ``tag_morphing``, project and profile
    changed_by: Mapping[str, str] | None
    groups: Sequence[Group]
    follow_ups: Sequence[Afterwards] = ()
    notifications: Sequence[Afterwards] = ()


@dataclass(frozen=True, kw_only=True)
class Story:
    """Everything about one UID."""

    uid: str
    kind: str
    as_sent: bool
    receptions: Sequence[Reception]
    destinations: Sequence[AtDestination] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """Return it with every field by its name; times in ms since 1970."""
        return asdict(self)


def tell(connection: sa.Connection, configuration: Configuration, uid: str, *, running: bool) -> Story | None:
    """Return the story of a UID, original or sent; None: nothing is known.

    Parameters
    ----------
    running
        Whether a gateway runs that would do what is due.
    """
    found = stories.find(connection, uid)
    if found is None:
        return None
    configured = {
        (node.ae_title, destination.name): destination
        for node in configuration.forward_nodes
        for destination in node.destinations
    }
    by_destination: dict[tuple[str, str], list[Any]] = {}
    for row in found.deliveries:
        by_destination.setdefault((row.forward_node, row.destination), []).append(row)
    told = []
    for key, rows in by_destination.items():
        destination = configured.get(key)
        situation = Situation(
            forward_node=key[0],
            name=key[1],
            destination=destination,
            health=health.read(connection, *key),
            running=running,
            chosen=_option(found.kind, uid),
        )
        told.append(_at_destination(key, destination, rows, found, situation, configuration))
    return Story(
        uid=uid,
        kind=found.kind,
        as_sent=found.as_sent,
        receptions=_receptions(found.deliveries),
        destinations=told,
    )


def with_times(found: Story) -> dict[str, Any]:
    """Return a story as JSON whose times are ISO 8601 in UTC: what ``karnak why --json`` prints."""
    told: dict[str, Any] = _iso(found.to_json())
    return told


def _iso(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _iso(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_iso(inner, name) for inner in value]
    return iso(value) if isinstance(value, int) and (name == "at" or name.endswith("_at")) else value


def _option(kind: str, uid: str) -> str:
    return f"--{kind} {uid}"


def _receptions(rows: Sequence[Any]) -> list[Reception]:
    by_peer: dict[tuple[str, str, str], dict[int, Any]] = {}
    for row in rows:
        peer = (row.forward_node, row.calling_ae_title, row.peer_host)
        # once for each instance, not for each destination
        by_peer.setdefault(peer, {})[row.instance_id] = row
    return [
        Reception(
            forward_node=node,
            calling_ae_title=title,
            peer_host=host,
            instances=len(some),
            first_at=min(row.received_at for row in some.values()),
            last_at=max(row.received_at for row in some.values()),
            bytes=sum(row.size for row in some.values()),
        )
        for (node, title, host), some in by_peer.items()
    ]


def _at_destination(
    key: tuple[str, str],
    destination: Destination | None,
    rows: Sequence[Any],
    found: stories.Found,
    situation: Situation,
    configuration: Configuration,
) -> AtDestination:
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        of_one = row.sop_instance_uid if found.kind == "instance" else ""
        alike.setdefault(
            (row.series_instance_uid, of_one, row.state, row.reason, row.waits_for is None, row.decided_by), []
        ).append(row)
    return AtDestination(
        forward_node=key[0],
        destination=key[1],
        where=label(destination) if destination else "",
        changed_by=_changed_by(destination, configuration),
        groups=[_group(some, situation) for some in alike.values()],
        follow_ups=[
            Afterwards(
                part=row.part,
                subject=row.subject,
                state=_shown(row.state),
                reason=row.reason,
                attempts=row.attempts,
                finished_at=row.finished_at,
                next=next_step.of_afterwards(row, situation, "follow-up"),
            )
            for row in found.follow_ups
            if (row.forward_node, row.destination) == key
        ],
        notifications=[
            Afterwards(
                part=row.part,
                subject=row.study_instance_uid,
                state=_shown(row.state),
                reason=row.reason,
                attempts=row.attempts,
                finished_at=row.finished_at,
                next=next_step.of_afterwards(row, situation, "notification"),
            )
            for row in found.notifications
            if (row.forward_node, row.destination) == key
        ]
        + [
            Afterwards(
                part=row.part,
                subject=row.study_instance_uid,
                state="watched",
                reason="",
                attempts=0,
                finished_at=None,
                next=Next(words="people are told when nothing more comes for a while", at=row.due_at),
            )
            for row in found.watches
            if (row.forward_node, row.destination) == key and row.due_at is not None
        ],
    )


def _group(rows: Sequence[Any], situation: Situation) -> Group:
    first = rows[0]
    ended = [row.finished_at for row in rows if row.finished_at is not None]
    return Group(
        state=_shown(first.state),
        reason=first.reason,
        count=len(rows),
        study_instance_uid=first.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        sop_instance_uids=[row.sop_instance_uid for row in rows[:NAMED]],
        sent_study_instance_uid=first.sent_study_instance_uid,
        sent_series_instance_uid=first.sent_series_instance_uid,
        sent_sop_instance_uids=[row.sent_sop_instance_uid for row in rows[:NAMED] if row.sent_sop_instance_uid],
        ids=[row.id for row in rows[:NAMED]],
        attempts=max(row.attempts for row in rows),
        finished_at=max(ended) if ended else None,
        decided_by=first.decided_by,
        decided_at=first.decided_at,
        next=next_step.of_deliveries(rows, situation),
    )


def _shown(state: str) -> str:
    return "under way" if state == State.LEASED else state


def _changed_by(destination: Destination | None, configuration: Configuration) -> dict[str, str] | None:
    if destination is None:
        return None
    for how in ("de_identification", "tag_morphing"):
        chosen = getattr(destination, how)
        if chosen is not None:
            profile = next((one.profile for one in configuration.projects if one.name == chosen.project), "")
            return {"how": how, "project": chosen.project, "profile": profile}
    return None
