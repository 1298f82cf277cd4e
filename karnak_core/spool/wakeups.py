"""Tell workers in other processes that there is something to do, without anybody polling for it.

On SQLite: a datagram to every socket in a folder of the data directory. On PostgreSQL: NOTIFY, to every machine.
A lost message costs a delay, never a delivery: who waits also looks by itself from time to time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from karnak_core.database import Database

logger = logging.getLogger(__name__)

#: the topic that says that the configuration changed
CONFIGURATION = "configuration"
#: the topic that says that something follows deliveries
AFTERWARDS = "afterwards"
CHANNEL = "karnak"


def topic(forward_node: str, destination: str) -> str:
    """Return the topic of work for a destination."""
    return f"{forward_node}/{destination}"


class Wakeups(Protocol):
    """Publishes topics, and calls back for those that others publish."""

    def publish(self, topics: Iterable[str]) -> None:
        """Tell every subscriber; never blocks for long, never raises."""
        ...

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Call back with each topic, in a thread of our own, until closed. At most once."""
        ...

    def close(self) -> None:
        """Stop calling back."""
        ...


def open_wakeups(database: Database, data_directory: Path) -> Wakeups:
    """Return the means that fit the database."""
    if database.is_sqlite:
        return SocketWakeups(data_directory / "wake")
    return NotifyWakeups(database.engine)


class SocketWakeups:
    """Unix datagrams between the processes of one data directory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        # a socket's address is at most 107 bytes, a data directory's path may be longer: go by the descriptor
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._receivers: dict[str, socket.socket] = {}
        self._closed = False
        # who publishes uses the folder's descriptor, which must not be closed, and be another's, meanwhile
        self._lock = threading.Lock()

    def publish(self, topics: Iterable[str]) -> None:
        """Send one datagram to every subscriber; a dead one's socket is removed."""
        message = "\n".join(topics).encode()
        if not message:
            return
        with self._lock:
            if self._closed:
                return
            try:
                names = os.listdir(self._folder_fd)
            except OSError as error:
                logger.warning("cannot wake a worker process: %s", error.strerror)
                return
            for name in names:
                self._send(message, name)

    def _send(self, message: bytes, name: str) -> None:
        try:
            self._sender.sendto(message, self._address(name))
        except BlockingIOError:
            return  # its queue is full: it is awake
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder_fd)
        except OSError as error:
            logger.warning("cannot wake a worker process: %s", error.strerror)

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Listen in a thread."""
        name = secrets.token_hex(6)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(self._address(name))
        self._receivers[name] = receiver
        threading.Thread(target=self._listen, args=(receiver, callback), name="wakeups", daemon=True).start()

    def close(self) -> None:
        """Remove our sockets; the threads end. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for name, receiver in self._receivers.items():
                with contextlib.suppress(OSError):
                    receiver.shutdown(socket.SHUT_RD)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._folder_fd)
            self._sender.close()
            os.close(self._folder_fd)

    def _listen(self, receiver: socket.socket, callback: Callable[[str], None]) -> None:
        with receiver:
            while not self._closed:
                # empty: shut down, or somebody's empty datagram
                if message := receiver.recv(65536):
                    for name in message.decode().split("\n"):
                        _tell(callback, name)

    def _address(self, name: str) -> str:
        return f"/proc/self/fd/{self._folder_fd}/{name}"


class NotifyWakeups:
    """PostgreSQL's LISTEN and NOTIFY."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._stop = threading.Event()

    def publish(self, topics: Iterable[str]) -> None:
        """Notify every node."""
        topics = set(topics)
        if not topics:
            return
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for name in topics:
                    connection.execute(sa.select(sa.func.pg_notify(CHANNEL, name)))
        except SQLAlchemyError as error:
            logger.warning("cannot notify: %s", type(error).__name__)

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Listen in a thread, on a connection of its own, opened again when it breaks."""
        threading.Thread(target=self._listen, args=(callback,), name="wakeups", daemon=True).start()

    def close(self) -> None:
        """End the thread within its next look."""
        self._stop.set()

    def _listen(self, callback: Callable[[str], None]) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    # closed at the end, not given back: it would go on to collect what it is notified of
                    connection.detach()
                    connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                    driver = connection.connection.dbapi_connection
                    assert driver is not None
                    while not self._stop.is_set():
                        for notice in driver.notifies(timeout=1.0):
                            _tell(callback, notice.payload)
            except SQLAlchemyError as error:
                logger.warning("cannot listen for notifications: %s", type(error).__name__)
                self._stop.wait(1.0)
            except Exception as error:  # the driver's own errors, raised outside SQLAlchemy
                logger.warning("lost the connection for notifications: %s", type(error).__name__)
                self._stop.wait(1.0)


def _tell(callback: Callable[[str], None], name: str) -> None:
    """Call back; what it raises must not make us deaf."""
    try:
        callback(name)
    except Exception:
        logger.exception("a wake-up was not followed")
