"""Keep pseudonyms: add, edit, delete, list, and find who is behind one.

What stores or deletes returns what deliveries may have waited for: pass it to `karnak_core.spool.waiting.wake` in the
same transaction. One transaction at a time stores, so that no two patients of a project ever share a pseudonym.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from karnak_core.database.tables import STORING_LOCK, patient_key, pseudonym
from karnak_core.errors import NotFound
from karnak_core.model import now_ms
from karnak_core.pseudonyms.entries import TEXTS, Entry, PseudonymError, problems_of

#: values in one statement, at most
CHUNK: Final = 500

_ORDER: Final = (pseudonym.c.project, pseudonym.c.patient_id, pseudonym.c.issuer, pseudonym.c.id)


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """A pseudonym that is stored."""

    number: int
    project: str
    #: ms since 1970
    created_at: int
    created_by: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which of a project's pseudonyms; what is empty does not narrow."""

    numbers: Collection[int] = ()
    patient_ids: Collection[str] = ()
    pseudonyms: Collection[str] = ()


def add(connection: sa.Connection, project: str, entry: Entry, by: str) -> frozenset[str]:
    """Store one pseudonym.

    Raises
    ------
    PseudonymError
        It is malformed, the patient has one already, or another patient has it.
    """
    _prepare(connection, project)
    return _insert(connection, project, {"": entry}, by)


def import_rows(
    connection: sa.Connection,
    project: str,
    rows: Iterable[tuple[int, Entry]],
    by: str,
    *,
    skip_stored: bool = False,
) -> tuple[int, frozenset[str]]:
    """Store all of these pseudonyms, or none; return how many, and what deliveries may have waited for.

    Parameters
    ----------
    rows
        Each with the number that a problem is to name.
    skip_stored
        True: leave out those that are stored already, for the same patient; false: they are problems.

    Raises
    ------
    PseudonymError
        Any is malformed, or stands twice, or the patient has one already, or another patient has it: every problem.
    """
    _prepare(connection, project)
    named = {f"row {number}: ": entry for number, entry in rows}
    if skip_stored:
        stored = {(row.patient, row.pseudonym) for row in _alike(connection, project, named.values())}
        named = {place: entry for place, entry in named.items() if (entry.patient, entry.pseudonym) not in stored}
    return len(named), _insert(connection, project, named, by)


def get(connection: sa.Connection, number: int) -> Row:
    """Return what is stored under a number; raises NotFound."""
    found = connection.execute(sa.select(pseudonym).where(pseudonym.c.id == number, _not_expired())).one_or_none()
    if found is None:
        raise NotFound(f"there is no pseudonym {number}")
    return _row(found)


def edit(connection: sa.Connection, number: int, entry: Entry) -> frozenset[str]:
    """Replace what is stored under a number, or leave it as it is where the new one cannot be stored.

    Raises
    ------
    NotFound
        Nothing is stored under this number.
    PseudonymError
        As for :func:`add`.
    """
    one_at_a_time(connection)
    before = get(connection, number)
    forget_expired(connection, before.project)
    _refuse(_problems(connection, before.project, {"": entry}, besides=number))
    changed = sa.update(pseudonym).where(pseudonym.c.id == number).values(**_values(before.project, entry))
    if not connection.execute(changed).rowcount:
        raise NotFound(f"pseudonym {number} has just expired")
    return frozenset(patient_key(before.project, patient_id) for patient_id in (before.patient_id, entry.patient_id))


def delete(connection: sa.Connection, project: str, choice: Choice) -> tuple[int, frozenset[str]]:
    """Delete the chosen ones of a project; return how many, and what deliveries may have waited for.

    A delivery waits for that where a Patient ID had several pseudonyms, of different issuers.
    """
    one_at_a_time(connection)
    rows: set[tuple[int, str]] = set()
    for column, values in (
        (pseudonym.c.id, choice.numbers),
        (pseudonym.c.patient_id, choice.patient_ids),
        (pseudonym.c.pseudonym, choice.pseudonyms),
    ):
        if values:
            found = _where_in(connection, project, column, values)
            matching = {(row.id, row.patient_id) for row in found}
            rows = rows & matching if rows else matching
            if not rows:
                return 0, frozenset()
    return _delete(connection, project, rows)


def delete_all(connection: sa.Connection, project: str) -> tuple[int, frozenset[str]]:
    """Delete every pseudonym of a project; return how many, and what deliveries may have waited for."""
    one_at_a_time(connection)
    found = connection.execute(
        sa.select(pseudonym.c.id, pseudonym.c.patient_id).where(pseudonym.c.project == project)
    ).all()
    return _delete(connection, project, {(row.id, row.patient_id) for row in found})


def forget_expired(connection: sa.Connection, project: str | None = None) -> int:
    """Delete what has expired, everywhere or in one project; return how many."""
    statement = sa.delete(pseudonym).where(pseudonym.c.expires_at <= now_ms())
    if project is not None:
        statement = statement.where(pseudonym.c.project == project)
    return connection.execute(statement).rowcount


def find(connection: sa.Connection, name: str, project: str | None = None) -> list[Row]:
    """Return who is behind a pseudonym, exactly as it is written, in every project or in one."""
    if not name.isprintable():
        return []
    statement = _selected(sa.select(pseudonym), project, "").where(pseudonym.c.pseudonym == name)
    return [_row(row) for row in connection.execute(statement.order_by(*_ORDER))]


