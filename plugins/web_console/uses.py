"""What uses a profile, a project or an authenticator, and so keeps it from being deleted."""

from __future__ import annotations

from collections.abc import Iterator

from karnak_core.config.models import Configuration
from karnak_core.config.uses import authenticators_in
from karnak_plugins.web_console.refusals import Refused


def of_profile(configuration: Configuration, name: str) -> list[str]:
    """Return the projects that use a profile."""
    return [f"project {project.name}" for project in configuration.projects if project.profile == name]


def of_project(configuration: Configuration, name: str) -> list[str]:
    """Return the destinations that use a project."""
    return [
        f"destination {node.ae_title}/{destination.name}"
        for node in configuration.forward_nodes
        for destination in node.destinations
        for part in (destination.de_identification, destination.tag_morphing)
        if part is not None and part.project == name
    ]


def of_authenticator(configuration: Configuration, name: str) -> list[str]:
    """Return the destinations, profiles and services that use an authenticator."""
    return list(dict.fromkeys(_of_authenticator(configuration, name)))


def _of_authenticator(configuration: Configuration, name: str) -> Iterator[str]:
    for node in configuration.forward_nodes:
        for destination in node.destinations:
            if name in authenticators_in(destination):
                yield f"destination {node.ae_title}/{destination.name}"
    for entry in configuration.profiles:
        if any(text.text == name for text in entry.profile.authenticators):
            yield f"profile {entry.name}"
    for service, section in configuration.services.items():
        if name in authenticators_in(section):
            yield f"plugins.{service}"


def refuse_in_use(what: str, name: str, uses: list[str]) -> None:
    """Raise Refused (409) where something is used, with what uses it."""
    if uses:
        raise Refused(409, f"{what} {name!r} is used by {', '.join(uses)}; take it away there first")
