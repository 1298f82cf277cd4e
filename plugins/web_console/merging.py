"""Two people change the configuration: what is not the same part goes together, what is, is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from karnak_core.config import store
from karnak_core.config.default import default_configuration
from karnak_core.config.export import to_document
from karnak_core.config.models import Configuration
from karnak_core.config.plan import changes
from karnak_core.config.store import Applied, Version
from karnak_core.errors import ConfigurationError, Conflict, NotFound
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.console import Console, Document

#: authors of others' versions that are told, the last ones
TOLD = 5
#: versions that are looked through for them, the last ones
LOOKED_AT = 500


class Meanwhile(Conflict):
    """Somebody else has changed the same part since the form was made.

    ``version`` : the one that applies now. ``changed_by``, ``changed_at`` : who made it, and when (ms since 1970).
    ``lines`` : what was changed, one a line. ``gone`` : it is not there any more.
    """

    def __init__(self, *, version: int, changed_by: str, changed_at: int, lines: Sequence[str], gone: bool) -> None:
        super().__init__(f"{changed_by} has {'deleted' if gone else 'changed'} this meanwhile")
        self.version = version
        self.changed_by = changed_by
        self.changed_at = changed_at
        self.lines = tuple(lines)
        self.gone = gone


def save(
    console: Console,
    change: Callable[[Document], Document],
    part: Callable[[Mapping[str, Any]], Any],
    *,
    version: int,
    author: Identity,
    comment: str,
    noted: tuple[str, str],
    label: str = "",
) -> Applied:
    """Apply a change that somebody made looking at an earlier version.

    Parameters
    ----------
    part
        Returns of a document what was looked at; raises NotFound where it is gone.
    version
        The version that was looked at.
    noted
        A verb, and what it is done to, for the audit trail.
    label
        What lines about this part begin with, such as ``FORWARD/pacs``.

    Raises
    ------
    Meanwhile
        That part is another one by now; nothing is changed.
    ConfigurationError
        What is wrong with the change.
    """
    while True:
        console.refresh()
        now, current = console.following.current
        if now != version:
            _require_same(console, version, now, current, part, label)
        try:
            return console.change(change, expected_version=now, author=author, comment=comment, noted=noted)
        except Conflict:
            # yet another version; looked at again
            console.refresh()
            if console.version == now:
                raise


def _require_same(
    console: Console,
    version: int,
    now: int,
    current: Configuration,
    part: Callable[[Mapping[str, Any]], Any],
    label: str,
) -> None:
    before = at(console, version)
    seen, there = _of(part, before), _of(part, current)
    if seen is not None and seen == there:
        return
    newer = _changing(console, version, now, before, part)
    lines = changes(before, current) if before else []
    about = [line for line in lines if label and line[2:].startswith(f"{label}:")]
    raise Meanwhile(
        version=now,
        changed_by=" and ".join(list(dict.fromkeys(one.author for one in newer))[:TOLD]) or "somebody",
        changed_at=newer[0].created_at if newer else 0,
        lines=about or lines,
        gone=there is None,
    )


def _changing(
    console: Console,
    version: int,
    now: int,
    before: Configuration | None,
    part: Callable[[Mapping[str, Any]], Any],
) -> list[Version]:
    """Return the versions since one in which this part is another one than in the version before, the newest first."""
    found: list[Version] = []
    newer: tuple[Version, Any] | None = None
    for one, document in store.documents(console.database, version, now, LOOKED_AT):
        there = _in(part, document)
        if newer is not None and newer[1] != there:
            found.append(newer[0])
        newer = one, there
    if newer is not None and newer[0].number == 1 and version == 0 and newer[1] != _of(part, before):
        # the first one of all; before it was the default, which is not stored
        found.append(newer[0])
    return found


def at(console: Console, version: int) -> Configuration | None:
    """Return the configuration of a version, 0 is the default; None: it cannot be read any more."""
    try:
        if version == 0:
            return default_configuration(console.plugins)
        return store.version(console.database, console.plugins, version)
    except (NotFound, ConfigurationError):
        return None


def _of(part: Callable[[Mapping[str, Any]], Any], configuration: Configuration | None) -> Any:
    return None if configuration is None else _in(part, to_document(configuration))


def _in(part: Callable[[Mapping[str, Any]], Any], document: Mapping[str, Any]) -> Any:
    try:
        return part(document)
    except NotFound:
        return None
