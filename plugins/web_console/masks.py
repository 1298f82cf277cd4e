"""Documents of the configuration without their secrets, and secrets put back where they were left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from karnak_core.config.words import place
from karnak_core.errors import ConfigProblem, ConfigurationError

#: instead of an encrypted secret: there is one
MASK = "***"
STORED = {"stored": MASK}
NOTHING_KEPT = "there is no stored secret here that could be kept; write it, or {env: NAME} or {file: PATH}"


def is_stored(value: object) -> bool:
    """Say whether something in a document is a secret that is stored."""
    return isinstance(value, Mapping) and value.keys() == {"stored"} and isinstance(value["stored"], str)


def masked(value: Any) -> Any:
    """Return a document, or a part of one, in which nothing is left of stored secrets but that they are there."""
    if is_stored(value):
        return dict(STORED)
    if isinstance(value, Mapping):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def unmasked(value: Any, before: Any, at: str = "") -> Any:
    """Return a document, or a part of one, in which masked secrets are those of the one before.

    Entries of lists are found again by ``name`` or ``ae_title``, else by their position.

    Parameters
    ----------
    at
        The place of the part, for messages.

    Raises
    ------
    ConfigurationError
        There was none: every place.
    """
    problems: list[ConfigProblem] = []
    result = _unmasked(value, before, (), problems)
    if problems:
        raise ConfigurationError(
            [ConfigProblem(place=f"{at}.{one.place}".lstrip("."), message=one.message) for one in problems]
        )
    return result


def _unmasked(value: Any, before: Any, path: tuple[str | int, ...], problems: list[ConfigProblem]) -> Any:
    if is_stored(value) and value["stored"] == MASK:
        if is_stored(before):
            return dict(before)
        problems.append(ConfigProblem(place=place(path), message=NOTHING_KEPT))
        return value
    if isinstance(value, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {key: _unmasked(item, known.get(key), (*path, key), problems) for key, item in value.items()}
    if isinstance(value, list | tuple):
        known_items = before if isinstance(before, list | tuple) else ()
        return [
            _unmasked(item, _same(item, index, known_items), (*path, index), problems)
            for index, item in enumerate(value)
        ]
    return value


def _same(item: Any, index: int, before: list[Any] | tuple[Any, ...]) -> Any:
    """Return the entry that an item is made of."""
    keys = [key for key in ("name", "ae_title") if isinstance(item, Mapping) and isinstance(item.get(key), str)]
    if keys:
        same = [one for one in before if isinstance(one, Mapping) and one.get(keys[0]) == item[keys[0]]]
        return same[0] if len(same) == 1 else None
    return before[index] if index < len(before) else None
