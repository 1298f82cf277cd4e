"""Who the tools ask, for the API and the pages: nodes by their names here, and not too much at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from karnak_core.config.models import Destination
from karnak_core.config.tls import ClientTLS
from karnak_core.deliver.contexts import Contexts
from karnak_core.errors import ConfigProblem, ConfigurationError, DeliveryError, NotFound
from karnak_core.model import OpenContext
from karnak_core.spool import decisions, health
from karnak_core.tools import dicomweb, node_lists
from karnak_core.tools.destinations import side_by_side
from karnak_core.tools.monitoring import MOST
from karnak_core.tools.nodes import (
    GATEWAY_DESTINATIONS,
    DicomNode,
    WebEndpoint,
    gateway_destinations,
    is_reserved,
    node_problems,
)
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused

#: questions that are asked at once, of all who ask; each holds a thread of the web server's
AT_ONCE = 12
#: seconds for the probe of a destination, whose own time limits may be long
PROBE = 60.0
#: the group of what is in none
UNGROUPED = ""

_slots = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def slot() -> Iterator[None]:
    """Take part in the number of questions that are asked at once.

    Raises
    ------
    Refused
        429: there are too many.
    """
    if not _slots.acquire(blocking=False):
        raise Refused(429, f"{AT_ONCE} questions are being asked already; try again", {"Retry-After": "5"})
    try:
        yield
    finally:
        _slots.release()


def context_of(console: Console) -> OpenContext:
    """Return what parts are told about addresses; no secrets, no authenticators."""
    entities = console.configuration.application_entities
    return OpenContext(
        data_directory=console.data_directory,
        application_entities={entity.ae_title: (entity.hostname, entity.port) for entity in entities},
    )


def own_nodes(console: Console) -> list[DicomNode]:
    """Return the nodes that the configuration sends to."""
    return gateway_destinations(console.configuration, context_of(console))


def nodes_of(console: Console, group: str) -> list[DicomNode]:
    """Return the nodes of a group, as many as are asked at once; raises NotFound."""
    if is_reserved(group):
        return own_nodes(console)[:MOST]
    with console.database.read() as connection:
        found = node_lists.nodes(connection, group)
    if not found:
        raise NotFound("there is no such group")
    return [stored.node for stored in found[:MOST]]


def typed_node(*, ae_title: str, hostname: str, port: int | None, tls: bool) -> DicomNode:
    """Return the node that somebody typed.

    Raises
    ------
    ConfigurationError
        With everything that is wrong with it.
    """
    node = DicomNode(
        ae_title=ae_title.strip(), hostname=hostname.strip(), port=port or 0, tls=ClientTLS() if tls else None
    )
    problems = [ConfigProblem(place=place, message=message) for place, message in node_problems(node)]
    if problems:
        raise ConfigurationError(problems)
    return node


def calling(text: str) -> str:
    """Return our AE title, as somebody typed it; raises ConfigurationError."""
    title = text.strip()
    problems = [
        ConfigProblem(place="calling_ae_title", message=message)
        for place, message in node_problems(DicomNode(ae_title=title, hostname="x", port=1))
        if place == "ae_title"
    ]
    if problems:
        raise ConfigurationError(problems)
    return title


def key_of(node: DicomNode) -> str:
    """Return what a node of the configuration is chosen by."""
    return f"g:{node.ae_title}@{node.hostname}:{node.port}"


def known_node(console: Console, key: str) -> DicomNode:
    """Return the node that is chosen by ``n:<number>`` in the lists, or by the key of one of the configuration.

    Raises
    ------
    NotFound
        There is none.
    """
    kind, _, number = key.partition(":")
    if kind == "n" and number.isascii() and number.isdigit() and len(number) < 19:
        with console.database.read() as connection:
            return node_lists.get_node(connection, int(number)).node
    found = next((node for node in own_nodes(console) if key_of(node) == key), None)
    if found is None:
        raise NotFound("there is no such node any more")
    return found


def choices(console: Console) -> dict[str, dict[str, str]]:
    """Return the nodes to choose from: by group, key -> words."""
    found: dict[str, dict[str, str]] = {}
    for node in own_nodes(console):
        found.setdefault(GATEWAY_DESTINATIONS, {})[key_of(node)] = _words(node)
    with console.database.read() as connection:
        listed = node_lists.nodes(connection)
    for stored in listed:
        heading = stored.node.group or ("Worklists" if stored.node.node_type == "WORKLIST" else "Without a group")
        found.setdefault(heading, {})[f"n:{stored.id}"] = _words(stored.node)
    return found


def _words(node: DicomNode) -> str:
    address = f"{node.ae_title} at {node.hostname}:{node.port}"
    return f"{node.description} ({address})" if node.description not in ("", node.ae_title) else address


def check_web(
    console: Console, user: Identity, url: str, authenticator: str = "", tls: Any = None
) -> dicomweb.WebCheck:
    """Ask a DICOMweb service, authorized by an authenticator of the configuration where one is named.

    Raises
    ------
    Refused
        403: no destination uses this authenticator there, and the user may not look at secrets.
    """
    if authenticator in console.configuration.authenticators:
        _note_authorized(console, user, url, authenticator)
    contexts = Contexts(console.plugins, console.vault, console.data_directory)
    try:
        known = contexts.of(console.configuration, "", "").authenticators
        authorize = dicomweb.authorization(authenticator, known) if authenticator else None
        return dicomweb.check_web(url, authorize=authorize, tls=tls)
    finally:
        contexts.close_all_but(None)


def _note_authorized(console: Console, user: Identity, url: str, authenticator: str) -> None:
    """Write down where an authenticator is sent, which whoever listens there gets."""
    where = _origin(url)
    there = {
        _origin(options.url)
        for options in web_destinations(console).values()
        if getattr(options, "authenticator", None) == authenticator
    }
    if where not in there and Scope.SECRETS not in user.scopes:
        words = f"no destination uses the authenticator {authenticator!r} at this address"
        raise Refused(403, f"this needs the scope {Scope.SECRETS}: {words}")
    audit(console, user, "ask", where, f"with the authenticator {authenticator}")


def _origin(url: str) -> str:
    """Return scheme, host and port; the rest of an address may be a secret."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}:{port}"


