"""What is done after instances were sent, row by row: claim, settle, and what the configuration no longer has."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from karnak_core.database.tables import content, delivery, follow_up, instance
from karnak_core.model import Instance, Outgoing, State, now_ms
from karnak_core.spool import afterwards
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.leases import forget_files, instance_of, lock_instances
from karnak_core.spool.memory import MemoryFile
from karnak_core.spool.texts import storable

#: how a follow-up ended that was done; those of other states are called as deliveries are
DONE: Final = "done"
#: of an outgoing instance whose file is no more
NOTHING: Final = Path(os.devnull)

#: a follow-up of a destination: node, destination, part
Part = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How much of a follow-up of a destination waits."""

    of: Part
    #: how many may be done now
    due: int
    #: when the first of all is due, ms since 1970
    first: int


@dataclass(frozen=True, kw_only=True)
class FollowUpRow:
    """Something that is to be done."""

    id: int
    of: Part
    subject: str
    attempts: int
    #: when it was stored, or a person last asked for it again, ms
    since: int
    delivery_id: int
    #: what was sent; its file is no more
    outgoing: Outgoing
    #: the first instance of the subject, as received
    original: Instance
    #: what gives a small instance its path, to be closed; None: it is a file of the spool
    held: MemoryFile | None


def waiting(connection: sa.Connection) -> list[Waiting]:
    """Return what waits, of every follow-up of a destination."""
    rows = connection.execute(_WAITING, {"now": now_ms()}).all()
    return [
        Waiting(of=(row.forward_node, row.destination, row.part), due=int(row.due), first=row.first) for row in rows
    ]


def claim(connection: sa.Connection, folder: SpoolFolder, part: Part, owner: str, limit: int = 1) -> list[FollowUpRow]:
    """Lease up to ``limit`` that are due, those due longest first."""
    node, destination, name = part
    values = {"node": node, "destination": destination, "part": name, "now": now_ms(), "limit": limit}
    rows = connection.execute(_CLAIM, values).all()
    if rows:
        connection.execute(_LEASE, {"ids": [row.follow_up_id for row in rows], "new_owner": owner})
    return [_row(row, folder) for row in rows]


def done(connection: sa.Connection, row: FollowUpRow, owner: str, words: str) -> list[str]:
    """Store that it was done; return the spool files that nothing needs any more, to be removed once this is durable.

    A lease that this owner has lost meanwhile is left as it is; so for those below.
    """
    lock_instances(connection, [row.original.id])
    if not _settle(connection, row, owner, state=DONE, reason=words, attempted=1, not_before=None):
        return []
    afterwards.touch(connection, [row.delivery_id])
    return forget_instances(connection, [row.original.id])


def forget(connection: sa.Connection, row: FollowUpRow, owner: str) -> list[str]:
    """Forget that it was to be done, so that a later instance can have its subject done; return files as ``done``."""
    lock_instances(connection, [row.original.id])
    mine = follow_up.c.id == row.id, follow_up.c.lease_owner == owner
    if not connection.execute(sa.delete(follow_up).where(*mine)).rowcount:
        return []
    afterwards.touch(connection, [row.delivery_id])
    return forget_instances(connection, [row.original.id])


def failed(connection: sa.Connection, row: FollowUpRow, owner: str, reason: str) -> None:
    """Store that it failed; it is kept, for a person to decide."""
    if _settle(connection, row, owner, state=State.FAILED, reason=reason, attempted=1, not_before=now_ms()):
        afterwards.touch(connection, [row.delivery_id])


def again(
    connection: sa.Connection, row: FollowUpRow, owner: str, reason: str, not_before: int, *, counts: bool
) -> None:
    """Try again later."""
    _settle(connection, row, owner, state=State.PENDING, reason=reason, attempted=int(counts), not_before=not_before)


def give_back_all_but(connection: sa.Connection, owner: str, under_way: Collection[int]) -> int:
    """Make pending again what this owner has leased and does not know of; return how many."""
    return connection.execute(
        sa.update(follow_up)
        .where(
            follow_up.c.not_before.is_not(None),
            follow_up.c.state == State.LEASED.value,
            follow_up.c.lease_owner == owner,
            follow_up.c.id.not_in(under_way),
        )
        .values(state=State.PENDING, lease_owner=None)
    ).rowcount


def due_now(connection: sa.Connection, part: Part) -> int:
    """Have tried now what waits for its next attempt: what kept it from being done may be over."""
    now = now_ms()
    return connection.execute(
        sa.update(follow_up).where(_pending(part), follow_up.c.not_before > now).values(not_before=now)
    ).rowcount


def fail_removed(connection: sa.Connection, part: Part) -> int:
    """Fail, and keep, what waits for a follow-up that the configuration no longer has."""
    deliveries = list(connection.execute(sa.select(follow_up.c.delivery_id).where(_pending(part))).scalars())
    now = now_ms()
    count = connection.execute(
        sa.update(follow_up)
        .where(_pending(part))
        .values(state=State.FAILED, reason="was removed from the configuration", finished_at=now, not_before=now)
    ).rowcount
    afterwards.touch(connection, deliveries)
    return count


