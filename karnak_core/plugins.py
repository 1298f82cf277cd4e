"""Find the installed plugins, refuse what cannot be used, and list what they offer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pluggy

from karnak_core import hookspecs
from karnak_core.errors import PluginError
from karnak_core.kinds import Kind, by_name

if TYPE_CHECKING:
    from pydantic import BaseModel

    from karnak_core.deidentify import ProfileElement
    from karnak_core.model import Authenticator, Destination, FollowUp, Notifier, PseudonymSource, Service

GROUP = "karnak.plugins"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """What ``karnak plugins`` shows about one plugin."""

    name: str
    distribution: str
    version: str
    disabled: bool
    hooks: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """The plugins in use."""

    manager: pluggy.PluginManager
    entries: tuple[EntryPoint, ...]
    disabled: frozenset[str]
    destinations: Mapping[str, Kind[Any, Destination]] = field(default_factory=dict)
    authenticators: Mapping[str, Kind[Any, Authenticator]] = field(default_factory=dict)
    pseudonym_sources: Mapping[str, Kind[Any, PseudonymSource]] = field(default_factory=dict)
    profile_elements: tuple[ProfileElement, ...] = ()
    follow_ups: Mapping[str, Kind[Any, FollowUp]] = field(default_factory=dict)
    notifiers: Mapping[str, Kind[Any, Notifier]] = field(default_factory=dict)
    services: Mapping[str, Kind[Any, Service]] = field(default_factory=dict)

    @property
    def sections(self) -> Mapping[str, type[BaseModel]]:
        """The sections that the configuration can have under ``plugins``, by name."""
        kinds = (self.destinations, self.authenticators, self.pseudonym_sources, self.follow_ups, self.notifiers)
        shared = {kind.section.name: kind.section.config for one in kinds for kind in one.values() if kind.section}
        return {**shared, **{name: kind.config for name, kind in self.services.items()}}

    @property
    def hook(self) -> Any:
        """The hooks, for decisions: the caller handles exceptions."""
        return self.manager.hook

    def has(self, hook: str) -> bool:
        """Say whether any plugin implements this hook."""
        return bool(getattr(self.manager.hook, hook).get_hookimpls())

    def each(self, hook: str, **arguments: object) -> None:
        """Call an observation hook plugin by plugin; a failure is logged and the others go on."""
        for entry in self.entries:
            try:
                _call_alone(self.manager, entry.name, hook, **arguments)
            except Exception:
                logger.exception("plugin %s failed in %s", entry.name, hook)

    def strictly(self, hook: str, **arguments: object) -> None:
        """Call a hook plugin by plugin; raises PluginError, which names the plugin, when one fails."""
        for entry in self.entries:
            with _blame(entry):
                _call_alone(self.manager, entry.name, hook, **arguments)

    def infos(self) -> list[PluginInfo]:
        """Describe every installed plugin, disabled ones too, in name order."""
        return [self._info(entry) for entry in self.entries]

    def _info(self, entry: EntryPoint) -> PluginInfo:
        plugin = self.manager.get_plugin(entry.name)
        callers = (self.manager.get_hookcallers(plugin) or []) if plugin is not None else []
        return PluginInfo(
            name=entry.name,
            distribution=entry.dist.name if entry.dist else "?",
            version=entry.dist.version if entry.dist else "?",
            disabled=entry.name in self.disabled,
            hooks=tuple(sorted(caller.name for caller in callers)),
            kinds=tuple(
                f"{what}:{getattr(offer, attribute)}"
                for what, hook, attribute in (
                    ("destination", "karnak_register_destinations", "name"),
                    ("authenticator", "karnak_register_authenticators", "name"),
                    ("pseudonym source", "karnak_register_pseudonym_sources", "name"),
                    ("follow-up", "karnak_register_follow_ups", "name"),
                    ("notifier", "karnak_register_notifiers", "name"),
                    ("profile element", "karnak_register_profile_elements", "codename"),
                    ("service", "karnak_register_services", "name"),
                )
                for offer in _offered_by(self.manager, entry.name, hook)
            ),
        )


def installed() -> list[EntryPoint]:
    """Return the entry points of the installed plugins, in name order."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def load(disabled: Collection[str] = (), *, entries: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load every installed plugin that is not disabled.

    Parameters
    ----------
    disabled
        Plugin names of the configuration's ``plugins.disabled``.
    entries
        Entry points to use instead of the installed ones, for tests.

    Raises
    ------
    PluginError
        A name stands twice or is not installed, or a plugin cannot be imported, has an unknown hook or wrong
        arguments, or offers a type that another one offers. The message names plugin and distribution.
    """
    found = installed() if entries is None else sorted(entries, key=lambda entry: entry.name)
    _refuse_duplicates(found)
    unknown = sorted(set(disabled) - {entry.name for entry in found})
    if unknown:
        known = ", ".join(entry.name for entry in found)
        raise PluginError(f"plugins.disabled: {', '.join(unknown)}: not installed; installed: {known}")

    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    for entry in found:
        if entry.name in disabled:
            continue
        with _blame(entry):
            manager.register(entry.load(), name=entry.name)
            _refuse_unknown_hooks(manager, entry.name)
            manager.check_pending()
    return Plugins(
        manager=manager,
        entries=tuple(found),
        disabled=frozenset(disabled),
        destinations=by_name(_offers(manager, found, "karnak_register_destinations")),
        authenticators=by_name(_offers(manager, found, "karnak_register_authenticators")),
        pseudonym_sources=by_name(_offers(manager, found, "karnak_register_pseudonym_sources")),
        profile_elements=_profile_elements(manager, found),
        follow_ups=by_name(_offers(manager, found, "karnak_register_follow_ups")),
        notifiers=by_name(_offers(manager, found, "karnak_register_notifiers")),
        services=by_name(_offers(manager, found, "karnak_register_services")),
    )


def _offers(
    manager: pluggy.PluginManager, entries: Iterable[EntryPoint], hook: str
) -> Iterator[tuple[str, Kind[Any, Any]]]:
    for entry in entries:
        with _blame(entry):
            for kind in _offered_by(manager, entry.name, hook):
                yield entry.name, kind


def _profile_elements(manager: pluggy.PluginManager, entries: Iterable[EntryPoint]) -> tuple[ProfileElement, ...]:
    found: dict[str, tuple[str, ProfileElement]] = {}
    for entry in entries:
        with _blame(entry):
            for element in _offered_by(manager, entry.name, "karnak_register_profile_elements"):
                if element.codename in found:
                    other = found[element.codename][0]
                    raise PluginError(f"codename {element.codename!r} is offered by plugin {other!r}, too")
                found[element.codename] = (entry.name, element)
    return tuple(element for _, element in found.values())


def _offered_by(manager: pluggy.PluginManager, name: str, hook: str) -> list[Any]:
    return [offer for offers in _call_alone(manager, name, hook) for offer in offers]


def _call_alone(manager: pluggy.PluginManager, name: str, hook: str, **arguments: object) -> list[Any]:
    """Call one plugin's implementation of a hook; empty when it has none or is disabled."""
    plugin = manager.get_plugin(name)
    if plugin is None:
        return []
    others = [other for _, other in manager.list_name_plugin() if other is not None and other is not plugin]
    answers: list[Any] = manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    return answers


