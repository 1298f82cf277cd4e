"""The configuration as a whole: what another one would change, and the one that applies as text."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from karnak_core.config import yaml_text
from karnak_core.config.export import to_document
from karnak_core.config.load import load, texts_of
from karnak_core.config.plan import changes
from karnak_core.config.seal import sealed
from karnak_core.config.store import open_deliveries
from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_plugins.web_console.console import Console


def without_paths(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document, if its profiles are texts: a path would be one of the gateway's machine.

    Raises
    ------
    ConfigurationError
        Profiles are paths: every one.
    """
    entries = document.get("profiles")
    wrong = [
        ConfigProblem(place=f"profiles[{index}]", message="is a path; write {text: …} with the profile's text here")
        for index, entry in enumerate(entries if isinstance(entries, list) else ())
        if isinstance(entry, str)
    ]
    if wrong:
        raise ConfigurationError(wrong)
    return document


def read(text: bytes) -> dict[str, Any]:
    """Return the document of a file that was sent.

    Raises
    ------
    ConfigurationError
        It is no YAML, or has paths of profiles.
    """
    try:
        written = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        words = f"is not UTF-8 text: byte {error.start} is {text[error.start]:#04x}"
        raise ConfigurationError([ConfigProblem(place="", message=words)]) from None
    return without_paths(yaml_text.parse(written))


def plan(console: Console, document: Mapping[str, Any]) -> list[str]:
    """Return what applying a document would change, one line each.

    Raises
    ------
    ConfigurationError
        With everything that is wrong with it.
    """
    before = console.configuration
    seen = texts_of(to_document(before))
    after = sealed(load(document, console.plugins, seen=seen), console.vault, before)
    with console.database.read() as connection:
        return changes(before, after, functools.partial(open_deliveries, connection))


def json_answer(document: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """Return a document as JSON."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return Response(text, media_type="application/json", headers=dict(headers))


def as_text(document: Mapping[str, Any]) -> str:
    """Return a document as a file."""
    return yaml_text.write(document)