def rename(connection: sa.Connection, part: Part, new: str) -> tuple[int, list[str]]:
    """Have what waits, or failed, done by another follow-up of the destination, whose subjects it keeps.

    What was done is remembered as it was. Return how many, and the files that may go once this is durable: of what the
    other one has anyway.
    """
    node, destination, _ = part
    other = follow_up.alias("other")
    mine = sa.and_(_open(part), follow_up.c.state.in_((State.PENDING.value, State.FAILED.value)))
    twice = connection.execute(
        sa.select(follow_up.c.id, follow_up.c.instance_id)
        .where(
            mine,
            sa.exists().where(
                other.c.forward_node == node,
                other.c.destination == destination,
                other.c.part == new,
                other.c.subject == follow_up.c.subject,
            ),
        )
        .with_for_update()
    ).all()
    removable: list[str] = []
    if twice:
        lock_instances(connection, sorted({row.instance_id for row in twice}))
        connection.execute(
            sa.update(follow_up)
            .where(follow_up.c.id.in_([row.id for row in twice]))
            .values(state=State.DISCARDED, reason="another follow-up does it", not_before=None, finished_at=now_ms())
        )
        removable = forget_instances(connection, [row.instance_id for row in twice])
    moved = connection.execute(sa.update(follow_up).where(mine).values(part=new)).rowcount
    return moved, removable


def forget_instances(connection: sa.Connection, instances: Sequence[int]) -> list[str]:
    """Take the bytes from those of these instances that nothing needs, and forget those whose deliveries are forgotten.

    Lock the instances before. Return the paths of files, to be removed once this is durable.
    """
    paths = forget_files(connection, instances)
    connection.execute(
        sa.delete(instance).where(
            instance.c.id.in_(instances),
            instance.c.path.is_(None),
            ~sa.exists().where(delivery.c.instance_id == instance.c.id),
        )
    )
    return paths


def _open(part: Part) -> sa.ColumnElement[bool]:
    node, destination, name = part
    return sa.and_(
        follow_up.c.forward_node == node,
        follow_up.c.destination == destination,
        follow_up.c.part == name,
        follow_up.c.not_before.is_not(None),
    )


def _pending(part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(_open(part), follow_up.c.state == State.PENDING.value)


def _settle(
    connection: sa.Connection,
    row: FollowUpRow,
    owner: str,
    *,
    state: str,
    reason: str,
    attempted: int,
    not_before: int | None,
) -> bool:
    settled = connection.execute(
        sa.update(follow_up)
        .where(follow_up.c.id == row.id, follow_up.c.lease_owner == owner)
        .values(
            state=state,
            reason=storable(reason),
            attempts=follow_up.c.attempts + attempted,
            not_before=not_before,
            lease_owner=None,
            finished_at=None if state == State.PENDING else now_ms(),
        )
    )
    return bool(settled.rowcount)


_IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)

_WAITING = (
    sa.select(
        follow_up.c.forward_node,
        follow_up.c.destination,
        follow_up.c.part,
        sa.func.sum(sa.case((follow_up.c.not_before <= sa.bindparam("now", type_=sa.BigInteger), 1), else_=0)).label(
            "due"
        ),
        sa.func.min(follow_up.c.not_before).label("first"),
    )
    .where(follow_up.c.not_before.is_not(None), follow_up.c.state == State.PENDING.value)
    .group_by(follow_up.c.forward_node, follow_up.c.destination, follow_up.c.part)
)

_CLAIM = (
    sa.select(
        follow_up.c.id.label("follow_up_id"),
        follow_up.c.destination,
        follow_up.c.part,
        follow_up.c.subject,
        follow_up.c.attempts,
        follow_up.c.created_at,
        follow_up.c.decided_at,
        follow_up.c.delivery_id,
        follow_up.c.sent,
        instance,
        content.c.data,
    )
    .join(instance, instance.c.id == follow_up.c.instance_id)
    .outerjoin(content, content.c.instance_id == instance.c.id)
    .where(
        follow_up.c.forward_node == sa.bindparam("node"),
        follow_up.c.destination == sa.bindparam("destination"),
        follow_up.c.part == sa.bindparam("part"),
        follow_up.c.state == State.PENDING.value,
        follow_up.c.not_before.is_not(None),
        follow_up.c.not_before <= sa.bindparam("now"),
    )
    .order_by(follow_up.c.not_before, follow_up.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True, of=follow_up)
)

_LEASE = (
    sa.update(follow_up)
    .where(follow_up.c.id.in_(_IDS))
    .values(state=State.LEASED.value, lease_owner=sa.bindparam("new_owner"))
)


def _row(row: Any, folder: SpoolFolder) -> FollowUpRow:
    held = MemoryFile(row.data) if row.data is not None else None
    return FollowUpRow(
        id=row.follow_up_id,
        of=(row.forward_node, row.destination, row.part),
        subject=row.subject,
        attempts=row.attempts,
        since=max(row.created_at, row.decided_at or 0),
        delivery_id=row.delivery_id,
        outgoing=Outgoing(path=NOTHING, dataset_offset=0, size=0, **row.sent),
        original=instance_of(row, held.path if held else folder.path(row.path or "missing")),
        held=held,
    )
