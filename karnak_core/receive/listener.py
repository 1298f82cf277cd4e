"""Accept connections: a thread for each, many at once, none able to keep others out."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from karnak_core import tls
from karnak_core.config.tls import ServerTLS
from karnak_core.dimse import (
    AcceptedAssociation,
    AssociationRequest,
    Incoming,
    Receiver,
    Rejection,
    StoreAnswer,
    StoreRequest,
    Timeouts,
)
from karnak_core.receive.refusals import Refusals

logger = logging.getLogger(__name__)

#: connections that have not asked for an association yet; the oldest gives way
MOST_UNNEGOTIATED = 512


class Listener:
    """Runs associations on a listening socket until stopped."""

    def __init__(self, listening: socket.socket, receiver: Receiver, timeouts: Timeouts, refusals: Refusals) -> None:
        self._socket = listening
        self._receiver = receiver
        self._timeouts = timeouts
        self._refusals = refusals
        #: makes TLS connections of the next ones; None: they are plain
        self._wrap: Callable[[socket.socket], socket.socket] | None = None
        self._lock = threading.Lock()
        self._running: dict[AcceptedAssociation, threading.Thread] = {}
        self._unnegotiated: dict[AcceptedAssociation, None] = {}
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._accept, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def follow(self, settings: ServerTLS | None) -> None:
        """Accept with this TLS, or plain, from the next connection on; those that are open go on as they are."""
        if settings is None:
            self._wrap = None
            return
        context = tls.server_context(settings)
        self._wrap = tls.accepting(context)
        try:
            context.get()
        except tls.TlsFileError as error:
            logger.error("listener.tls: %s; every connection is refused until it can be used", error)

    @property
    def busy(self) -> bool:
        """Say whether there are connections."""
        with self._lock:
            return bool(self._running)

    def close(self) -> None:
        """Accept no more; associations that are open go on. May be called twice."""
        if not self._stopping.is_set():
            self._stopping.set()
            os.write(self._wake_write, b"1")
            self._thread.join()
            self._socket.close()

    def stop(self, grace: float) -> None:
        """Accept no more, let instances in flight finish for ``grace`` seconds, then abort."""
        self.close()
        with self._lock:
            running = list(self._running.items())
        for association, _ in running:
            association.stop()
        deadline = time.monotonic() + grace
        for _, thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))
        for association, thread in running:
            if thread.is_alive():
                association.abort()
                thread.join(1.0)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _accept(self) -> None:
        # the socket is the supervisor's too, and outlives us: it is not shut down to end the wait
        self._socket.setblocking(False)
        wait = select.poll()
        wait.register(self._socket, select.POLLIN)
        wait.register(self._wake_read, select.POLLIN)
        while not self._stopping.is_set():
            wait.poll()
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                # out of descriptors, most likely: those in use will come back
                logger.error("cannot accept a connection: %s", error.strerror)
                self._stopping.wait(0.2)
                continue
            self._begin(connection, address)

    def _begin(self, connection: socket.socket, address: tuple[str, int]) -> None:
        association: AcceptedAssociation | None = None

        def negotiated(_request: AssociationRequest) -> None:
            with self._lock:
                self._unnegotiated.pop(association, None)  # type: ignore[arg-type]

        association = AcceptedAssociation(
            connection,
            address,
            _Observed(self._receiver, negotiated),
            timeouts=self._timeouts,
            wrap=self._wrap,
            refused=lambda reason: self._refusals.connection(address[0], reason),
        )
        thread = threading.Thread(target=self._run, args=(association,), name="association", daemon=True)
        with self._lock:
            crowded = next(iter(self._unnegotiated), None) if len(self._unnegotiated) >= MOST_UNNEGOTIATED else None
            if crowded is not None:
                del self._unnegotiated[crowded]
            self._running[association] = thread
            self._unnegotiated[association] = None
        if crowded is not None:
            crowded.abort()
        thread.start()

    def _run(self, association: AcceptedAssociation) -> None:
        try:
            association.run()
        except Exception:
            logger.exception("an association thread failed")
        finally:
            with self._lock:
                self._running.pop(association, None)
                self._unnegotiated.pop(association, None)


class _Observed:
    """Passes everything on to the receiver, and tells when an association was asked for."""

    def __init__(self, receiver: Receiver, negotiated: Callable[[AssociationRequest], None]) -> None:
        self._receiver = receiver
        self._negotiated = negotiated

    def admit(self, request: AssociationRequest) -> Rejection | None:
        self._negotiated(request)
        return self._receiver.admit(request)

    def begin_store(self, request: StoreRequest) -> Incoming | StoreAnswer:
        return self._receiver.begin_store(request)

    def ended(self, request: AssociationRequest) -> None:
        self._receiver.ended(request)
