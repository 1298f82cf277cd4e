"""The lists of nodes: rows of ``tool_node`` and ``tool_endpoint``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from karnak_core.database import Database
from karnak_core.database.nodes import tool_endpoint, tool_node
from karnak_core.errors import ConfigProblem, ConfigurationError, Conflict, NotFound
from karnak_core.tools.nodes import (
    WORKLIST,
    DicomNode,
    Service,
    WebEndpoint,
    endpoint_problems,
    is_reserved,
    node_problems,
)

#: entries of all lists together, of each kind
MOST = 5000


@dataclass(frozen=True, kw_only=True)
class StoredNode:
    """A node with its number."""

    id: int
    node: DicomNode

    @property
    def state(self) -> str:
        """A text that is another one when the node was changed."""
        return _digest(_node_values(self.node))


@dataclass(frozen=True, kw_only=True)
class StoredEndpoint:
    """An endpoint with its number."""

    id: int
    endpoint: WebEndpoint

    @property
    def state(self) -> str:
        """A text that is another one when the endpoint was changed."""
        return _digest(_endpoint_values(self.endpoint))


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What came of an import."""

    added: int
    #: were there already
    known: int


def nodes(connection: sa.Connection, group: str | None = None) -> list[StoredNode]:
    """Return the nodes of a group, or all of them, by group, description and AE title."""
    table = tool_node.c
    query = sa.select(tool_node).order_by(table.node_group, table.description, table.ae_title, table.id)
    if group is not None:
        query = query.where(table.node_group == group)
    return [_node(row) for row in connection.execute(query)]


def endpoints(connection: sa.Connection, group: str | None = None) -> list[StoredEndpoint]:
    """Return the endpoints of a group, or all of them, by group and description."""
    table = tool_endpoint.c
    query = sa.select(tool_endpoint).order_by(table.node_group, table.description, table.id)
    if group is not None:
        query = query.where(table.node_group == group)
    return [_endpoint(row) for row in connection.execute(query)]


def groups(connection: sa.Connection) -> dict[str, tuple[int, int]]:
    """Return how many nodes and endpoints each group has."""
    found: dict[str, tuple[int, int]] = {}
    for table, at in ((tool_node, 0), (tool_endpoint, 1)):
        query = sa.select(table.c.node_group, sa.func.count()).group_by(table.c.node_group)
        for name, count in connection.execute(query):
            before = found.get(name, (0, 0))
            found[name] = (count, before[1]) if at == 0 else (before[0], count)
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def get_node(connection: sa.Connection, number: int) -> StoredNode:
    """Return a node; raises NotFound."""
    row = connection.execute(sa.select(tool_node).where(tool_node.c.id == number)).one_or_none()
    if row is None:
        raise NotFound("there is no such node")
    return _node(row)


def get_endpoint(connection: sa.Connection, number: int) -> StoredEndpoint:
    """Return an endpoint; raises NotFound."""
    row = connection.execute(sa.select(tool_endpoint).where(tool_endpoint.c.id == number)).one_or_none()
    if row is None:
        raise NotFound("there is no such endpoint")
    return _endpoint(row)


def save_node(database: Database, node: DicomNode, number: int | None = None, *, seen: str | None = None) -> StoredNode:
    """Add a node, or put it in the place of another one.

    Parameters
    ----------
    seen
        The ``state`` of the other one as it was looked at; None: whatever it is.

    Raises
    ------
    ConfigurationError
        With everything that is wrong with it; its group has it already.
    NotFound
        There is no node of this number.
    Conflict
        It is not as it was looked at any more.
    """
    _refuse(node_problems(node))
    saved = _saved(database, tool_node, _node_values(node), number, "ae_title", seen)
    with database.read() as connection:
        return get_node(connection, saved)


def save_endpoint(
    database: Database, endpoint: WebEndpoint, number: int | None = None, *, seen: str | None = None
) -> StoredEndpoint:
    """Add an endpoint, or put it in the place of another one; raises as :func:`save_node`."""
    _refuse(endpoint_problems(endpoint))
    saved = _saved(database, tool_endpoint, _endpoint_values(endpoint), number, "url", seen)
    with database.read() as connection:
        return get_endpoint(connection, saved)


def _saved(
    database: Database, table: sa.Table, values: dict[str, Any], number: int | None, key: str, seen: str | None
) -> int:
    try:
        with database.write() as connection:
            if number is None:
                _refuse_too_many(connection, table, 1)
                inserted = connection.execute(sa.insert(table).values(values)).inserted_primary_key
                assert inserted is not None
                return int(inserted[0])
            _require_same(connection, table, number, seen)
            connection.execute(sa.update(table).where(table.c.id == number).values(values))
            return number
    except IntegrityError:
        raise ConfigurationError([ConfigProblem(place=key, message="is in the list already")]) from None


