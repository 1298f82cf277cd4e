"""What is left of a document that has problems: without their parts it is whole, and plugins can be asked about it.

Places are those of the document as it is written; what a plugin says about the rest is told with them, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from karnak_core.config.models import Configuration, Destination
from karnak_core.config.profiles import names_in
from karnak_core.config.reading import Reading
from karnak_core.config.uses import authenticators_in
from karnak_core.config.words import paths_of, place
from karnak_core.errors import ConfigProblem

Path = tuple[str | int, ...]

#: lists and mappings of which an entry can be taken out alone; 0 stands for any entry
_PARTS: Final = frozenset(
    {
        ("application_entities",),
        ("authenticators",),
        ("profiles",),
        ("projects",),
        ("plugins",),
        ("forward_nodes",),
        ("forward_nodes", 0, "sources"),
        ("forward_nodes", 0, "destinations"),
        ("forward_nodes", 0, "destinations", 0, "follow_ups"),
        ("forward_nodes", 0, "destinations", 0, "notifications"),
    }
)
_INDEX: Final = re.compile(r"\[(\d+)\]")
#: what a message names by its index, as a place does
_NAMED: Final = re.compile(r"(?<![\w.\]])([a-z_]+)\[\d+\](?:\.[a-z_]+|\[\d+\])*")


@dataclass(frozen=True, kw_only=True)
class Rest:
    """A document without some of its parts."""

    document: Any
    #: the places of what was taken out
    broken: frozenset[Path]
    #: of each list that is shorter now: its place -> the indexes that its entries had
    indexes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def told(self, found: ConfigProblem) -> ConfigProblem | None:
        """Return what was found in the rest as it is told of the whole.

        None: it is about something that holds, or is in, a part that was taken out, and may be there for that only.
        """
        at = self._written(found.place, "")
        for broken in map(place, self.broken):
            if not at or _inside(broken, at) or _inside(at, broken):
                return None
        return ConfigProblem(place=at, message=_NAMED.sub(lambda match: self._named(match, at), found.message))

    def path(self, path: Path) -> Path:
        """Return where it was what is now at ``path``."""
        written: Path = ()
        for step in path:
            known = self.indexes.get(place(written)) if isinstance(step, int) else None
            written = (*written, known[int(step)] if known is not None else step)
        return written

    def _written(self, at: str, under: str) -> str:
        """Return a place with the indexes that it had; ``under`` : what stands before it, with those already."""
        result = ""
        for position, piece in enumerate(_INDEX.split(at)):
            if position % 2 == 0:
                result += piece
                continue
            known, index = self.indexes.get(under + result, ()), int(piece)
            result += f"[{known[index] if index < len(known) else index}]"
        return result

    def _named(self, match: re.Match[str], at: str) -> str:
        """Return a name in a message that is about ``at`` with the indexes that it had: of a list near that, if any."""
        holders = [at, *(at[: found.start()] for found in reversed(list(re.finditer(r"\.|\[", at))))]
        near = [f"{holder}." for holder in holders if f"{holder}.{match[1]}" in self.indexes]
        return self._written(match[0], near[0] if near and (match[1],) not in _PARTS else "")


def sound_rest(
    document: Any, error: ValidationError, context: Reading
) -> tuple[Configuration, Rest] | tuple[None, None]:
    """Return the largest part of a document that is a configuration, after a validation of all of it failed.

    What uses a part that is taken out is taken out with it. None: nothing can be.
    """
    broken = {_part(path) for path in paths_of(error, Configuration, document, context)}
    while () not in broken:
        rest = _without(document, broken)
        try:
            configuration = Configuration.model_validate(rest.document, context=context)
            more = {rest.path(path) for path in _without_what_they_use(configuration, rest, context)}
        except ValidationError as again:
            found = paths_of(again, Configuration, rest.document, context)
            more = {_part(rest.path(path)) for path in found}
            if more <= broken:
                break
        else:
            if not more:
                return configuration, rest
        broken |= more
    return None, None


def _part(path: Path) -> Path:
    """Return the smallest part that can be taken out with what is at ``path``."""
    found = path[:1]
    for length in range(1, len(path)):
        if tuple(0 if isinstance(step, int) else step for step in path[:length]) in _PARTS:
            found = path[: length + 1]
    return found


def _without(document: Any, broken: Collection[Path]) -> Rest:
    indexes: dict[str, Sequence[int]] = {}

    def left(value: Any, at: Path) -> Any:
        if isinstance(value, Mapping):
            return {key: left(item, (*at, key)) for key, item in value.items() if (*at, key) not in broken}
        if isinstance(value, list | tuple):
            stay = [index for index in range(len(value)) if (*at, index) not in broken]
            if len(stay) < len(value):
                indexes[place(at)] = stay
            return [left(value[index], (*at, index)) for index in stay]
        return value

    return Rest(document=left(document, ()), broken=frozenset(broken), indexes=indexes)


def _without_what_they_use(configuration: Configuration, rest: Rest, context: Reading) -> Iterator[Path]:
    """Find what names a part that is not there any more, as it is in the rest."""
    profiles = names_in(rest.document.get("profiles"), context.plugins.profile_elements, context.folder)
    projects = {project.name for project in configuration.projects}
    for i, project in enumerate(configuration.projects):
        if profiles is not None and project.profile not in profiles:
            yield "projects", i
    for i, node in enumerate(configuration.forward_nodes):
        for j, destination in enumerate(node.destinations):
            if not projects.issuperset(_projects_in(destination)) or _lacks(configuration, destination):
                yield "forward_nodes", i, "destinations", j
    for name, section in configuration.services.items():
        if _lacks(configuration, section):
            yield "plugins", name


def _projects_in(destination: Destination) -> Iterator[str]:
    for use in (destination.de_identification, destination.tag_morphing):
        if use is not None:
            yield use.project


def _lacks(configuration: Configuration, value: object) -> bool:
    return not configuration.authenticators.keys() >= set(authenticators_in(value))


def _inside(one: str, other: str) -> bool:
    """Say whether a place is another one, or in it."""
    return one == other or one.startswith((f"{other}.", f"{other}["))
