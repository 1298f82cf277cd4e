"""What a person decides about deliveries and what follows them: done, written down, and told to those who wait."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from karnak_core.errors import Conflict
from karnak_core.spool import decisions, follow_up_decisions, notice_decisions
from karnak_core.spool.views import Filter
from karnak_core.spool.wakeups import AFTERWARDS
from karnak_plugins.web_console.access.audit import note
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.console import Console


def retry(console: Console, user: Identity, chosen: Filter, most: int | None = None) -> int:
    """Try failed deliveries again, and pending ones now; return how many.

    Parameters
    ----------
    most
        How many the person has agreed to; None: as many as there are.

    Raises
    ------
    Conflict
        There are more by now; nothing has changed.
    """
    with console.database.write() as connection:
        count = decisions.retry(connection, chosen, _by(user))
        _agreed(count, most)
        topics = decisions.pending_topics(connection)
        note(connection, user, "retry", _many(count, "delivery", "deliveries"), words(chosen))
    console.wake.publish(topics)
    console.counting.forget()
    return count


def discard(console: Console, user: Identity, chosen: Filter, most: int | None = None) -> int:
    """Give up failed and pending deliveries; as :func:`retry`."""
    with console.database.write() as connection:
        count, removable = decisions.discard(connection, chosen, _by(user))
        _agreed(count, most)
        note(connection, user, "discard", _many(count, "delivery", "deliveries"), words(chosen))
    console.spool.remove(removable)
    console.counting.forget()
    return count


def retry_follow_ups(
    console: Console, user: Identity, chosen: follow_up_decisions.Filter, most: int | None = None
) -> int:
    """Do failed follow-ups again, and pending ones now; as :func:`retry`."""
    with console.database.write() as connection:
        count = follow_up_decisions.retry(connection, chosen, _by(user))
        _agreed(count, most)
        note(connection, user, "retry", _many(count, "follow-up", "follow-ups"), _of(chosen))
    console.wake.publish({AFTERWARDS})
    return count


def discard_follow_ups(
    console: Console, user: Identity, chosen: follow_up_decisions.Filter, most: int | None = None
) -> int:
    """Give up failed and pending follow-ups; as :func:`retry`."""
    with console.database.write() as connection:
        count, removable = follow_up_decisions.discard(connection, chosen, _by(user))
        _agreed(count, most)
        note(connection, user, "discard", _many(count, "follow-up", "follow-ups"), _of(chosen))
    console.spool.remove(removable)
    return count


def retry_notifications(
    console: Console, user: Identity, chosen: notice_decisions.Filter, most: int | None = None
) -> int:
    """Tell failed notifications again, and pending ones now; as :func:`retry`."""
    with console.database.write() as connection:
        count = notice_decisions.retry(connection, chosen)
        _agreed(count, most)
        note(connection, user, "retry", _many(count, "notification", "notifications"), _of(chosen))
    console.wake.publish({AFTERWARDS})
    return count


def discard_notifications(
    console: Console, user: Identity, chosen: notice_decisions.Filter, most: int | None = None
) -> int:
    """Give up failed and pending notifications; as :func:`retry`."""
    with console.database.write() as connection:
        count = notice_decisions.discard(connection, chosen, _by(user))
        _agreed(count, most)
        note(connection, user, "discard", _many(count, "notification", "notifications"), _of(chosen))
    return count


def looked(connection: sa.Connection, user: Identity, where: str, detail: str = "") -> None:
    """Write down that somebody looks at original identities."""
    note(connection, user, "look at", f"original identities in {where}", detail)


def words(chosen: Filter) -> str:
    """Return by what deliveries were chosen, without values of data sets."""
    told = [f"destination {chosen.destination}"] if chosen.destination else []
    told += [f"node {chosen.forward_node}"] if chosen.forward_node else []
    told += [f"state {', '.join(chosen.states)}"] if chosen.states else []
    told += _numbers(chosen.ids)
    names = {
        "a study": chosen.study_instance_uid,
        "a series": chosen.series_instance_uid,
        "an instance": chosen.sop_instance_uid,
        "a patient": chosen.patient_id,
        "a text": chosen.text,
        "a period": (chosen.since, chosen.until, chosen.changed_since, chosen.changed_until) != (None,) * 4,
    }
    told += [name for name, value in names.items() if value]
    return f"of {', '.join(told)}" if told else "all"


def _of(chosen: follow_up_decisions.Filter | notice_decisions.Filter) -> str:
    told = [f"destination {chosen.destination}"] if chosen.destination else []
    told += [f"state {', '.join(chosen.states)}"] if chosen.states else []
    told += _numbers(chosen.ids)
    told += ["a study"] if chosen.study_instance_uid else []
    return f"of {', '.join(told)}" if told else "all"


def _numbers(ids: Sequence[int]) -> list[str]:
    if not ids:
        return []
    some = ", ".join(str(number) for number in ids[:20])
    return [f"number {some}{f' and {len(ids) - 20} more' if len(ids) > 20 else ''}"]


def _agreed(count: int, most: int | None) -> None:
    if most is not None and count > most:
        raise Conflict(f"{count} are concerned by now, and {most} were agreed to; nothing was changed; look again")


def _by(user: Identity) -> str:
    return user.name[:128]


def _many(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"
