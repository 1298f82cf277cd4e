"""Connections of the web server: none waits for a request for ever, and no address has all of them."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from karnak_plugins.web_console.addresses import address_of, whose_address

logger = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Connection(H11Protocol):
    """HTTP/1.1, with an end to patience."""

    #: seconds until a request stands, from the connection or its first byte on; and between two parts of its body
    request_seconds: ClassVar[float] = 20.0
    body_seconds: ClassVar[float] = 30.0
    #: of one address; browsers have six of a kind
    most: ClassVar[int] = 200
    #: proxies, who have those of many people
    proxies: ClassVar[Sequence[Network]] = ()

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._patience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless the address has as many as it gets."""
        super().connection_made(transport)
        if self._are_too_many():
            logger.debug("a connection is refused: its address has %d already", self.most)
            self.connections.discard(self)
            transport.abort()
            return
        self._wait(self.request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._wait_no_longer()
        self._is_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and wait for what is missing."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            # not anew with each byte
            if self._patience is None and not self.transport.is_closing():
                self._wait(self.request_seconds)
            return
        self._wait_no_longer()
        if cycle.more_body:
            self._wait(self.body_seconds)

    def on_response_complete(self) -> None:
        """Leave the rest to the time that idle connections are kept."""
        self._wait_no_longer()
        super().on_response_complete()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and cycle.more_body and self._patience is None:
            # of the next request, which came together with this one
            self._wait(self.body_seconds)

    def pause_writing(self) -> None:
        """Wait for who does not read the answer."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._is_read()
        super().resume_writing()

    def _are_too_many(self) -> bool:
        if self.client is None:
            return False
        whose = whose_address(self.client[0])
        clients: list[tuple[str, int] | None] = [getattr(one, "client", None) for one in self.connections]
        if sum(client is not None and whose_address(client[0]) == whose for client in clients) <= self.most:
            return False
        address = address_of(self.client[0])
        return address is None or not any(address in network for network in self.proxies)

    def _wait(self, seconds: float) -> None:
        self._patience = self.loop.call_later(seconds, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        self._patience = None
        # not close(): with TLS that waits for the peer
        self.transport.abort()


def connection_class(trusted_proxies: Sequence[str]) -> type[Connection]:
    """Return the class of connections that knows these proxies; addresses or networks."""
    networks = [ipaddress.ip_network(one) for one in trusted_proxies]
    return type("KnownConnection", (Connection,), {"proxies": networks})
