"""The lists of a configuration document: find, add, replace and remove their entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from karnak_core.config.profiles import built
from karnak_core.errors import ConfigProblem, ConfigurationError, NotFound
from karnak_core.plugins import Plugins
from karnak_plugins.web_console.console import Document

#: an entry as it stands in a document
Entry = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Entries:
    """One list: where it is, and what tells its entries apart."""

    #: one entry, in words
    what: str
    #: keys and, for a node, its AE title
    section: str
    key: str
    #: AE title of the node that it is in; None: it is at the top
    node: str | None = None

    def of(self, document: Mapping[str, Any]) -> list[Entry]:
        """Return the entries; raises NotFound where there is no such node."""
        return list(self._holder(document).get(self.section) or [])

    def place(self, document: Mapping[str, Any], position: int) -> str:
        """Return the place of an entry, as messages name it."""
        above = "" if self.node is None else f"{NODES.place(document, NODES.position(document, self.node))}."
        return f"{above}{self.section}[{position}]"

    def name(self, entry: Mapping[str, Any]) -> str:
        """Return what an entry is called."""
        return str(entry.get(self.key, ""))

    def position(self, document: Mapping[str, Any], name: str) -> int:
        """Return where an entry stands; raises NotFound."""
        entries = self.of(document)
        for position, entry in enumerate(entries):
            if self.name(entry) == name:
                return position
        known = ", ".join(sorted(self.name(entry) for entry in entries)) or "none"
        raise NotFound(f"there is no {self.what} {name!r}; known: {known}")

    def get(self, document: Mapping[str, Any], name: str) -> Entry:
        """Return an entry; raises NotFound."""
        return self.of(document)[self.position(document, name)]

    def added(self, document: Document, entry: Entry) -> Document:
        """Return the document with one entry more, at the end."""
        return self._with(document, [*self.of(document), entry])

    def replaced(self, document: Document, name: str, entry: Entry) -> Document:
        """Return the document with an entry in the place of the one of this name."""
        position, entries = self.position(document, name), self.of(document)
        return self._with(document, [*entries[:position], entry, *entries[position + 1 :]])

    def removed(self, document: Document, name: str) -> Document:
        """Return the document without an entry."""
        position, entries = self.position(document, name), self.of(document)
        return self._with(document, entries[:position] + entries[position + 1 :])

    def _holder(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        return document if self.node is None else NODES.get(document, self.node)

    def _with(self, document: Document, entries: list[Entry]) -> Document:
        if self.node is None:
            return {**document, self.section: entries}
        return NODES.replaced(document, self.node, {**NODES.get(document, self.node), self.section: entries})


class Sources(Entries):
    """The sources of a node: a title with a host name may stand beside the same title with another one."""

    def name(self, entry: Mapping[str, Any]) -> str:
        """Return AE title and host name."""
        return source_name(str(entry.get("ae_title", "")), str(entry.get("hostname", "")))


@dataclass(frozen=True, kw_only=True)
class Profiles(Entries):
    """The profiles, which are called what their text says."""

    plugins: Plugins

    def name(self, entry: Mapping[str, Any]) -> str:
        """Return the name in the text."""
        text = entry.get("text")
        return built(text, self.plugins.profile_elements).name if isinstance(text, str) else ""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A mapping of names to entries, such as the authenticators; as `Entries` else."""

    what: str
    section: str

    def of(self, document: Mapping[str, Any]) -> dict[str, Entry]:
        """Return the entries by name."""
        return dict(document.get(self.section) or {})

    def get(self, document: Mapping[str, Any], name: str) -> Entry:
        """Return an entry; raises NotFound."""
        entries = self.of(document)
        if name not in entries:
            known = ", ".join(sorted(entries)) or "none"
            raise NotFound(f"there is no {self.what} {name!r}; known: {known}")
        return entries[name]

    def added(self, document: Document, name: str, entry: Entry) -> Document:
        """Return the document with one entry more; raises ConfigurationError where there is one of this name."""
        entries = self.of(document)
        if name in entries:
            raise ConfigurationError([ConfigProblem(place="name", message=f"{name!r} is there already")])
        return {**document, self.section: {**entries, name: entry}}

    def replaced(self, document: Document, name: str, entry: Entry) -> Document:
        """Return the document with an entry in the place of the one of this name."""
        self.get(document, name)
        return {**document, self.section: {**self.of(document), name: entry}}

    def removed(self, document: Document, name: str) -> Document:
        """Return the document without an entry."""
        self.get(document, name)
        return {**document, self.section: {key: one for key, one in self.of(document).items() if key != name}}


NODES = Entries(what="forward node", section="forward_nodes", key="ae_title")
PROJECTS = Entries(what="project", section="projects", key="name")
APPLICATION_ENTITIES = Entries(what="application entity", section="application_entities", key="ae_title")
AUTHENTICATORS = Named(what="authenticator", section="authenticators")


def source_name(ae_title: str, hostname: str) -> str:
    """Return what a source is called."""
    return f"{ae_title}@{hostname}" if hostname else ae_title


def sources(node: str) -> Entries:
    """Return the sources of a node."""
    return Sources(what="source", section="sources", key="ae_title", node=node)


def destinations(node: str) -> Entries:
    """Return the destinations of a node."""
    return Entries(what="destination", section="destinations", key="name", node=node)


def profiles(plugins: Plugins) -> Profiles:
    """Return the profiles."""
    return Profiles(what="profile", section="profiles", key="text", plugins=plugins)
