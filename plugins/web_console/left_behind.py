"""Open deliveries are filed under node and destination: what would take the name from under them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from karnak_core.config.store import open_deliveries
from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.entries import NODES, destinations


def waiting(console: Console, node: str, name: str = "") -> int:
    """Return how many deliveries to a destination are open, or to all of a node."""
    names = [name] if name else [one.name for one in _destinations(console, node)]
    with console.database.read() as connection:
        return sum(open_deliveries(connection, node, one) for one in names)


def would_fail(count: int) -> str:
    """Return what becomes of open deliveries where their destination is deleted; empty: there are none."""
    if not count:
        return ""
    words = ("delivery of it is open: it fails, and is kept", "deliveries of it are open: they fail, and are kept")
    return f"{count} {words[count != 1]}, but nobody delivers {'it' if count == 1 else 'them'}."


def refuse_left_behind(console: Console, before: Mapping[str, Any], after: Mapping[str, Any], node: str) -> None:
    """Refuse to change a node so that open deliveries would lose their destination; to delete one is another request.

    Parameters
    ----------
    before, after
        The document as it is, and as it would be.
    node
        AE title of the node, as it is.

    Raises
    ------
    ConfigurationError
        With every destination that has another name, or is not there, and open deliveries.
    """
    position = NODES.position(before, node)
    changed = NODES.of(after)[position]
    there = NODES.place(before, position)
    renamed = NODES.name(changed) != node
    stay = [] if renamed else changed.get("destinations")
    # what else is wrong with them is told by the check
    kept = {str(one.get("name")) for one in stay if isinstance(one, Mapping)} if isinstance(stay, list) else set()
    problems = []
    for index, one in enumerate(destinations(node).of(before)):
        name = str(one["name"])
        count = 0 if name in kept else waiting(console, node, name)
        if count:
            key = ".ae_title" if renamed else f".destinations[{index}].name"
            are = "1 delivery is" if count == 1 else f"{count} deliveries are"
            words = f"{are} open under the name {node}/{name}, and could not follow to another one"
            problems.append(ConfigProblem(place=f"{there}{key}", message=words))
    if problems:
        raise ConfigurationError(problems)


def _destinations(console: Console, node: str) -> tuple[Any, ...]:
    for one in console.configuration.forward_nodes:
        if one.ae_title == node:
            return tuple(one.destinations)
    return ()
