"""Refuse kinds of plugins whose models would not do what a configuration promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from karnak_core.config.afterwards import FollowUp, Notification
from karnak_core.config.deidentification import PseudonymSource
from karnak_core.config.models import Authenticator, Destination
from karnak_core.config.parts import Part
from karnak_core.config.shape import shapes
from karnak_core.errors import PluginError
from karnak_core.kinds import Kind
from karnak_core.plugins import Plugins


def check_kinds(plugins: Plugins) -> None:
    """Check every kind that has keys in the configuration.

    Raises
    ------
    PluginError
        A model names a common key, passes over unknown keys, can be changed while it is used, or hides a value from
        being written out.
    """
    for kind in plugins.destinations.values():
        _check_common_keys("destination", kind, Destination)
        _check_model(f"destination type {kind.name!r}", kind.config)
    for authenticator in plugins.authenticators.values():
        _check_common_keys("authenticator", authenticator, Authenticator)
        _check_model(f"authenticator type {authenticator.name!r}", authenticator.config)
    for source in plugins.pseudonym_sources.values():
        _check_common_keys("pseudonym source", source, PseudonymSource)
        _check_model(f"pseudonym source {source.name!r}", source.config)
    for follow_up in plugins.follow_ups.values():
        _check_common_keys("follow-up", follow_up, FollowUp)
        _check_model(f"follow-up type {follow_up.name!r}", follow_up.config)
    for notifier in plugins.notifiers.values():
        _check_common_keys("notifier", notifier, Notification)
        _check_model(f"notifier type {notifier.name!r}", notifier.config)
    for name, model in plugins.sections.items():
        _check_model(f"section plugins.{name}", model)
    for service in plugins.services.values():
        _check_model(f"service {service.name!r}", service.config)


def _check_common_keys(what: str, kind: Kind[Any, Any], owner: type[Part]) -> None:
    taken = sorted(kind.config.model_fields.keys() & owner.model_fields.keys())
    if taken:
        raise PluginError(f"{what} type {kind.name!r}: key {', '.join(taken)} is common to every type; rename it")


def _check_model(who: str, model: type[BaseModel]) -> None:
    if model.model_config.get("extra") != "forbid" or not model.model_config.get("frozen"):
        raise PluginError(f"{who}: its model has to have extra='forbid' and frozen=True")
    for name, field in model.model_fields.items():
        for inner in _types(field):
            if isinstance(inner, type) and issubclass(inner, SecretStr | SecretBytes):
                words = f"key {name} is a {inner.__name__}, which is never written out; make it a Secret"
                raise PluginError(f"{who}: {words}")


def _types(annotation: Any) -> Iterator[Any]:
    """Find every type in an annotation: of items and values, too."""
    for shape, _ in shapes(annotation):
        yield shape
        for argument in get_args(shape):
            yield from _types(argument)