def page(
    connection: sa.Connection,
    *,
    project: str | None = None,
    search: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[Row]:
    """Yield what is stored, by project and Patient ID, expired ones left out.

    Parameters
    ----------
    search
        Only those with this text in any of their texts, whatever its case.
    """
    statement = _selected(sa.select(pseudonym), project, search).order_by(*_ORDER).limit(limit).offset(offset)
    for row in connection.execution_options(yield_per=1000).execute(statement):
        yield _row(row)


def part(
    connection: sa.Connection, project: str, *, search: str = "", after: int = 0, before: int | None = None, limit: int
) -> list[Row]:
    """Return a part of a project's, in the order in which they were stored; what others delete moves none into another.

    Parameters
    ----------
    after, before
        Numbers: the first ones after it, or the last ones before it.
    """
    statement = _selected(sa.select(pseudonym), project, search).limit(limit)
    if before is None:
        statement = statement.where(pseudonym.c.id > after).order_by(pseudonym.c.id)
        return [_row(row) for row in connection.execute(statement)]
    statement = statement.where(pseudonym.c.id < before).order_by(pseudonym.c.id.desc())
    return [_row(row) for row in connection.execute(statement)][::-1]


def count(connection: sa.Connection, *, project: str | None = None, search: str = "") -> int:
    """Return how many :func:`page` has, all pages together."""
    statement = _selected(sa.select(sa.func.count(pseudonym.c.id)), project, search)
    found: int = connection.execute(statement).scalar_one()
    return found


def _selected(statement: sa.Select[Any], project: str | None, search: str) -> sa.Select[Any]:
    statement = statement.where(_not_expired())
    if project is not None:
        statement = statement.where(pseudonym.c.project == project)
    if not search.isprintable():
        return statement.where(sa.false())
    if search:
        anywhere = (pseudonym.c[name].icontains(search, autoescape=True) for name in TEXTS)
        statement = statement.where(sa.or_(*anywhere))
    return statement


def _prepare(connection: sa.Connection, project: str) -> None:
    one_at_a_time(connection)
    # what has expired must not stand in the way
    forget_expired(connection, project)


def one_at_a_time(connection: sa.Connection) -> None:
    """Wait until nobody else stores or deletes, until the end of the transaction; before what is changed is read."""
    if connection.dialect.name != "sqlite":  # where there is one writer at a time anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(STORING_LOCK)))


def _insert(connection: sa.Connection, project: str, named: dict[str, Entry], by: str) -> frozenset[str]:
    _refuse(_problems(connection, project, named))
    now = now_ms()
    more = {"project": project, "created_at": now, "created_by": by[:128]}
    rows = [_values(project, entry) | more for entry in named.values()]
    if rows:
        connection.execute(sa.insert(pseudonym), rows)
    return frozenset(patient_key(project, entry.patient_id) for entry in named.values())


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise PseudonymError(problems)


def _problems(
    connection: sa.Connection, project: str, named: dict[str, Entry], besides: int | None = None
) -> list[str]:
    """Return what is wrong, each after the name of its entry; ``besides`` is the number of the one replaced."""
    stored = [row for row in _alike(connection, project, named.values()) if row.number != besides]
    patients = {row.patient: "stored" for row in stored}
    names = {row.pseudonym: "stored" for row in stored}
    problems = problems_of(named.items(), lambda place: place.rstrip(": "), patients, names)
    return [f"{place}{problem}" for place, problem in problems]


def _alike(connection: sa.Connection, project: str, entries: Iterable[Entry]) -> list[Row]:
    """Return what is stored for a Patient ID or under a pseudonym of one of the entries."""
    good = [entry for entry in entries if not any(entry.problems())]
    found: dict[int, Row] = {}
    for column, values in (
        (pseudonym.c.patient_id, {entry.patient_id for entry in good}),
        (pseudonym.c.pseudonym, {entry.pseudonym for entry in good}),
    ):
        found |= {row.id: _row(row) for row in _where_in(connection, project, column, values)}
    return list(found.values())


def _where_in(
    connection: sa.Connection, project: str, column: sa.Column[Any], values: Collection[Any]
) -> Iterator[Any]:
    # the others are not stored, and not every database could be asked
    askable = [value for value in values if not isinstance(value, str) or value.isprintable()]
    for chunk in _chunks(sorted(askable)):
        yield from connection.execute(
            sa.select(pseudonym).where(pseudonym.c.project == project, column.in_(chunk))
        ).all()


def _delete(connection: sa.Connection, project: str, rows: Collection[tuple[int, str]]) -> tuple[int, frozenset[str]]:
    for chunk in _chunks([number for number, _ in rows]):
        connection.execute(sa.delete(pseudonym).where(pseudonym.c.id.in_(chunk)))
    return len(rows), frozenset(patient_key(project, patient_id) for _, patient_id in rows)


def _values(project: str, entry: Entry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in (*TEXTS, "expires_at")}
    return {**values, "patient_key": patient_key(project, entry.patient_id)}


def _not_expired() -> sa.ColumnElement[bool]:
    return sa.or_(pseudonym.c.expires_at.is_(None), pseudonym.c.expires_at > now_ms())


def _row(row: Any) -> Row:
    return Row(
        number=row.id,
        project=row.project,
        pseudonym=row.pseudonym,
        patient_id=row.patient_id,
        issuer=row.issuer,
        first_name=row.first_name,
        last_name=row.last_name,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
    )


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))
