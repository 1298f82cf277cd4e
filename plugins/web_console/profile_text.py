"""The text of a profile: what is wrong in it, what it says, and name and version changed in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from karnak_core.config.profiles import MAX_BYTES, built, problems_of
from karnak_core.deidentify import Problem
from karnak_core.deidentify.reading import read_source
from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_plugins.web_console.console import Console


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of a profile, for people."""

    line: int
    name: str
    codename: str
    condition: str
    #: the action, its option and its arguments, in one line each
    does: tuple[str, ...]
    tags: tuple[str, ...]
    without: tuple[str, ...]


def decoded(content: bytes) -> str:
    """Return the text of a file that was sent; raises ConfigurationError."""
    if len(content) > MAX_BYTES:
        raise ConfigurationError([ConfigProblem(place="", message=f"is larger than {MAX_BYTES // 1024} KiB")])
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        words = f"is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}"
        raise ConfigurationError([ConfigProblem(place="", message=words)]) from None


def wrong_in(console: Console, text: str) -> list[Problem]:
    """Return everything that is wrong with a profile, by line."""
    found = built(text, console.plugins.profile_elements)
    return problems_of(found, console.configuration.authenticators.keys())


def elements_of(text: str) -> list[Element]:
    """Return what a profile has, as it is written."""
    return [
        Element(
            line=entry.line,
            name=entry.name,
            codename=entry.codename,
            condition=entry.condition.text if entry.condition else "",
            does=(
                *([f"action {entry.action.text}"] if entry.action else []),
                *([f"option {entry.option.text}"] if entry.option else []),
                *(f"{key}: {value.text}" for key, value in entry.arguments.items()),
            ),
            tags=tuple(tag.text for tag in entry.tags),
            without=tuple(tag.text for tag in entry.excluded_tags),
        )
        for entry in read_source(text).entries
    ]


def renamed(text: str, wanted: Mapping[str, str]) -> str:
    """Return the text with another ``name`` and ``version``; the rest stays as it is written.

    Raises
    ------
    ConfigurationError
        They stand in the text in a way that cannot be changed by itself.
    """
    for key, value in wanted.items():
        text = _with(text, key, value)
    source = read_source(text)
    wrong = [key for key, value in wanted.items() if getattr(source, key) != value]
    if wrong:
        message = "cannot be changed here; change it in the text"
        raise ConfigurationError([ConfigProblem(place=key, message=message) for key in wrong])
    return text


def _with(text: str, key: str, value: str) -> str:
    if getattr(read_source(text), key) == value:
        return text
    # JSON is YAML, and quotes what YAML would take for something else
    line = f"{key}: {json.dumps(value, ensure_ascii=False)}"
    changed, count = re.subn(rf"^{key}[ \t]*:.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    if count or key == "name":
        return changed
    return re.sub(r"^name[ \t]*:.*$", lambda found: f"{found[0]}\n{line}", text, count=1, flags=re.MULTILINE)
