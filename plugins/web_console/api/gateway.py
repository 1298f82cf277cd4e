"""Forward nodes, their sources and their destinations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from karnak_core.model import Health
from karnak_plugins.web_console.api.changing import (
    RESPONSES,
    Changes,
    Comment,
    Keys,
    Reads,
    Version,
    change,
    given,
    now,
)
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import NODES, Entries, destinations, source_name, sources
from karnak_plugins.web_console.filtering import Wanted, lines_of, node_of
from karnak_plugins.web_console.left_behind import refuse_left_behind
from karnak_plugins.web_console.masks import masked
from karnak_plugins.web_console.resources import ConsoleOf, tag

router = APIRouter(tags=["gateway"], responses=RESPONSES, prefix="/forward-nodes")
Title = Annotated[str, Path(description="AE title of the forward node")]
SourceTitle = Annotated[str, Path(description="calling AE title")]
HostName = Annotated[str, Query(max_length=255, description="of the source, where it has one")]
Words = Annotated[
    str,
    Query(
        max_length=200,
        description="only those with all of these words in name, type, state, address or description",
    ),
]
DestinationName = Annotated[str, Path(description="name of the destination")]


def _listed(entries: Entries, response: Response, console: Console) -> list[dict[str, Any]]:
    tag(response, console)
    found: list[dict[str, Any]] = masked(entries.of(now(console)))
    return found


def _got(entries: Entries, name: str, response: Response, console: Console) -> dict[str, Any]:
    tag(response, console)
    found: dict[str, Any] = masked(entries.get(now(console), name))
    return found


def _added(
    entries: Entries, body: Keys, user: Changes, response: Response, console: Console, version: int | None, comment: str
) -> dict[str, Any]:
    name = entries.name(body)
    what = f"add {entries.what} {f'{entries.node}/' if entries.node else ''}{name}"

    def make(document: dict[str, Any]) -> dict[str, Any]:
        new = given(body, None, entries.place(document, len(entries.of(document))))
        return entries.added(document, new)

    change(console, user, response, what, make, version, comment)
    return _got(entries, name, response, console)


def _put(
    entries: Entries,
    name: str,
    body: Keys,
    user: Changes,
    response: Response,
    console: Console,
    version: int | None,
    comment: str,
) -> dict[str, Any]:
    what = f"change {entries.what} {f'{entries.node}/' if entries.node else ''}{name}"

    def make(document: dict[str, Any]) -> dict[str, Any]:
        position = entries.position(document, name)
        new = given(body, entries.of(document)[position], entries.place(document, position))
        changed = entries.replaced(document, name, new)
        refuse_left_behind(console, document, changed, entries.node or name)
        return changed

    change(console, user, response, what, make, version, comment)
    return _got(entries, entries.name(body), response, console)


def _deleted(
    entries: Entries, name: str, user: Changes, response: Response, console: Console, version: int | None, comment: str
) -> None:
    what = f"delete {entries.what} {f'{entries.node}/' if entries.node else ''}{name}"
    change(console, user, response, what, lambda document: entries.removed(document, name), version, comment)


# those with more behind the title come first: it may have slashes itself
@router.get("/{ae_title:path}/sources")
def list_sources(
    ae_title: Title, _user: Reads, response: Response, console: ConsoleOf, q: Words = ""
) -> list[dict[str, Any]]:
    """List who may send to a node; where nobody is listed without a filter, anyone may."""
    found = _listed(sources(ae_title), response, console)
    if not q:
        return found
    wanted = Wanted(text=q).sources(node_of(console, ae_title))
    names = {source_name(one.ae_title, one.hostname) for one in wanted}
    return [one for one in found if source_name(one["ae_title"], one.get("hostname", "")) in names]


@router.post("/{ae_title:path}/sources", status_code=201)
def add_source(
    ae_title: Title,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> dict[str, Any]:
    """Add a source to a node."""
    return _added(sources(ae_title), body, user, response, console, version, comment)


@router.get("/{ae_title:path}/sources/{source}")
def get_source(
    ae_title: Title, source: SourceTitle, _user: Reads, response: Response, console: ConsoleOf, hostname: HostName = ""
) -> dict[str, Any]:
    """Return a source of a node."""
    return _got(sources(ae_title), source_name(source, hostname), response, console)


@router.put("/{ae_title:path}/sources/{source}")
def put_source(
    ae_title: Title,
    source: SourceTitle,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    hostname: HostName = "",
    comment: Comment = "",
) -> dict[str, Any]:
    """Change a source of a node."""
    name = source_name(source, hostname)
    return _put(sources(ae_title), name, body, user, response, console, version, comment)


@router.delete("/{ae_title:path}/sources/{source}", status_code=204)
def delete_source(
    ae_title: Title,
    source: SourceTitle,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    hostname: HostName = "",
    comment: Comment = "",
) -> None:
    """Remove a source of a node."""
    _deleted(sources(ae_title), source_name(source, hostname), user, response, console, version, comment)


@router.get("/{ae_title:path}/destinations")
def list_destinations(
    ae_title: Title,
    _user: Reads,
    response: Response,
    console: ConsoleOf,
    q: Words = "",
    state: Annotated[Health | None, Query(description="only those that are so now")] = None,
) -> list[dict[str, Any]]:
    """List where what a node receives goes. How the destinations are is told by /status."""
    found = _listed(destinations(ae_title), response, console)
    wanted = Wanted(text=q, state=state.value if state else "")
    if not wanted.narrows:
        return found
    names = {line.destination.name for line in wanted.lines(lines_of(console, node_of(console, ae_title)))}
    return [one for one in found if one["name"] in names]


@router.post("/{ae_title:path}/destinations", status_code=201)
def add_destination(
    ae_title: Title,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> dict[str, Any]:
    """Add a destination to a node; the keys of its type are told by /kinds."""
    return _added(destinations(ae_title), body, user, response, console, version, comment)


@router.get("/{ae_title:path}/destinations/{name}")
def get_destination(
    ae_title: Title, name: DestinationName, _user: Reads, response: Response, console: ConsoleOf
) -> dict[str, Any]:
    """Return a destination; keys that have their default are left out."""
    return _got(destinations(ae_title), name, response, console)


@router.put("/{ae_title:path}/destinations/{name}")
def put_destination(
    ae_title: Title,
    name: DestinationName,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> dict[str, Any]:
    """Change a destination; where deliveries of it are open, it keeps its name."""
    return _put(destinations(ae_title), name, body, user, response, console, version, comment)


@router.delete("/{ae_title:path}/destinations/{name}", status_code=204)
def delete_destination(
    ae_title: Title,
    name: DestinationName,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> None:
    """Remove a destination; what is open of it fails, and stays in the ledger."""
    _deleted(destinations(ae_title), name, user, response, console, version, comment)


@router.get("")
def list_nodes(_user: Reads, response: Response, console: ConsoleOf) -> list[dict[str, Any]]:
    """List the forward nodes with their sources and destinations."""
    return _listed(NODES, response, console)


@router.post("", status_code=201)
def add_node(
    body: Keys, user: Changes, response: Response, console: ConsoleOf, version: Version, comment: Comment = ""
) -> dict[str, Any]:
    """Add a forward node."""
    return _added(NODES, body, user, response, console, version, comment)


@router.get("/{ae_title:path}")
def get_node(ae_title: Title, _user: Reads, response: Response, console: ConsoleOf) -> dict[str, Any]:
    """Return a forward node."""
    return _got(NODES, ae_title, response, console)


@router.put("/{ae_title:path}")
def put_node(
    ae_title: Title,
    body: Keys,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> dict[str, Any]:
    """Change a forward node, with all of its sources and destinations.

    Where deliveries are open, the node and the destination keep their names, and the destination stays.
    """
    return _put(NODES, ae_title, body, user, response, console, version, comment)


@router.delete("/{ae_title:path}", status_code=204)
def delete_node(
    ae_title: Title,
    user: Changes,
    response: Response,
    console: ConsoleOf,
    version: Version,
    comment: Comment = "",
) -> None:
    """Remove a forward node with its sources and destinations; what is open fails, and stays in the ledger."""
    _deleted(NODES, ae_title, user, response, console, version, comment)
