"""Which names of one part of the configuration another part uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from karnak_core.config.names import AuthenticatorName


def authenticators_in(value: object) -> Iterator[str]:
    """Find the authenticators that a model, or anything in it, names."""
    match value:
        case AuthenticatorName():
            yield str(value)
        case BaseModel():
            for name in type(value).model_fields:
                yield from authenticators_in(getattr(value, name))
        case tuple() | list():
            for item in value:
                yield from authenticators_in(item)
        case Mapping():
            for item in value.values():
                yield from authenticators_in(item)