def web_destinations(console: Console) -> dict[str, Any]:
    """Return the options of the DICOMweb destinations of the configuration, by NODE/NAME."""
    return {
        name: destination.options
        for name, (_, destination) in destinations(console).items()
        if isinstance(getattr(destination.options, "url", None), str)
    }


def endpoint(console: Console, number: int) -> WebEndpoint:
    """Return an endpoint of the lists; raises NotFound."""
    with console.database.read() as connection:
        return node_lists.get_endpoint(connection, number).endpoint


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a destination says of itself."""

    destination: str
    ok: bool
    message: str
    #: why nothing is sent to it all the same; empty: it is
    note: str = ""


def destinations(console: Console) -> Mapping[str, tuple[str, Destination]]:
    """Return the configured destinations by NODE/NAME: the node's AE title, and the destination."""
    return {
        f"{node.ae_title}/{destination.name}": (node.ae_title, destination)
        for node in console.configuration.forward_nodes
        for destination in node.destinations
    }


def probe(console: Console, name: str) -> Probed:
    """Ask a configured destination as `karnak probe` does; one that was held goes on when it answers.

    Raises
    ------
    NotFound
        There is no destination NODE/NAME.
    """
    found = destinations(console).get(name)
    if found is None:
        raise NotFound(f"there is no destination {name[:130]!r}")
    forward_node, destination = found
    probed = side_by_side(
        [name],
        lambda _name: _probed(console, forward_node, destination),
        lambda _name: Probed(destination=name, ok=False, message=f"no answer within {PROBE:g} s"),
        seconds=PROBE,
        at_once=1,
    )[0]
    if probed.ok:
        with console.database.write() as connection:
            health.note_answer(connection, forward_node, destination.name)
            topics = decisions.pending_topics(connection)
        console.wake.publish(topics)
    note = ""
    if not destination.enabled:
        note = "it is disabled: nothing is sent to it"
    elif destination.paused:
        note = "it is paused: instances are queued, but held"
    return replace(probed, note=note)


def _probed(console: Console, forward_node: str, destination: Destination) -> Probed:
    name = f"{forward_node}/{destination.name}"
    kind = console.plugins.destinations[destination.type]
    contexts = Contexts(console.plugins, console.vault, console.data_directory)
    try:
        context = contexts.of(console.configuration, forward_node, destination.name, kind)
        with closing(kind.open(destination.options, context)) as part:
            return Probed(destination=name, ok=True, message=part.probe())
    except DeliveryError as error:
        return Probed(destination=name, ok=False, message=error.reason)
    finally:
        contexts.close_all_but(None)
