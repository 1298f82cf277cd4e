"""Differences as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from jinja2 import Environment, StrictUndefined, Template

from karnak_core import __version__
from karnak_core.tryout.diff import What, plain
from karnak_core.tryout.one import Ending, Tried
from karnak_core.tryout.tally import Tally
from karnak_core.tryout.terminal import GROUPS, grouped

#: files that are shown one by one: a browser has to hold them all
MOST_FILES: Final = 100
_TEMPLATE: Final = "page.html.j2"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What is said of all files."""

    profile: str
    project: str
    #: e.g. ``12 written, 1 failed``
    summary: str
    #: when it was done, for people
    moment: str
    show_values: bool
    dry_run: bool


def as_page(heading: Heading, tried: Sequence[Tried], tally: Tally, count: int) -> str:
    """Return the page.

    Parameters
    ----------
    tried
        The first files; what is more than `MOST_FILES` is left out.
    count
        Of all files that are told of.
    """
    shown = tried[:MOST_FILES]
    return _template().render(
        heading=heading,
        files=[(_title(one, number, heading.show_values), one) for number, one in enumerate(shown, start=1)],
        left_out=count - len(shown),
        tally=tally,
        groups=GROUPS,
        grouped=grouped,
        What=What,
        Ending=Ending,
        version=__version__,
    )


def _title(tried: Tried, number: int, show_values: bool) -> str:
    if show_values:
        return plain(os.fsencode(tried.path).decode("utf-8", "replace"))
    # the name of a file is often that of a patient
    return f"File {number}"


@cache
def _template() -> Template:
    # values of data sets are anybody's: everything is escaped
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = plain
    return environment.from_string((resources.files("karnak_core.tryout") / _TEMPLATE).read_text("utf-8"))
