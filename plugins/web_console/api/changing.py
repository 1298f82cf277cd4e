"""Changes of the configuration by programs: made from a version, under a name, with secrets left where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from fastapi import Body, Depends, Header, Query, Response
from pydantic import BaseModel, Field

from karnak_core.config.export import to_document
from karnak_core.config.store import Applied
from karnak_core.config.words import place
from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.console import Console, Document
from karnak_plugins.web_console.masks import unmasked
from karnak_plugins.web_console.problems import MEDIA_TYPE, Problem
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import expected_version, tag

Reads = Annotated[Identity, Depends(require_scope("read"))]
Changes = Annotated[Identity, Depends(require_scope("configuration"))]
#: for routers of changes: what they may answer besides
RESPONSES: dict[int | str, dict[str, Any]] = {
    428: {"description": "Precondition Required", "model": Problem, "content": {MEDIA_TYPE: {}}}
}
Comment = Annotated[str, Query(max_length=255, description="why, for the history")]
#: a part of the configuration
Keys = Annotated[
    dict[str, Any],
    Body(description="keys as in a configuration file; a secret is text, {env: NAME}, {file: PATH}, or as it was got"),
]


class Change(BaseModel):
    """What a change did."""

    version: int = Field(description="of the configuration that applies now")
    changes: list[str] = Field(description="one line each: + added, - removed, ~ changed")
    new: bool = Field(description="false: everything was as asked for, and no version was made")


def required_version(
    if_match: Annotated[
        str | None,
        Header(description='the ETag of what the change was made from, e.g. "v12"; "*": whatever applies. Required'),
    ] = None,
) -> int | None:
    """Return the version that a change was made from; None: whatever applies. A dependency.

    Raises
    ------
    Refused
        428: none is given. 412: it is not a tag of ours.
    """
    if if_match is None:
        raise Refused(428, 'If-Match is missing: the ETag of what the change was made from, such as "v12"')
    return expected_version(if_match)


Version = Annotated[int | None, Depends(required_version)]


def change(
    console: Console,
    user: Identity,
    response: Response,
    what: str,
    make: Callable[[Document], Document],
    version: int | None,
    comment: str = "",
) -> Applied:
    """Apply a change, with a note of who made it, and say the new version.

    Parameters
    ----------
    what
        A verb and an object, such as ``change destination FORWARD/pacs``.
    """
    verb, _, thing = what.partition(" ")
    applied = console.change(
        make, expected_version=version, author=user, comment=comment or what[:255], noted=(verb, thing)
    )
    tag(response, console)
    return applied


def given(body: Mapping[str, Any], before: Any, at: str) -> dict[str, Any]:
    """Return what a program sent, with the secrets that it left alone.

    Parameters
    ----------
    at
        Its place in the document, for messages.

    Raises
    ------
    ConfigurationError
        Text that cannot be kept; a secret that is not there.
    """
    wrong = [
        ConfigProblem(place=f"{at}.{place(path)}".strip("."), message="has a character that no text can have")
        for path in _unwritable(body, ())
    ]
    if wrong:
        raise ConfigurationError(wrong)
    found: dict[str, Any] = unmasked(body, before, at)
    return found


def now(console: Console) -> dict[str, Any]:
    """Return the document that applies."""
    return to_document(console.configuration)


def _unwritable(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Find texts that databases refuse: a NUL, or half of a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unwritable(key, path)
            yield from _unwritable(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unwritable(item, (*path, index))
