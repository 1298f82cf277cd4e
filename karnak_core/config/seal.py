"""Encrypt the secrets of a configuration before it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from karnak_core.config.secret import Origin, Secret
from karnak_core.database.secrets import SecretKeyError, Vault
from karnak_core.errors import ConfigProblem, ConfigurationError

M = TypeVar("M", bound=BaseModel)

#: fields of our models that are no keys of the file: what is in them stands beside the other keys
HIDDEN = frozenset({"options", "services"})


def sealed(configuration: M, vault: Vault, current: BaseModel | None = None) -> M:
    """Return the configuration with every plain secret encrypted.

    Parameters
    ----------
    current
        What applies now: where it has the same text at the same place, its token is kept, so that applying a file
        twice changes nothing.

    Raises
    ------
    ConfigurationError
        A stored secret does not open with the key.
    """
    known = {identity: secret for _, identity, secret in secrets_in(current)}
    problems: list[ConfigProblem] = []

    def seal(place: str, identity: str, secret: Secret) -> Secret:
        if secret.origin is Origin.PLAIN and secret.where:
            before = known.get(identity)
            if before and before.origin is Origin.STORED and _opens_as(before, secret.where, vault):
                return before
            return Secret(Origin.STORED, vault.encrypt(secret.where))
        if secret.origin is Origin.STORED and secret != known.get(identity):
            try:
                vault.decrypt(secret.where)
            except SecretKeyError as error:
                problems.append(ConfigProblem(place=place, message=str(error)))
        return secret

    result: M = _with_secrets(configuration, seal)
    if problems:
        raise ConfigurationError(problems)
    return result


def _opens_as(secret: Secret, text: str, vault: Vault) -> bool:
    try:
        return vault.decrypt(secret.where) == text
    except SecretKeyError:
        return False


def secrets_in(model: BaseModel | None) -> Iterator[tuple[str, str, Secret]]:
    """Find every secret: its place, the same place by names instead of positions, and the secret."""
    found: list[tuple[str, str, Secret]] = []

    def note(place: str, identity: str, secret: Secret) -> Secret:
        found.append((place, identity, secret))
        return secret

    _with_secrets(model, note)
    yield from found


def _with_secrets(value: Any, change: Callable[[str, str, Secret], Secret], place: str = "", identity: str = "") -> Any:
    """Return ``value`` with every secret in it changed; what has none is returned as it is."""
    match value:
        case Secret():
            return change(place.lstrip("."), identity, value)
        case BaseModel():
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            changed = {
                name: _with_secrets(old, change, f"{place}{step}", f"{identity}{step}")
                for name, old in fields.items()
                for step in ["" if name in HIDDEN else f".{name}"]
            }
            updates = {name: new for name, new in changed.items() if new is not fields[name]}
            return value.model_copy(update=updates) if updates else value
        case tuple() | list():
            items = [
                _with_secrets(item, change, f"{place}[{index}]", f"{identity}[{_name(item, index)}]")
                for index, item in enumerate(value)
            ]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        case Mapping():
            entries = {
                key: _with_secrets(item, change, f"{place}.{key}", f"{identity}.{key}") for key, item in value.items()
            }
            return value if all(entries[key] is value[key] for key in value) else entries
    return value


def _name(item: object, index: int) -> object:
    return getattr(item, "name", None) or getattr(item, "ae_title", None) or index