def _refuse_duplicates(entries: list[EntryPoint]) -> None:
    for one, other in pairwise(entries):
        if one.name == other.name:
            owners = " and ".join(_distribution(entry) for entry in (one, other))
            raise PluginError(f"plugin {one.name!r} is installed twice, by {owners}; remove one")


def _refuse_unknown_hooks(manager: pluggy.PluginManager, name: str) -> None:
    """Refuse functions called ``karnak_…`` that would never be called: a misspelt name, or no ``@hookimpl``."""
    plugin: Any = manager.get_plugin(name)
    known = {hook for hook in dir(hookspecs) if hook.startswith("karnak_")}
    for attribute in dir(plugin):
        if not attribute.startswith("karnak_") or not callable(getattr(plugin, attribute)):
            continue
        mark = manager.parse_hookimpl_opts(plugin, attribute)
        if attribute not in known and not (mark and mark.get("optionalhook")):
            raise PluginError(f"unknown hook {attribute}; known: {', '.join(sorted(known))}")
        if mark is None:
            raise PluginError(f"{attribute} is not marked with @hookimpl: it would never be called")


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


class _blame:
    """Turn whatever a plugin raises while it is loaded into an error that names it."""

    def __init__(self, entry: EntryPoint) -> None:
        self._entry = entry

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception):
            what = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            raise PluginError(
                f"plugin {self._entry.name!r} from {_distribution(self._entry)} cannot be used: {what}"
            ) from error
