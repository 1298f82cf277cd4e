"""Claim deliveries, settle how they ended, and give back what a dead process had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import content, delivery, follow_up, instance, notification, process
from karnak_core.model import Delivery, Instance, Outcome, State, now_ms
from karnak_core.spool import afterwards, lost, tallies, waiting
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.memory import MemoryFile
from karnak_core.spool.texts import storable
from karnak_core.spool.unneeded import forget_files, forget_instances, lock_idle, lock_instances


def next_due(connection: sa.Connection, forward_node: str, destination: str) -> int | None:
    """Return when the next pending delivery of a destination is due, in ms; None: there is none."""
    return connection.execute(_NEXT_DUE, {"node": forward_node, "destination": destination}).scalar()


def claim(
    connection: sa.Connection,
    folder: SpoolFolder,
    forward_node: str,
    destination: str,
    owner: str,
    limit: int,
) -> list[Delivery]:
    """Lease up to ``limit`` deliveries that are due, those due longest first."""
    rows = connection.execute(
        _CLAIM,
        {"node": forward_node, "destination": destination, "now": now_ms(), "limit": limit},
    ).all()
    if rows:
        connection.execute(_LEASE, {"ids": [row.delivery_id for row in rows], "new_owner": owner})
    return [_delivery(row, folder) for row in rows]


def settle(
    connection: sa.Connection,
    owner: str,
    outcomes: Sequence[tuple[Delivery, Outcome]],
    *,
    since: int = 0,
    watchers: Sequence[afterwards.Watcher] = (),
    version: int = 0,
) -> list[str]:
    """Store how leased deliveries ended; return the spool files that nothing needs any more.

    A lease that this owner has lost meanwhile is left as it is. The files may be removed once the transaction is
    durable, not before.

    Parameters
    ----------
    since
        When they were claimed, ms since 1970: who failed for the want of something that was stored after that is
        tried again.
    watchers
        Who is to be told about the studies.
    version
        Of the configuration by which they were delivered.
    """
    wanted = {outcome.waits_for for _, outcome in outcomes if outcome.waits_for}
    there = waiting.stored_meanwhile(connection, wanted, since)
    if there:
        outcomes = [(item, _again(outcome) if outcome.waits_for in there else outcome) for item, outcome in outcomes]
    lock_instances(connection, sorted({item.instance.id for item, _ in outcomes}))
    # locked, so that a lease that is lost now is lost before this or after it
    held = set(connection.execute(_HELD, {"ids": [item.id for item, _ in outcomes], "owner": owner}).scalars())
    settled = [(item, outcome) for item, outcome in outcomes if item.id in held]
    replaced: list[int] = []
    if settled:
        now = now_ms()
        connection.execute(_SETTLE, [_settled_row(item, outcome, now) for item, outcome in settled])
        replaced = afterwards.store_due(connection, settled, version)
        if watchers:
            afterwards.watch(connection, settled, watchers)
    counts = Counter(
        (item.instance.forward_node, item.destination, outcome.state.value)
        for item, outcome in settled
        if outcome.state in _TALLIED
    )
    tallies.add(connection, counts)
    final = [item.instance.id for item, outcome in settled if outcome.state in _TALLIED]
    return forget_files(connection, final) + forget_instances(connection, lock_idle(connection, replaced))


def _again(outcome: Outcome) -> Outcome:
    return Outcome(state=State.PENDING, reason=outcome.reason, not_before=now_ms() + waiting.LOOK_AGAIN)


def release(connection: sa.Connection, owners: Sequence[str], *, crashed: bool = False) -> int:
    """Make what these owners had leased pending again, also of what follows deliveries; return how many deliveries.

    Parameters
    ----------
    crashed
        The owners died by themselves, maybe of one of these; see :func:`karnak_core.spool.lost.release`.
    """
    if not owners:
        return 0
    shaken: list[int] = []
    if crashed:
        for leased in (
            sa.select(delivery.c.id).where(delivery.c.lease_owner.in_(owners)),
            sa.select(follow_up.c.delivery_id).where(
                follow_up.c.lease_owner.in_(owners), follow_up.c.not_before.is_not(None)
            ),
        ):
            shaken += connection.execute(leased).scalars()
    released = lost.release(connection, delivery, owners, crashed=crashed)
    lost.release(connection, follow_up, owners, crashed=crashed)
    # one that has failed by it has no other outcome that anybody would be told of
    afterwards.touch(connection, shaken)
    lost.release(connection, notification, owners, crashed=crashed)
    connection.execute(sa.delete(process).where(process.c.owner.in_(owners)))
    return released


def fail_removed(connection: sa.Connection, destinations: Sequence[tuple[str, str]]) -> int:
    """Fail, and keep, what is pending for destinations that the configuration no longer has."""
    known = set(destinations)
    open_ones = connection.execute(
        sa.select(delivery.c.forward_node, delivery.c.destination)
        .where(delivery.c.not_before.is_not(None), delivery.c.state == State.PENDING)
        .distinct()
    ).all()
    failed = 0
    for node, destination in open_ones:
        if (node, destination) not in known:
            failed += connection.execute(
                sa.update(delivery)
                .where(_pending(node, destination))
                .values(
                    state=State.FAILED,
                    reason="the destination was removed from the configuration",
                    finished_at=now_ms(),
                )
            ).rowcount
    return failed


_TALLIED = (State.SENT, State.DUPLICATE, State.EXCLUDED)


def _pending(forward_node: str, destination: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        delivery.c.forward_node == forward_node,
        delivery.c.destination == destination,
        delivery.c.state == State.PENDING,
        delivery.c.not_before.is_not(None),
    )


# Built once: what runs for every batch is not to be composed for every batch.

_IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)

_NEXT_DUE = (
    sa.select(delivery.c.not_before)
    .where(
        delivery.c.forward_node == sa.bindparam("node"),
        delivery.c.destination == sa.bindparam("destination"),
        delivery.c.state == State.PENDING.value,
        delivery.c.not_before.is_not(None),
    )
    .order_by(delivery.c.not_before)
    .limit(1)
)

_LEASE = (
    sa.update(delivery)
    .where(delivery.c.id.in_(_IDS))
    .values(state=State.LEASED.value, lease_owner=sa.bindparam("new_owner"))
)

_HELD = (
    sa.select(delivery.c.id)
    .where(delivery.c.id.in_(_IDS), delivery.c.lease_owner == sa.bindparam("owner"))
    .order_by(delivery.c.id)
    .with_for_update()
)

_older, _before = instance.alias("older"), delivery.alias("before")

_CLAIM = (
    sa.select(
        delivery.c.id.label("delivery_id"),
        delivery.c.destination,
        delivery.c.attempts,
        delivery.c.created_at,
        delivery.c.decided_at,
        instance,
        content.c.data,
    )
    .join(instance, instance.c.id == delivery.c.instance_id)
    .outerjoin(content, content.c.instance_id == instance.c.id)
    .where(
        delivery.c.forward_node == sa.bindparam("node"),
        delivery.c.destination == sa.bindparam("destination"),
        delivery.c.state == State.PENDING.value,
        delivery.c.not_before <= sa.bindparam("now"),
        # of several versions of one instance the older goes first, or it would end up on top of the newer
        ~sa.exists().where(
            _older.c.sop_instance_uid == instance.c.sop_instance_uid,
            _older.c.id < instance.c.id,
            _before.c.instance_id == _older.c.id,
            _before.c.forward_node == delivery.c.forward_node,
            _before.c.destination == delivery.c.destination,
            _before.c.not_before.is_not(None),
            _before.c.state != State.FAILED.value,
        ),
    )
    .order_by(delivery.c.not_before)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True, of=delivery)
)

_SETTLE = (
    sa.update(delivery)
    .where(delivery.c.id == sa.bindparam("delivery_id"))
    .values(
        state=sa.bindparam("new_state"),
        # who was not tried keeps what was said of the last attempt
        reason=sa.case(
            (sa.bindparam("untried", type_=sa.Boolean), delivery.c.reason),
            else_=sa.bindparam("new_reason", type_=sa.Text),
        ),
        attempts=delivery.c.attempts + sa.bindparam("attempted", type_=sa.Integer),
        not_before=sa.bindparam("new_not_before"),
        lease_owner=None,
        finished_at=sa.bindparam("ended_at"),
        sent_study_instance_uid=sa.bindparam("study"),
        sent_series_instance_uid=sa.bindparam("series"),
        sent_sop_instance_uid=sa.bindparam("sop"),
        sent_facts=sa.bindparam("facts_sent", type_=delivery.c.sent_facts.type),
        waits_for=sa.bindparam("wanted"),
    )
)


def _settled_row(item: Delivery, outcome: Outcome, now: int) -> dict[str, Any]:
    final = outcome.state in _TALLIED
    outgoing = outcome.outgoing
    return {
        "delivery_id": item.id,
        "new_state": outcome.state,
        "untried": not outcome.counts and not outcome.reason,
        "new_reason": storable(outcome.reason),
        "attempted": int(outcome.counts),
        "new_not_before": None if final else (outcome.not_before or now),
        "ended_at": None if outcome.state is State.PENDING else now,
        "study": outgoing.study_instance_uid if outgoing else None,
        "series": outgoing.series_instance_uid if outgoing else None,
        "sop": outgoing.sop_instance_uid if outgoing else None,
        "facts_sent": dict(outgoing.facts) if outgoing and outgoing.facts is not None else None,
        "wanted": outcome.waits_for or None,
    }


def _delivery(row: Any, folder: SpoolFolder) -> Delivery:
    held = MemoryFile(row.data) if row.data is not None else None
    return Delivery(
        id=row.delivery_id,
        destination=row.destination,
        attempts=row.attempts,
        created_at=row.created_at,
        since=max(row.created_at, row.decided_at or 0),
        held=held,
        instance=instance_of(row, held.path if held else folder.path(row.path or "missing")),
    )


def instance_of(row: Any, path: Path) -> Instance:
    """Return the instance of a row of the ledger, whose bytes are under ``path``."""
    return Instance(
        id=row.id,
        forward_node=row.forward_node,
        calling_ae_title=row.calling_ae_title,
        peer_host=row.peer_host,
        received_at=row.received_at,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        path=path,
        dataset_offset=row.dataset_offset,
        size=row.size,
        facts=row.facts,
    )
