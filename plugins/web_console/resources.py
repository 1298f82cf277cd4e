"""What requests of the API have in common: the version that was looked at, and pages of long lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused

T = TypeVar("T")
ETAG = re.compile(r'"v(\d{1,18})"')


def console_of(request: Request) -> Console:
    """Return the console; a dependency."""
    console: Console = request.app.state.console
    return console


ConsoleOf = Annotated[Console, Depends(console_of)]


def etag(version: int) -> str:
    """Return the entity tag of what is made of this version of the configuration."""
    return f'"v{version}"'


def tag(response: Response, console: Console) -> None:
    """Say which version of the configuration the answer is made of."""
    response.headers["ETag"] = etag(console.version)


def expected_version(
    if_match: Annotated[
        str | None,
        Header(
            description='the ETag of what the change was made from, e.g. "v12"; without it whatever applies is changed'
        ),
    ] = None,
) -> int | None:
    """Return the version that a change was made from; None: whatever applies. A dependency.

    Raises
    ------
    Refused
        412: it is not a tag of ours.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Refused(412, 'If-Match is not the ETag of an answer, such as "v12"')
    return int(found[1])


ExpectedVersion = Annotated[int | None, Depends(expected_version)]


def seen_state(
    if_match: Annotated[
        str | None, Header(description='the ETag of what the change was made from; "*": whatever it is. Required')
    ] = None,
) -> str | None:
    """Return the state of an entry that a change was made from; None: whatever it is. A dependency.

    Raises
    ------
    Refused
        428: none is given.
    """
    if if_match is None:
        raise Refused(428, "If-Match is missing: the ETag of what the change was made from")
    return None if if_match.strip() == "*" else if_match.strip().strip('"')


SeenState = Annotated[str | None, Depends(seen_state)]


def tag_state(response: Response, state: str) -> None:
    """Say in which state an entry is."""
    response.headers["ETag"] = f'"{state}"'


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Which part of a long list is asked for."""

    limit: int
    cursor: str | None

    def number(self) -> int | None:
        """Return the cursor, where it is a number; raises Refused."""
        if self.cursor is None:
            return None
        if not self.cursor.isascii() or not self.cursor.isdigit() or len(self.cursor) > 18:
            raise Refused(400, "cursor: not the 'next' of an answer")
        return int(self.cursor)


def paging(
    limit: Annotated[int, Query(ge=1, le=1000, description="entries of one answer, at most")] = 100,
    cursor: Annotated[str | None, Query(max_length=255, description="'next' of the answer before")] = None,
) -> Paging:
    """Return which part of a list is asked for; a dependency."""
    return Paging(limit=limit, cursor=cursor)


PagingOf = Annotated[Paging, Depends(paging)]


class Page(BaseModel, Generic[T]):
    """A part of a long list."""

    items: list[T]
    next: str | None = Field(default=None, description="'cursor' of the request for what follows; null: nothing does")
