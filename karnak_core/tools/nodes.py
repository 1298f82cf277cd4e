"""Who can be asked: DICOM nodes, and DICOMweb services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from karnak_core.config.models import Configuration, Destination
from karnak_core.model import OpenContext
from karnak_core.tls.contexts import ClientSettings

#: what a node is where nobody says
WORKSTATION = "WORKSTATION"
#: answers C-FIND for worklists; never in a group
WORKLIST = "WORKLIST"
#: the group of what the configuration sends to; nobody can change it
GATEWAY_DESTINATIONS = "Gateway destinations"
#: characters of a group's name, of a node's type and of a description, at most
LONGEST_GROUP, LONGEST_TYPE, LONGEST_DESCRIPTION = 64, 32, 255


class Service(StrEnum):
    """What a DICOMweb endpoint is said to offer (PS3.18); in the order in which they are written."""

    STOW_RS = "STOW_RS"
    QIDO_RS = "QIDO_RS"
    WADO_RS = "WADO_RS"
    WADO_URI = "WADO_URI"
    UPS_RS = "UPS_RS"
    CAPABILITIES = "CAPABILITIES"

    @property
    def label(self) -> str:
        """The name for people."""
        return "Capabilities" if self is Service.CAPABILITIES else self.value.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class DicomNode:
    """A DICOM node."""

    ae_title: str
    hostname: str
    port: int
    description: str = ""
    node_type: str = WORKSTATION
    #: None: it is in no group, as worklists are
    group: str | None = None
    #: how to use TLS; None: plain TCP
    tls: ClientSettings | None = None

    def __str__(self) -> str:
        return f"{self.ae_title} {self.hostname} {self.port}"


@dataclass(frozen=True, kw_only=True)
class WebEndpoint:
    """A DICOMweb service."""

    url: str
    description: str = ""
    #: none: it is not known which
    services: tuple[Service, ...] = ()
    group: str | None = None


def node_problems(node: DicomNode) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a node: the field, and the rule."""
    title = node.ae_title
    if not title:
        yield "ae_title", "AE title is missing"
    elif len(title) > 16:
        yield "ae_title", f"AE title {title!r} is longer than 16 characters (DICOM PS3.5 section 6.2)"
    elif not all(" " <= character <= "~" and character != "\\" for character in title):
        yield "ae_title", f"AE title {title!r} has characters that an AE title cannot have (DICOM PS3.5 section 6.2)"
    if not node.hostname:
        yield "hostname", "hostname is missing"
    elif len(node.hostname) > 255 or not re.fullmatch(r"[A-Za-z0-9._:\[\]%-]+", node.hostname):
        yield "hostname", f"hostname {node.hostname!r} is not a DNS name or an IP address"
    if not 1 <= node.port <= 65535:
        yield "port", f"port {node.port} is not 1 to 65535"
    if len(node.description) > LONGEST_DESCRIPTION or not _is_text(node.description):
        yield "description", f"description is not at most {LONGEST_DESCRIPTION} characters, without control characters"
    if not re.fullmatch(rf"[A-Za-z0-9_. -]{{1,{LONGEST_TYPE}}}", node.node_type):
        yield (
            "node_type",
            f"type {node.node_type!r} is not 1 to {LONGEST_TYPE} letters, digits, blanks, '_', '.' or '-'",
        )
    yield from group_problems(node.group)


def endpoint_problems(endpoint: WebEndpoint) -> Iterator[tuple[str, str]]:
    """Find what is wrong with an endpoint: the field, and the rule."""
    if not is_web_address(endpoint.url):
        yield "url", f"URL {endpoint.url[:200]!r} is not http:// or https:// with a host"
    if len(endpoint.description) > LONGEST_DESCRIPTION or not _is_text(endpoint.description):
        yield "description", f"description is not at most {LONGEST_DESCRIPTION} characters, without control characters"
    yield from group_problems(endpoint.group)


def group_problems(group: str | None) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a group's name."""
    if group is None:
        return
    if not 1 <= len(group) <= LONGEST_GROUP or not _is_text(group) or group != group.strip():
        yield "group", f"group {group[:100]!r} is not 1 to {LONGEST_GROUP} characters, without control characters"
    elif is_reserved(group):
        yield "group", f"group {GATEWAY_DESTINATIONS!r} is what the configuration says, and cannot be changed here"


def is_reserved(group: str | None) -> bool:
    """Say whether this is the group that nobody can change."""
    return group is not None and group.strip().casefold() == GATEWAY_DESTINATIONS.casefold()


def is_web_address(url: str) -> bool:
    """Say whether a text is an address of a DICOMweb service: http or https with a host, and no credentials in it."""
    if not url or len(url) > 2048 or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    credentials = parts.username is not None or parts.password is not None
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not credentials


def gateway_destinations(configuration: Configuration, context: OpenContext) -> list[DicomNode]:
    """Return the DICOM nodes that the configuration sends to, each address once; the first description is kept."""
    found: dict[tuple[str, str, int], DicomNode] = {}
    for forward_node in configuration.forward_nodes:
        for destination in forward_node.destinations:
            node = dicom_node(destination, context)
            if node is not None:
                found.setdefault((node.ae_title, node.hostname, node.port), node)
    return list(found.values())


def dicom_node(destination: Destination, context: OpenContext) -> DicomNode | None:
    """Return the node that a destination sends to; None: it does not send to one.

    Which type it is does not matter: what has an AE title and an address is a DICOM node.
    """
    options: Any = destination.options
    title: Any = getattr(options, "ae_title", None)
    if not isinstance(title, str) or not callable(getattr(options, "address", None)):
        return None
    hostname, port = options.address(context)
    return DicomNode(
        ae_title=title,
        hostname=hostname,
        port=port,
        description=destination.description or title,
        group=GATEWAY_DESTINATIONS,
        tls=getattr(options, "tls", None),
    )


def distinct(nodes: Iterable[DicomNode]) -> list[DicomNode]:
    """Return the nodes, each address of a group once: the first one."""
    found: dict[object, DicomNode] = {}
    for node in nodes:
        found.setdefault((node.group, node.ae_title, node.hostname.lower(), node.port), node)
    return list(found.values())


def _is_text(text: str) -> bool:
    return all(character.isprintable() for character in text)
