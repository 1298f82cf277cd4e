"""What of the gateway's lists somebody wants to see: by words, and destinations by their state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from karnak_core.config.models import Destination, ForwardNode, Source
from karnak_core.errors import NotFound
from karnak_core.model import Health
from karnak_core.monitor import standing
from karnak_core.monitor.standing import DestinationStanding
from karnak_plugins.web_console.console import Console

#: how a destination can be, as filters name it
STATES: Final = tuple(state.value for state in Health)
#: characters of a filter that count
LONGEST: Final = 200


@dataclass(frozen=True, kw_only=True)
class Line:
    """A destination in a list."""

    destination: Destination
    #: None: it takes part in nothing yet
    standing: DestinationStanding | None

    @property
    def state(self) -> str:
        """Return how it is, one of ``STATES``."""
        return (self.standing.state if self.standing else Health.OK).value

    @property
    def where(self) -> str:
        """Return what is told of where it goes, in a few words."""
        options = self.destination.options
        found = [getattr(options, key, None) for key in ("ae_title", "url", "directory", "file")]
        where = next((value for value in found if isinstance(value, str) and value), "")
        host, port = getattr(options, "hostname", ""), getattr(options, "port", None)
        return f"{where} at {host}{f':{port}' if port else ''}" if host else where

    @property
    def does(self) -> str:
        """Return what is done to instances."""
        if self.destination.de_identification:
            return f"de-identified, {self.destination.de_identification.project}"
        if self.destination.tag_morphing:
            return f"tag morphing, {self.destination.tag_morphing.project}"
        return ""

    @property
    def words(self) -> str:
        """Return everything that words are looked for in."""
        one = self.destination
        return f"{one.name} {one.type} {self.state} {one.description} {self.where} {self.does}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be seen; empty: everything."""

    #: every one of these words, in any case of letters
    text: str = ""
    #: only destinations that are so
    state: str = ""

    @property
    def narrows(self) -> bool:
        """Say whether anything is left out."""
        return bool(self.text.strip() or self.state)

    def has(self, words: str) -> bool:
        """Say whether all of the words are in a text."""
        there = words.casefold()
        return all(word in there for word in self.text[:LONGEST].casefold().split())

    def sources(self, node: ForwardNode) -> list[Source]:
        """Return the sources of a node that are wanted; none has a state."""
        return [one for one in node.sources if self.has(f"{one.ae_title} {one.hostname} {one.description}")]

    def lines(self, lines: list[Line]) -> list[Line]:
        """Return the destinations that are wanted."""
        return [line for line in lines if self.state in ("", line.state) and self.has(line.words)]

    def nodes(self, console: Console) -> Iterator[tuple[ForwardNode, list[Line]]]:
        """Yield nodes with those of their destinations that are wanted: all, where the words tell of the node."""
        known = _standings(console)
        for node in console.configuration.forward_nodes:
            lines = _lines(node, known)
            of_state = Wanted(state=self.state).lines(lines)
            own = f"{node.ae_title} {node.description} {' '.join(one.ae_title for one in node.sources)}"
            hits = of_state if self.has(own) else self.lines(lines)
            if hits or (self.has(own) and not self.state):
                yield node, hits


def lines_of(console: Console, node: ForwardNode) -> list[Line]:
    """Return the destinations of a node, with how they are."""
    return _lines(node, _standings(console))


def node_of(console: Console, title: str) -> ForwardNode:
    """Return a node; raises NotFound."""
    for node in console.configuration.forward_nodes:
        if node.ae_title == title:
            return node
    raise NotFound(f"there is no forward node {title!r}")


def _lines(node: ForwardNode, known: dict[tuple[str, str], DestinationStanding]) -> list[Line]:
    return [
        Line(destination=destination, standing=known.get((node.ae_title, destination.name)))
        for destination in node.destinations
    ]


def _standings(console: Console) -> dict[tuple[str, str], DestinationStanding]:
    found = standing.look(console.database, console.configuration, console.spool)
    return {(one.numbers.forward_node, one.numbers.destination): one for one in found.destinations}
