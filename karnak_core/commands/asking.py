"""Ask the peers of destinations and follow-ups whether they would take what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from karnak_core.config.afterwards import by_key
from karnak_core.config.models import Configuration
from karnak_core.deliver.contexts import Contexts
from karnak_core.errors import DeliveryError
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext
from karnak_core.plugins import Plugins


class Probed(Protocol):
    """A part that can say whether it would work."""

    def probe(self) -> str:
        """Return what was seen, in words; raises DeliveryError."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of asking."""

    #: NODE/DESTINATION, and the follow-up where it is one
    place: str
    words: str
    good: bool


def ask(kind: Kind[Any, Probed], options: Any, context: OpenContext) -> str:
    """Open a part, ask, and close it; raises DeliveryError."""
    with closing(kind.open(options, context)) as part:
        return part.probe()


def ask_all(configuration: Configuration, plugins: Plugins, contexts: Contexts) -> Iterator[Answer]:
    """Ask every destination that is enabled, and its follow-ups, one after the other."""
    for node in configuration.forward_nodes:
        for destination in node.destinations:
            if not destination.enabled:
                continue
            place = f"{node.ae_title}/{destination.name}"
            parts: list[tuple[str, Kind[Any, Any], Any]] = [
                (place, plugins.destinations[destination.type], destination.options)
            ]
            for key, follow_up in by_key(destination.follow_ups).items():
                parts.append((f"{place} follow-up {key}", plugins.follow_ups[follow_up.type], follow_up.options))
            for name, kind, options in parts:
                context = contexts.of(configuration, node.ae_title, destination.name, kind)
                try:
                    yield Answer(place=name, words=ask(kind, options, context), good=True)
                except DeliveryError as error:
                    yield Answer(place=name, words=error.reason, good=False)
