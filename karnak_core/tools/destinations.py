"""Do the destinations of a forward node answer?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from karnak_core.config.models import Configuration, Destination
from karnak_core.model import OpenContext
from karnak_core.tools.echo import FAILURE, Echo, echo
from karnak_core.tools.nodes import DicomNode, dicom_node

T = TypeVar("T")
R = TypeVar("R")
#: seconds until a connection stands, until each answer, and for all destinations together
CONNECT, ANSWER, ALL = 3.0, 5.0, 15.0
#: destinations that are asked at once
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class DestinationEcho:
    """What one destination says: a DICOM node by its AE title, a DICOMweb service by its URL."""

    ae_title: str | None = None
    url: str | None = None
    #: of the C-ECHO response; 0: success, or a DICOMweb service, which is not asked
    status: int = 0


def echo_destinations(configuration: Configuration, forward_node: str, context: OpenContext) -> list[DestinationEcho]:
    """Ask the enabled destinations of a forward node; others than DICOM nodes and DICOMweb services are left out.

    Parameters
    ----------
    context
        What parts are told, for the addresses of AE titles.
    """
    nodes = [node for node in configuration.forward_nodes if node.ae_title == forward_node]
    asked = [destination for node in nodes for destination in node.destinations if destination.enabled]
    targets = [(destination, dicom_node(destination, context)) for destination in asked]

    def ask(target: tuple[Destination, DicomNode | None]) -> DestinationEcho | None:
        destination, node = target
        url = getattr(destination.options, "url", None)
        if node is None:
            return DestinationEcho(url=url) if isinstance(url, str) else None
        calling = getattr(destination.options, "calling_ae_title", None) or forward_node
        return DestinationEcho(ae_title=node.ae_title, status=_status(_echo(node, calling)))

    def late(target: tuple[Destination, DicomNode | None]) -> DestinationEcho:
        node = target[1]
        return DestinationEcho(ae_title=node.ae_title if node else None, status=FAILURE)

    answers = side_by_side(targets, ask, late, seconds=ALL, at_once=AT_ONCE)
    return [answer for answer in answers if answer is not None]


def _echo(node: DicomNode, calling_ae_title: str) -> Echo:
    return echo(node, calling_ae_title=calling_ae_title, connect=CONNECT, answer=ANSWER)


def _status(answer: Echo) -> int:
    return FAILURE if answer.status is None else answer.status


def side_by_side(
    items: Sequence[T], ask: Callable[[T], R], late: Callable[[T], R], *, seconds: float, at_once: int
) -> list[R]:
    """Ask about every item, several at once, and return the answers in the order of the items.

    Parameters
    ----------
    late
        The answer about an item that has none in time.
    seconds
        For all of them.
    """
    if not items:
        return []
    over = threading.Event()

    def asked(item: T) -> R:
        return late(item) if over.is_set() else ask(item)

    pool = ThreadPoolExecutor(min(at_once, len(items)), thread_name_prefix="tools")
    try:
        futures: list[Future[R]] = [pool.submit(asked, item) for item in items]
        done = wait(futures, seconds).done
        return [future.result() if future in done else late(item) for future, item in zip(futures, items, strict=True)]
    finally:
        over.set()
        # who is still being asked has deadlines of its own
        pool.shutdown(wait=False, cancel_futures=True)
