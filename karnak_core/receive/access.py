"""Who may open an association to which forward node, how many, and where its instances go."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass

from karnak_core.config.models import Configuration, ForwardNode, Source
from karnak_core.dimse import AssociationRequest, Rejection
from karnak_core.dimse import rejections as reject
from karnak_core.model import Caller, Refusal
from karnak_core.plugins import Plugins
from karnak_core.receive.refusals import Refusals
from karnak_core.receive.space import Space

logger = logging.getLogger(__name__)

#: a resolved host name is believed for this long
RESOLVED_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """How many associations at once."""

    total: int
    per_peer: int


class Access:
    """Admits associations; one for all association threads."""

    def __init__(self, plugins: Plugins, space: Space, refusals: Refusals) -> None:
        self._plugins = plugins if plugins.has("karnak_refuse_association") else None
        self._space = space
        self._refusals = refusals
        self._nodes: dict[str, ForwardNode] = {}
        self._limits = Limits(1, 1)
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._resolve = _Resolver()

    def follow(self, configuration: Configuration) -> None:
        """Use a new configuration from the next association, and the next instance, on."""
        self._nodes = {node.ae_title: node for node in configuration.forward_nodes}
        listener = configuration.listener
        self._limits = Limits(listener.max_associations, listener.max_associations_per_peer)

    def destinations(self, ae_title: str) -> tuple[str, ...]:
        """Return the names of the enabled destinations of a node; empty, too, when the node is gone."""
        node = self._nodes.get(ae_title)
        return tuple(destination.name for destination in node.destinations if destination.enabled) if node else ()

    @property
    def associations(self) -> int:
        """How many associations are open."""
        return self._open.total()

    def admit(self, request: AssociationRequest) -> Rejection | None:
        """Decide about an association; one that is admitted is counted until :meth:`ended`."""
        node = self._nodes.get(request.called_ae_title)
        if node is None:
            return self._refuse(request, reject.CALLED_AE_TITLE_NOT_RECOGNISED, "called AE title not recognised")
        if node.sources and not any(self._matches(source, request) for source in node.sources):
            return self._refuse(request, reject.CALLING_AE_TITLE_NOT_RECOGNISED, "calling AE title not recognised")
        refusal = self._ask_plugins(request)
        if refusal is not None:
            return refusal
        if not self._space.enough():
            return self._refuse(request, reject.TEMPORARY_CONGESTION, "storage is below its reserve")
        return self._count(request)

    def ended(self, request: AssociationRequest) -> None:
        """Count down."""
        with self._lock:
            self._open[request.peer_host] -= 1
            if self._open[request.peer_host] <= 0:
                del self._open[request.peer_host]

    def _count(self, request: AssociationRequest) -> Rejection | None:
        with self._lock:
            limits = self._limits
            if self._open.total() >= limits.total:
                reason = "max_associations reached"
            elif self._open[request.peer_host] >= limits.per_peer:
                reason = "max_associations_per_peer reached"
            else:
                self._open[request.peer_host] += 1
                return None
        return self._refuse(request, reject.LOCAL_LIMIT_EXCEEDED, reason)

    def _matches(self, source: Source, request: AssociationRequest) -> bool:
        if source.ae_title != request.calling_ae_title:
            return False
        return not source.check_hostname or self._resolve.same_host(source.hostname, request.peer_host)

    def _ask_plugins(self, request: AssociationRequest) -> Rejection | None:
        if self._plugins is None:
            return None
        caller = Caller(
            called_ae_title=request.called_ae_title,
            calling_ae_title=request.calling_ae_title,
            host=request.peer_host,
        )
        try:
            answer = self._plugins.hook.karnak_refuse_association(request=caller)
        except Exception:
            logger.exception("a plugin failed in karnak_refuse_association; the association is refused")
            return self._refuse(request, reject.TEMPORARY_CONGESTION, "a plugin failed")
        if answer is None:
            return None
        reason = answer.reason if isinstance(answer, Refusal) else "a plugin answered something else than a Refusal"
        return self._refuse(request, reject.NO_REASON_GIVEN, reason)

    def _refuse(self, request: AssociationRequest, rejection: Rejection, reason: str) -> Rejection:
        self._refusals.association(request, reason)
        return rejection


class _Resolver:
    """Compares host names with peer addresses; asks DNS in the association's own thread, and remembers."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def same_host(self, hostname: str, peer_host: str) -> bool:
        return hostname == peer_host or peer_host in self._addresses(hostname)

    def _addresses(self, hostname: str) -> frozenset[str]:
        now = time.monotonic()
        until, addresses = self._known.get(hostname, (0.0, frozenset()))
        if until > now:
            return addresses
        try:
            addresses = frozenset(str(info[4][0]) for info in socket.getaddrinfo(hostname, None))
        except OSError:
            addresses = frozenset()
        self._known[hostname] = (now + RESOLVED_SECONDS, addresses)
        return addresses
