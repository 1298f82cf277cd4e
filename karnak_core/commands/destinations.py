"""Find a destination by the name that a person gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from karnak_core.commands.common import Place, fail
from karnak_core.config import store
from karnak_core.config.models import Destination
from karnak_core.database import Database
from karnak_core.database.secrets import SecretKeyError
from karnak_core.deliver.contexts import Contexts
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext
from karnak_core.plugins import Plugins


@dataclass(frozen=True, kw_only=True)
class Found:
    """A destination of the configuration in force."""

    database: Database
    forward_node: str
    destination: Destination
    kind: Kind[Any, Any]
    context: OpenContext
    plugins: Plugins
    #: kind of a part beside the destination -> what that part is told
    context_of: Callable[[Kind[Any, Any]], OpenContext]


def find_destination(place: Place, name: str) -> Found:
    """Return the destination called NODE/NAME or NAME; end with exit status 2 when there is not exactly one."""
    database = place.open_database()
    following = store.Following.start(database, place)
    every = [
        (node.ae_title, destination)
        for node in following.configuration.forward_nodes
        for destination in node.destinations
    ]
    found = [pair for pair in every if name in (pair[1].name, f"{pair[0]}/{pair[1].name}")]
    if len(found) != 1:
        known = ", ".join(f"{node}/{destination.name}" for node, destination in every)
        fail(f"{name}: {'several destinations have' if found else 'no destination has'} this name; known: {known}", 2)
    node, destination = found[0]
    try:
        contexts = Contexts(following.plugins, place.open_vault(), place.data_directory)
    except SecretKeyError as error:
        fail(error)
    return Found(
        database=database,
        forward_node=node,
        destination=destination,
        kind=following.plugins.destinations[destination.type],
        context=contexts.of(following.configuration, node, destination.name),
        plugins=following.plugins,
        context_of=lambda kind: contexts.of(following.configuration, node, destination.name, kind),
    )
