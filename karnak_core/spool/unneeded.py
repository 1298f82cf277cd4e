"""Bytes of instances that nothing needs any more: neither a delivery that is open, nor what follows one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from karnak_core.database.tables import content, delivery, follow_up, instance

#: instances looked at in one transaction, so that nobody waits long
CHUNK: Final = 500


def lock_instances(connection: sa.Connection, instances: Sequence[int]) -> None:
    """Wait for others who end deliveries of these instances; needed before :func:`forget_files`.

    Two destinations of one instance may end at once: the second must see the first, or no one removes the file.
    Instances are locked before rows of deliveries and of follow-ups, and in order: two never wait for one another.
    """
    if connection.dialect.name != "sqlite":  # where there is one writer at a time anyway
        connection.execute(_LOCK, {"ids": instances}).all()


def lock_idle(connection: sa.Connection, instances: Collection[int]) -> list[int]:
    """Lock those of these that nobody else has, and return them: for who holds locks that others may wait for.

    The others are found by :func:`forget_left`, in the end.
    """
    ids = sorted(instances)
    if not ids or connection.dialect.name == "sqlite":
        return ids
    return list(connection.execute(_LOCK_IDLE, {"ids": ids}).scalars())


def forget_files(connection: sa.Connection, instances: Sequence[int]) -> list[str]:
    """Take the bytes from those of these instances that nothing needs; return the paths of files."""
    if not instances:
        return []
    rows = connection.execute(_UNNEEDED, {"ids": instances}).all()
    if rows:
        ids = {"ids": [row.id for row in rows]}
        connection.execute(_FORGET_PATHS, ids)
        connection.execute(_FORGET_CONTENTS, ids)
    return [row.path for row in rows if row.path]


def forget_instances(connection: sa.Connection, instances: Sequence[int]) -> list[str]:
    """Take the bytes from those of these instances that nothing needs, and forget those whose deliveries are forgotten.

    Lock the instances before. Return the paths of files, to be removed once this is durable.
    """
    if not instances:
        return []
    paths = forget_files(connection, instances)
    connection.execute(
        sa.delete(instance).where(
            instance.c.id.in_(instances),
            instance.c.path.is_(None),
            ~sa.exists().where(delivery.c.instance_id == instance.c.id),
        )
    )
    return paths


def left(connection: sa.Connection) -> list[int]:
    """Return instances whose bytes nothing needs, some of them: who ended the last thing could not lock them."""
    return list(connection.execute(_LEFT).scalars())


def forget_left(connection: sa.Connection, instances: Sequence[int]) -> list[str]:
    """Take the bytes of what :func:`left` found, where nothing needs them still; return files as above."""
    lock_instances(connection, instances)
    return forget_instances(connection, instances)


_IDS: sa.BindParameter[list[int]] = sa.bindparam("ids", expanding=True)

_LOCK = sa.select(instance.c.id).where(instance.c.id.in_(_IDS)).order_by(instance.c.id).with_for_update()

_LOCK_IDLE = (
    sa.select(instance.c.id).where(instance.c.id.in_(_IDS)).order_by(instance.c.id).with_for_update(skip_locked=True)
)

_NEEDED_BY_NOTHING = (
    instance.c.path.is_not(None),
    ~sa.exists().where(delivery.c.instance_id == instance.c.id, delivery.c.not_before.is_not(None)),
    ~sa.exists().where(follow_up.c.instance_id == instance.c.id, follow_up.c.not_before.is_not(None)),
)

_UNNEEDED = sa.select(instance.c.id, instance.c.path).where(instance.c.id.in_(_IDS), *_NEEDED_BY_NOTHING)

_LEFT = sa.select(instance.c.id).where(*_NEEDED_BY_NOTHING).order_by(instance.c.id).limit(CHUNK)

_FORGET_PATHS = sa.update(instance).where(instance.c.id.in_(_IDS)).values(path=None)

_FORGET_CONTENTS = sa.delete(content).where(content.c.instance_id.in_(_IDS))
