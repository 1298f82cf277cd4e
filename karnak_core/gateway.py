"""The supervisor: holds the data directory, starts the processes, restarts one that dies, stops them in order."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from karnak_core.child import Child, Setting
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.errors import KarnakError
from karnak_core.plugins import Plugins
from karnak_core.services import Services
from karnak_core.spool import leases, processes
from karnak_core.spool.files import SpoolFolder

logger = logging.getLogger(__name__)

#: seconds that processes get to finish what is in flight
GRACE_SECONDS = 30.0
#: seconds until a process must have said that it is ready
READY_SECONDS = 60.0
#: seconds that the ready line waits for services, without which the gateway works
SERVICE_SECONDS = 30.0
#: seconds that services get to end once the gateway's own processes have; they are asked to at the same time
SERVICE_GRACE_SECONDS = 5.0
BACKLOG = 1024


def delivery_process_count() -> int:
    """Return how many delivery processes fit this machine beside the receiver."""
    return max(1, min(16, len(os.sched_getaffinity(0)) - 1))


class Gateway:
    """Runs until told to stop."""

    def __init__(self, setting: Setting, lock: int, database: Database, following: Following, plugins: Plugins) -> None:
        self._setting = setting
        self._database = database
        self._following = following
        self._plugins = plugins
        self._lock_fd = lock
        self._node = _identity(setting.data_directory)
        self._children: list[Child] = []
        self._receiver: Child | None = None
        #: receivers of former ports, with associations that are still open
        self._retired: list[Child] = []
        self._listening: socket.socket | None = None
        self._listens_at = ("", 0)
        self._services = Services(frozenset(plugins.services), self._make_service)
        self._stop = threading.Event()

    def run(self, announce: Callable[[str], None]) -> None:
        """Start everything, announce that it is ready, and work until :meth:`stop`.

        Raises
        ------
        KarnakError
            It cannot start: the port is taken, or a process does not come up.
        """
        with self._database.write() as connection:
            released = processes.release_node(connection, self._node)
        if released:
            logger.info("%d deliveries that were in flight when the gateway ended are pending again", released)
        SpoolFolder(self._setting.spool)
        try:
            self._plugins.strictly("karnak_startup", gateway=str(self._setting.data_directory))
            self._listening = self._listen()
            self._start_processes()
            self._services.follow(self._following.configuration.services)
            host, port = self._listening.getsockname()[:2]
            reached = self._services.addresses(time.monotonic() + SERVICE_SECONDS)
            announce(", ".join([f"ready: DICOM {host}:{port}", *reached]))
            while not self._stop.wait(1.0):
                self._follow()
        finally:
            self._stop.set()
            self._stop_processes()
            self._plugins.each("karnak_shutdown", gateway=str(self._setting.data_directory))
            os.close(self._lock_fd)

    def stop(self) -> None:
        """Drain and end; may be called twice, from any thread and from a signal handler."""
        self._stop.set()

    def _start_processes(self) -> None:
        assert self._listening is not None
        count = delivery_process_count()
        deliverers = [
            Child(
                f"deliver {index}",
                ["deliver", "--index", str(index), "--count", str(count)],
                setting=self._setting,
                node=self._node,
                died=self._died,
                pass_fds=(self._lock_fd,),
            )
            for index in range(count)
        ]
        monitor = Child(
            "monitor",
            ["monitor"],
            setting=self._setting,
            node=self._node,
            died=self._died,
            pass_fds=(self._lock_fd,),
        )
        self._receiver = self._make_receiver(self._listening)
        self._children = [*deliverers, monitor, self._receiver]
        for child in self._children:
            child.start()
        deadline = time.monotonic() + READY_SECONDS
        for child in self._children:
            if not child.wait_ready(deadline):
                raise KarnakError(f"the process {child.name!r} did not start; see the log")

    def _make_receiver(self, listening: socket.socket) -> Child:
        return Child(
            "receive",
            ["receive", "--socket", str(listening.fileno())],
            setting=self._setting,
            node=self._node,
            died=self._died,
            pass_fds=(self._lock_fd, listening.fileno()),
        )

    def _make_service(self, name: str) -> Child:
        return Child(
            f"service {name}",
            ["service", "--name", name],
            setting=self._setting,
            node=self._node,
            died=self._died,
            pass_fds=(self._lock_fd,),
        )

    def _stop_processes(self) -> None:
        every = [*self._children, *self._retired]
        for child in every:
            child.stop()
        services = self._services.stop()
        if self._listening is not None:
            # nobody shall wait in a queue that nobody serves any more
            self._listening.close()
        deadline = time.monotonic() + GRACE_SECONDS + 5.0
        for child in every:
            child.join(deadline)
        # at last, so that one that hangs holds up none of what drains
        deadline = time.monotonic() + SERVICE_GRACE_SECONDS
        for child in services:
            child.join(deadline)

    def _died(self, owner: str) -> None:
        try:
            with self._database.write() as connection:
                released = leases.release(connection, [owner], crashed=not self._stop.is_set())
        except Exception:
            logger.exception("cannot give back the leases of a process that died; they expire by themselves")
            return
        if released:
            logger.warning("%d deliveries of a process that died are pending again", released)

    def _follow(self) -> None:
        """Listen elsewhere, and run other services, when the configuration says so; processes follow the rest."""
        try:
            changed = self._following.refresh()
            # always: one that ends makes room for its successor later
            self._services.follow(self._following.configuration.services)
            if not changed or self._listening is None:
                return
            wanted = self._following.configuration.listener
            if (wanted.host, wanted.port) == self._listens_at:
                return
            listening = self._listen()
        except Exception as error:
            logger.error("cannot follow the configuration of the listener: %s", error)
            return
        old, self._listening = self._listening, listening
        assert self._receiver is not None
        # the old one serves its associations until they end, while the new one already listens
        self._receiver.retire()
        self._children.remove(self._receiver)
        self._retired = [*(child for child in self._retired if child.alive), self._receiver]
        self._receiver = self._make_receiver(listening)
        self._receiver.start()
        self._children.append(self._receiver)
        old.close()
        logger.info("listening on %s:%s", *listening.getsockname()[:2])

    def _listen(self) -> socket.socket:
        wanted = self._following.configuration.listener
        address = (wanted.host, wanted.port)
        listening = socket.socket(socket.AF_INET6 if ":" in wanted.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise KarnakError(f"cannot listen on {wanted.host}:{wanted.port}: {error.strerror}") from error
        self._listens_at = address
        return listening


def hold(data_directory: Path, seconds: float = 10.0) -> int:
    """Lock the data directory and return the descriptor of the lock.

    Every process of the gateway holds it, so that none outlives the gateway unnoticed.

    Raises
    ------
    KarnakError
        Another gateway runs on it, still after ``seconds``.
    """
    descriptor = os.open(data_directory / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise KarnakError(f"{data_directory}: another gateway runs on this data directory") from None
            time.sleep(0.1)


def _identity(data_directory: Path) -> str:
    """Return the identity of the data directory, made at its first use."""
    path = data_directory / "node-id"
    try:
        with open(path, "x") as file:
            file.write(secrets.token_hex(8))
    except FileExistsError:
        pass
    return path.read_text().strip()
