"""What is wrong with albums across a configuration."""

from __future__ import annotations

from collections.abc import Iterator

from karnak_core.config.models import Configuration, Destination
from karnak_core.errors import ConfigProblem
from karnak_plugins.kheops_switch.config import KheopsAlbum

#: the type of destinations that Kheops takes instances by
NEEDED = "stow"


def problems(configuration: Configuration) -> Iterator[ConfigProblem]:
    """Find albums that do not belong to a STOW destination, and those that are there already."""
    for i, node in enumerate(configuration.forward_nodes):
        for j, destination in enumerate(node.destinations):
            yield from _of(destination, f"forward_nodes[{i}].destinations[{j}]")


def _of(destination: Destination, place: str) -> Iterator[ConfigProblem]:
    seen: dict[tuple[object, ...], int] = {}
    for k, follow_up in enumerate(destination.follow_ups):
        album = follow_up.options
        if not isinstance(album, KheopsAlbum):
            continue
        here = f"{place}.follow_ups[{k}]"
        if destination.type != NEEDED:
            yield ConfigProblem(
                place=here,
                message=f"{follow_up.type} needs a destination of type {NEEDED}, and this one is {destination.type}",
            )
        identity = album.api_url, album.destination_token, album.source_token, album.condition
        if identity in seen:
            yield ConfigProblem(place=here, message=f"already existing: follow_ups[{seen[identity]}] is the same album")
        seen.setdefault(identity, k)
