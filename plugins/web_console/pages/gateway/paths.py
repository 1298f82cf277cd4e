"""Addresses of pages: names stand in the query, as an AE title may have any character."""

from __future__ import annotations

from urllib.parse import urlencode


def to(path: str, **names: str) -> str:
    """Return the address of a page about something."""
    return f"{path}?{urlencode(names)}" if names else path


def node_path(node: str) -> str:
    """Return the address of a node's page."""
    return to("/gateway/node", node=node)


def destination_path(node: str, name: str) -> str:
    """Return the address of a destination's page."""
    return to("/gateway/destination", node=node, name=name)


def source_path(node: str, name: str) -> str:
    """Return the address of a source's page."""
    return to("/gateway/source", node=node, name=name)
