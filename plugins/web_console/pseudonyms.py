"""What is done with pseudonyms: stored, changed and deleted, written down, and told to deliveries that wait."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

import sqlalchemy as sa

from karnak_core.database.tables import pseudonym
from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict, NotFound
from karnak_core.pseudonyms import store
from karnak_core.pseudonyms.entries import TEXTS, Entry, PseudonymError
from karnak_core.pseudonyms.store import Row
from karnak_core.spool import waiting
from karnak_plugins.web_console.access.audit import note
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.console import Console

#: numbers, or runs of them, that an entry of the audit trail has
MOST_TOLD = 200
#: returns how many were stored or deleted, and what deliveries may have waited for
Change = Callable[[sa.Connection], tuple[int, frozenset[str]]]


def need_project(console: Console, name: str) -> None:
    """Raise NotFound where the configuration has no such project."""
    if name not in {project.name for project in console.configuration.projects}:
        raise NotFound(f"there is no project {name!r}")


def changed(
    console: Console, user: Identity, project: str, action: str, change: Change, numbers: Collection[int] = ()
) -> tuple[int, int]:
    """Change the pseudonyms of a project; return how many, and how many deliveries are tried again because of it.

    Parameters
    ----------
    action
        A verb for the audit trail.
    numbers
        Of those that are changed or deleted, for the audit trail; it finds out itself what is added.

    Raises
    ------
    ConfigurationError
        What is to be stored is wrong: every problem, by row; nothing has changed.
    """
    try:
        with console.database.write() as connection:
            store.one_at_a_time(connection)
            last, there = _last(connection), _there(connection, project, numbers)
            count, keys = change(connection)
            woken, topics = waiting.wake(connection, keys, user.name[:128])
            which = _told(there or _added(connection, project, last))
            note(
                connection,
                user,
                action,
                f"pseudonyms of project {project}",
                f"{count}; {woken} deliveries woken{which}",
            )
    except PseudonymError as error:
        raise problems(error) from error
    if topics:
        console.wake.publish(topics)
        console.counting.forget()
    return count, woken


def _last(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.max(pseudonym.c.id))).scalar() or 0


def _there(connection: sa.Connection, project: str, numbers: Collection[int]) -> list[int]:
    if not numbers:
        return []
    columns = pseudonym.c
    query = sa.select(columns.id).where(columns.project == project, columns.id.in_(numbers)).order_by(columns.id)
    return list(connection.execute(query).scalars())


def _added(connection: sa.Connection, project: str, last: int) -> list[int]:
    columns = pseudonym.c
    query = sa.select(columns.id).where(columns.project == project, columns.id > last).order_by(columns.id)
    return list(connection.execute(query).scalars())


def _told(numbers: Sequence[int]) -> str:
    """Return which numbers these are, those in a row together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}–{last}" for first, last in runs[:MOST_TOLD]]
    words += [f"and {len(runs) - MOST_TOLD} more"] if len(runs) > MOST_TOLD else []
    return f"; number {', '.join(words)}" if words else ""


def problems(error: PseudonymError) -> ConfigurationError:
    """Return what is wrong by place: the row, or the text of an entry."""
    return ConfigurationError([ConfigProblem(place=_place(one), message=_said(one)) for one in error.problems])


def one_of(connection: sa.Connection, project: str, number: int) -> Row:
    """Return a pseudonym of a project; raises NotFound."""
    found = store.get(connection, number)
    if found.project != project:
        raise NotFound(f"there is no pseudonym {number}")
    return found


def state_of(row: Row) -> str:
    """Return a text that is another one when the pseudonym was changed."""
    text = "\0".join([str(row.number), *(getattr(row, name) for name in TEXTS), str(row.expires_at)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def edit(connection: sa.Connection, project: str, number: int, entry: Entry, seen: str | None) -> frozenset[str]:
    """Replace a pseudonym, if it is still the one that was looked at (``seen``; None: whatever it is)."""
    store.one_at_a_time(connection)
    _unchanged(one_of(connection, project, number), seen)
    return store.edit(connection, number, entry)


def delete(connection: sa.Connection, project: str, chosen: Mapping[int, str | None]) -> tuple[int, frozenset[str]]:
    """Delete some pseudonyms of a project, if those that are left are what was looked at: as ``seen`` of `edit`."""
    store.one_at_a_time(connection)
    for number, seen in chosen.items():
        if seen is not None:
            with suppress(NotFound):
                _unchanged(one_of(connection, project, number), seen)
    return store.delete(connection, project, store.Choice(numbers=chosen))


def _unchanged(row: Row, seen: str | None) -> None:
    if seen is not None and seen != state_of(row):
        raise Conflict("somebody has changed this pseudonym meanwhile; look at it again")


def _place(problem: str) -> str:
    row, colon, _ = problem.partition(": ")
    if colon and row.startswith("row "):
        return row
    # of a single entry: the text that it is about
    return next((name for name, title in TEXTS.items() if problem.startswith(f"the {title} ")), "")


def _said(problem: str) -> str:
    row, colon, rest = problem.partition(": ")
    return rest if colon and row.startswith("row ") else problem
