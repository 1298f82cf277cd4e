"""What is done after instances were sent, row by row: claim, settle, and what the configuration no longer has."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from karnak_core.database.tables import content, follow_up, instance, process
from karnak_core.model import Instance, Outgoing, State, now_ms
from karnak_core.spool import afterwards
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.leases import instance_of
from karnak_core.spool.memory import MemoryFile
from karnak_core.spool.texts import storable
from karnak_core.spool.unneeded import forget_instances, lock_idle, lock_instances

#: how a follow-up ended that was done; those of other states are called as deliveries are
DONE: Final = "done"
#: rows changed in one transaction, so that nobody waits long
CHUNK: Final = 500
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
    #: of the configuration by which the instance brought the subject in; another one now: another instance did since
    version: int
    #: what was sent; its file is no more
    outgoing: Outgoing
    #: the instance that brought the subject in, as received
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
    # of newer settings another instance may have brought it in meanwhile: for that one, too, it is done
    now = connection.execute(
        sa.select(follow_up.c.instance_id, follow_up.c.delivery_id).where(follow_up.c.id == row.id)
    ).one()
    afterwards.touch(connection, [row.delivery_id, now.delivery_id])
    others = lock_idle(connection, {now.instance_id} - {row.original.id})
    return forget_instances(connection, [row.original.id, *others])


def forget(connection: sa.Connection, row: FollowUpRow, owner: str) -> list[str]:
    """Forget that it was to be done, so that a later instance can have its subject done; return files as ``done``.

    Where another instance has brought the subject in meanwhile, by newer settings, it is to be done for that one.
    """
    lock_instances(connection, [row.original.id])
    mine = follow_up.c.id == row.id, follow_up.c.lease_owner == owner
    same = follow_up.c.version == row.version
    if connection.execute(sa.delete(follow_up).where(*mine, same)).rowcount:
        afterwards.touch(connection, [row.delivery_id])
    else:
        _settle(connection, row, owner, state=State.PENDING, reason="", attempted=0, not_before=now_ms())
    return forget_instances(connection, [row.original.id])


def failed(connection: sa.Connection, row: FollowUpRow, owner: str, reason: str) -> bool:
    """Store that it failed; it is kept, for a person to decide.

    False: it was not, as another instance has brought the subject in meanwhile, by newer settings: it is tried with it.
    """
    at = now_ms()
    if _settle(connection, row, owner, state=State.FAILED, reason=reason, attempted=1, not_before=at, same=True):
        afterwards.touch(connection, [row.delivery_id])
        return True
    _settle(connection, row, owner, state=State.PENDING, reason=reason, attempted=1, not_before=at)
    return False


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


def due_now(connection: sa.Connection, part: Part, later_than: int | None = None) -> int:
    """Have tried now what waits for its next attempt: what kept it from being done may be over.

    Parameters
    ----------
    later_than
        Only what would not be tried before this, ms; None: all.
    """
    now = now_ms()
    later = follow_up.c.not_before > (now if later_than is None else later_than)
    return connection.execute(sa.update(follow_up).where(_pending(part), later).values(not_before=now)).rowcount


def release_lost(connection: sa.Connection) -> int:
    """Make pending again what processes have that nobody knows any more; return how many.

    One whose leases were given away, as it was not seen for long, may have taken others before it found that out.
    """
    return connection.execute(
        sa.update(follow_up)
        .where(
            follow_up.c.not_before.is_not(None),
            follow_up.c.state == State.LEASED.value,
            follow_up.c.lease_owner.not_in(sa.select(process.c.owner)),
        )
        .values(state=State.PENDING, lease_owner=None)
    ).rowcount


def fail_removed(connection: sa.Connection, part: Part) -> int:
    """Fail, and keep, what waits for a follow-up that the configuration no longer has; up to ``CHUNK``."""
    rows = connection.execute(
        sa.select(follow_up.c.id, follow_up.c.delivery_id)
        .where(_pending(part))
        .order_by(follow_up.c.id)
        .limit(CHUNK)
        .with_for_update()
    ).all()
    if not rows:
        return 0
    now = now_ms()
    connection.execute(
        sa.update(follow_up)
        .where(follow_up.c.id.in_([row.id for row in rows]))
        .values(state=State.FAILED, reason="was removed from the configuration", finished_at=now, not_before=now)
    )
    afterwards.touch(connection, [row.delivery_id for row in rows])
    return len(rows)


def rename(connection: sa.Connection, part: Part, new: str) -> tuple[int, list[str]]:
    """Have what waits, or failed, done by another follow-up of the destination, whose subjects it keeps.

    Up to ``CHUNK``; what was done is remembered as it was. Return how many, and the files that may go once this is
    durable: of what the other one has anyway.
    """
    node, destination, _ = part
    other = follow_up.alias("other")
    twice = sa.exists().where(
        other.c.forward_node == node,
        other.c.destination == destination,
        other.c.part == new,
        other.c.subject == follow_up.c.subject,
    )
    mine = sa.and_(_open(part), follow_up.c.state.in_((State.PENDING.value, State.FAILED.value)))
    some = sa.select(follow_up.c.id, follow_up.c.instance_id, twice.label("twice")).where(mine)
    found = connection.execute(some.order_by(follow_up.c.id).limit(CHUNK)).all()
    # before the rows, see there
    locked = sorted({row.instance_id for row in found if row.twice})
    lock_instances(connection, locked)
    rows = connection.execute(
        some.where(follow_up.c.id.in_([row.id for row in found])).order_by(follow_up.c.id).with_for_update(of=follow_up)
    ).all()
    gone = [row for row in rows if row.twice and row.instance_id in locked]
    moved = [row.id for row in rows if not row.twice]
    connection.execute(
        sa.update(follow_up)
        .where(follow_up.c.id.in_([row.id for row in gone]))
        .values(state=State.DISCARDED, reason="another follow-up does it", not_before=None, finished_at=now_ms())
    )
    removable = forget_instances(connection, sorted({row.instance_id for row in gone}))
    connection.execute(sa.update(follow_up).where(follow_up.c.id.in_(moved)).values(part=new))
    return len(gone) + len(moved), removable


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
    same: bool = False,
) -> bool:
    """Store how it stands; ``same``: only for the instance that the row had when it was leased."""
    mine = [follow_up.c.id == row.id, follow_up.c.lease_owner == owner]
    if same:
        mine.append(follow_up.c.version == row.version)
    settled = connection.execute(
        sa.update(follow_up)
        .where(*mine)
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
        follow_up.c.version,
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
        version=row.version,
        outgoing=Outgoing(path=NOTHING, dataset_offset=0, size=0, **row.sent),
        original=instance_of(row, held.path if held else folder.path(row.path or "missing")),
        held=held,
    )
