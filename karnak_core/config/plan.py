"""What a change of the configuration means, in lines for people.

``+`` is added, ``-`` removed, ``~`` changed; nodes are found again by AE title, destinations by name, sources by AE
title and hostname.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from karnak_core.config.models import Configuration, ForwardNode
from karnak_core.config.secret import Secret

#: characters of a value that a line shows
SHOWN = 60


def changes(
    old: Configuration, new: Configuration, open_deliveries: Callable[[str, str], int] | None = None
) -> list[str]:
    """Return the differences, one a line; empty: nothing would change.

    Parameters
    ----------
    open_deliveries
        Tells how many deliveries of (forward node, destination) are not finished.
    """
    return list(_sections(old, new, open_deliveries or (lambda _node, _destination: 0)))


def _sections(old: Configuration, new: Configuration, count: Callable[[str, str], int]) -> Iterator[str]:
    for name in ("listener", "storage", "plugins"):
        # the sections of services are compared one by one
        yield from _keys(name, _dump(getattr(old, name), {"services"}), _dump(getattr(new, name), {"services"}))
    for name in ("monitoring", "clinical_log"):
        before, after = getattr(old, name), getattr(new, name)
        yield from _entries({name: before} if before else {}, {name: after} if after else {})
    yield from _entries(
        {f"plugins.{name}": section for name, section in old.plugins.services.items()},
        {f"plugins.{name}": section for name, section in new.plugins.services.items()},
    )
    yield from _entries(
        {f"application entity {entry.ae_title}": entry for entry in old.application_entities},
        {f"application entity {entry.ae_title}": entry for entry in new.application_entities},
    )
    yield from _entries(
        {f"authenticator {name}": entry for name, entry in old.authenticators.items()},
        {f"authenticator {name}": entry for name, entry in new.authenticators.items()},
    )
    yield from _entries(
        {f"profile {profile.name}": profile for profile in old.profiles},
        {f"profile {profile.name}": profile for profile in new.profiles},
    )
    for line in _entries(
        {f"project {project.name}": project for project in old.projects},
        {f"project {project.name}": project for project in new.projects},
    ):
        meaning = "; another one gives other UIDs, Patient IDs and dates" if line.endswith(": secret changed") else ""
        yield f"{line}{meaning}"
    nodes_before = {node.ae_title: node for node in old.forward_nodes}
    nodes_after = {node.ae_title: node for node in new.forward_nodes}
    for title in nodes_before | nodes_after:
        yield from _node(title, nodes_before.get(title), nodes_after.get(title), count)
        yield from _queued(title, old, new, count)


def _node(
    title: str, old: ForwardNode | None, new: ForwardNode | None, count: Callable[[str, str], int]
) -> Iterator[str]:
    inner = {"sources", "destinations"}
    if old is None:
        yield f"+ {title}: added"
    elif new is None:
        yield f"- {title}: removed"
    else:
        yield from _keys(title, _dump(old, inner), _dump(new, inner))
    yield from _entries(_sources(title, old), _sources(title, new))
    yield from _entries(
        {f"{title}/{destination.name}": destination for destination in (old.destinations if old else ())},
        {f"{title}/{destination.name}": destination for destination in (new.destinations if new else ())},
        lambda label: _still_open(count(title, label.removeprefix(f"{title}/"))),
    )


def _queued(title: str, old: Configuration, new: Configuration, count: Callable[[str, str], int]) -> Iterator[str]:
    """Say which queued deliveries go out otherwise than they would have when they were received."""
    before, after = _treatments(title, old), _treatments(title, new)
    for name in before:
        if name not in after or before[name] == after[name]:
            continue
        number = count(title, name)
        if number:
            deliveries = "delivery" if number == 1 else "deliveries"
            yield f"~ {title}/{name}: {number} queued {deliveries} will go out {_how(before[name], after[name])}"


@dataclass(frozen=True, kw_only=True)
class _Treatment:
    """What a destination does to who the patient is."""

    de_identification: BaseModel | None
    tag_morphing: BaseModel | None
    project: BaseModel | None
    profile: BaseModel | None


def _treatments(title: str, configuration: Configuration) -> Mapping[str, _Treatment]:
    projects = {project.name: project for project in configuration.projects}
    profiles = {profile.name: profile for profile in configuration.profiles}
    found = {}
    for node in configuration.forward_nodes:
        for destination in node.destinations if node.ae_title == title else ():
            used = destination.de_identification or destination.tag_morphing
            project = projects.get(used.project) if used else None
            found[destination.name] = _Treatment(
                de_identification=destination.de_identification,
                tag_morphing=destination.tag_morphing,
                project=project,
                profile=profiles.get(project.profile) if project else None,
            )
    return found


def _how(before: _Treatment, after: _Treatment) -> str:
    if after.de_identification:
        return "de-identified otherwise" if before.de_identification else "de-identified"
    if before.de_identification:
        return "with the patient's identity"
    return "with their tags changed otherwise" if after.tag_morphing else "with their tags unchanged"


def _sources(title: str, node: ForwardNode | None) -> Mapping[str, BaseModel]:
    return {
        f"{title}/source {source.ae_title}{'@' if source.hostname else ''}{source.hostname}": source
        for source in (node.sources if node else ())
    }


def _still_open(count: int) -> str:
    if not count:
        return ""
    words = "delivery still open: it fails" if count == 1 else "deliveries still open: they fail"
    return f", {count} {words}"


def _entries(
    old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], when_removed: Callable[[str], str] = lambda _label: ""
) -> Iterator[str]:
    for label in {**old, **new}:
        if label not in new:
            yield f"- {label}: removed{when_removed(label)}"
        elif label not in old:
            yield f"+ {label}: added"
        else:
            yield from _keys(label, _dump(old[label]), _dump(new[label]))


def _dump(model: BaseModel, without: set[str] | None = None) -> Mapping[str, Any]:
    """Return every key with its value, defaults too; secrets stay what they are."""
    return model.model_dump(by_alias=True, exclude=without)


def _keys(label: str, old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _keys(label, before, after, f"{prefix}{key}.")
        elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
            yield f"~ {label}: {prefix}{key} {_lines_changed(before, after)}"
        elif isinstance(before, Secret) or isinstance(after, Secret):
            yield f"~ {label}: {prefix}{key} changed"
        else:
            yield f"~ {label}: {prefix}{key} {_shown(before)} -> {_shown(after)}"


def _lines_changed(before: str, after: str) -> str:
    """Say how much of a text of several lines changed; which lines, two exports tell."""
    old, new = Counter(before.splitlines()), Counter(after.splitlines())
    counts = [f"{count} {word}" for count, word in (((new - old).total(), "added"), ((old - new).total(), "removed"))]
    return f"changed, lines: {', '.join(counts)}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        text = f"[{', '.join(_shown(item) for item in value)}]"
    elif isinstance(value, Mapping):
        text = f"{{{', '.join(f'{key}: {_shown(item)}' for key, item in value.items())}}}"
    elif isinstance(value, Secret):
        text = "***"
    else:
        text = str(value)
        if not text or text != text.strip() or not text.isprintable():
            text = repr(text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