def _require_same(connection: sa.Connection, table: sa.Table, number: int, seen: str | None) -> None:
    row = connection.execute(sa.select(table).where(table.c.id == number).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("there is no such entry")
    stored = _node(row) if table is tool_node else _endpoint(row)
    if seen is not None and stored.state != seen:
        raise Conflict("somebody else has changed this meanwhile; look at it again")


def delete_node(database: Database, number: int, *, seen: str | None = None) -> DicomNode:
    """Remove a node; raises NotFound, and Conflict where it is not as it was looked at."""
    with database.write() as connection:
        _require_same(connection, tool_node, number, seen)
        stored = get_node(connection, number)
        connection.execute(sa.delete(tool_node).where(tool_node.c.id == number))
        return stored.node


def delete_endpoint(database: Database, number: int, *, seen: str | None = None) -> WebEndpoint:
    """Remove an endpoint; raises NotFound, and Conflict where it is not as it was looked at."""
    with database.write() as connection:
        _require_same(connection, tool_endpoint, number, seen)
        stored = get_endpoint(connection, number)
        connection.execute(sa.delete(tool_endpoint).where(tool_endpoint.c.id == number))
        return stored.endpoint


def delete_group(database: Database, group: str, *, most: int | None = None) -> int:
    """Remove every entry of a group; return how many.

    Parameters
    ----------
    most
        How many somebody has looked at; None: as many as there are.

    Raises
    ------
    NotFound
        It has none.
    Conflict
        There are more by now; nothing is removed.
    """
    with database.write() as connection:
        gone = 0
        for table in (tool_node, tool_endpoint):
            gone += connection.execute(sa.delete(table).where(table.c.node_group == group)).rowcount
        if most is not None and gone > most:
            raise Conflict(f"the group has {gone} entries by now, and {most} were looked at; nothing was changed")
    if not gone:
        raise NotFound("there is no such group" if not is_reserved(group) else "this group cannot be changed here")
    return gone


def import_nodes(database: Database, given: Iterable[DicomNode], *, empty_first: bool = False) -> Imported:
    """Add the nodes that their groups do not have yet.

    Parameters
    ----------
    empty_first
        True: the groups of these nodes are emptied first; worklists where there are worklists among them.
    """
    rows = [_node_values(node) for node in given]
    return _imported(database, tool_node, rows, ("node_group", "ae_title", "hostname", "port"), empty_first)


def import_endpoints(database: Database, given: Iterable[WebEndpoint], *, empty_first: bool = False) -> Imported:
    """Add the endpoints that no group has yet; as :func:`import_nodes`."""
    rows = [_endpoint_values(endpoint) for endpoint in given]
    return _imported(database, tool_endpoint, rows, ("url_hash",), empty_first)


def _imported(
    database: Database, table: sa.Table, rows: list[dict[str, Any]], key: tuple[str, ...], empty_first: bool
) -> Imported:
    columns = [table.c[name] for name in key]
    with database.write() as connection:
        if empty_first:
            emptied = sorted({row["node_group"] for row in rows})
            connection.execute(sa.delete(table).where(table.c.node_group.in_(emptied)))
        known = {tuple(row) for row in connection.execute(sa.select(*columns))}
        new: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            place = tuple(row[name] for name in key)
            if place not in known:
                new.setdefault(place, row)
        if new:
            _refuse_too_many(connection, table, len(new))
            connection.execute(sa.insert(table), list(new.values()))
    return Imported(added=len(new), known=len(rows) - len(new))


def _refuse_too_many(connection: sa.Connection, table: sa.Table, more: int) -> None:
    there: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    if there + more > MOST:
        problem = ConfigProblem(place="", message=f"the lists would have {there + more} entries; {MOST} are allowed")
        raise ConfigurationError([problem])


def _refuse(problems: Iterator[tuple[str, str]]) -> None:
    found = [ConfigProblem(place=place, message=message) for place, message in problems]
    if found:
        raise ConfigurationError(found)


def _node(row: Any) -> StoredNode:
    node = DicomNode(
        ae_title=row.ae_title,
        hostname=row.hostname,
        port=row.port,
        description=row.description,
        node_type=row.node_type,
        group=row.node_group or None,
    )
    return StoredNode(id=row.id, node=node)


def _endpoint(row: Any) -> StoredEndpoint:
    names = row.services.split(",")
    endpoint = WebEndpoint(
        url=row.url,
        description=row.description,
        services=tuple(service for service in Service if service.value in names),
        group=row.node_group or None,
    )
    return StoredEndpoint(id=row.id, endpoint=endpoint)


def _digest(values: dict[str, Any]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in values.items())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _node_values(node: DicomNode) -> dict[str, Any]:
    if node.node_type == WORKLIST:
        node = replace(node, group=None)
    return {
        "node_group": node.group or "",
        "node_type": node.node_type,
        "description": node.description,
        "ae_title": node.ae_title,
        "hostname": node.hostname.lower(),
        "port": node.port,
    }


def _endpoint_values(endpoint: WebEndpoint) -> dict[str, Any]:
    return {
        "node_group": endpoint.group or "",
        "description": endpoint.description,
        "url": endpoint.url,
        "services": ",".join(service for service in Service if service in endpoint.services),
        "url_hash": hashlib.sha256(endpoint.url.encode()).hexdigest(),
    }
