"""The receiver process: listens, follows the configuration, keeps house."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.dimse import Timeouts
from karnak_core.plugins import Plugins
from karnak_core.receive.access import Access
from karnak_core.receive.committer import Committer
from karnak_core.receive.listener import Listener
from karnak_core.receive.receiver import GatewayReceiver
from karnak_core.receive.refusals import Refusals
from karnak_core.receive.space import Space
from karnak_core.spool import leases, processes
from karnak_core.spool.files import SpoolFolder, SpoolWriter
from karnak_core.spool.wakeups import CONFIGURATION, Wakeups

logger = logging.getLogger(__name__)

#: seconds between looks at the configuration when nobody rings
FOLLOW_SECONDS = 1.0


def run(
    *,
    listening: socket.socket,
    database: Database,
    folder: SpoolFolder,
    following: Following,
    plugins: Plugins,
    wake: Wakeups,
    stop: threading.Event,
    retire: threading.Event,
    grace: float,
    ready: Callable[[], None],
    owner: str,
    node: str,
) -> None:
    """Receive until ``stop`` is set; then let instances in flight finish for ``grace`` seconds.

    When ``retire`` is set, no more associations are accepted; it ends with the last of those that are open.
    """
    writer = SpoolWriter(folder)
    space = Space(folder, following.configuration.storage.reserve)
    refusals = Refusals(database)
    access = Access(plugins, space, refusals)
    access.follow(following.configuration)
    receiver = GatewayReceiver(access, writer, Committer(database, writer, wake), space, refusals)
    listener = Listener(listening, receiver, Timeouts(), refusals)
    listener.follow(following.configuration.listener.tls)
    listener.start()
    changed = threading.Event()
    wake.subscribe(lambda topic: changed.set() if topic == CONFIGURATION else None)
    seen_at = _say_that_it_lives(database, owner, node)
    ready()
    logger.info("receiving")
    try:
        while not stop.is_set():
            if retire.is_set():
                listener.close()
                if not listener.busy:
                    break
            changed.wait(FOLLOW_SECONDS)
            changed.clear()
            refusals.flush()
            if time.monotonic() - seen_at >= processes.HEARTBEAT_SECONDS:
                seen_at = _say_that_it_lives(database, owner, node)
            if _refresh(following):
                space.reserve = following.configuration.storage.reserve
                access.follow(following.configuration)
                listener.follow(following.configuration.listener.tls)
                logger.info("following configuration version %s", following.version)
    finally:
        started = time.monotonic()
        listener.stop(grace)
        refusals.flush()
        wake.close()
        writer.close()
        _forget(database, owner)
        logger.info("stopped receiving after %.1f s", time.monotonic() - started)


def _say_that_it_lives(database: Database, owner: str, node: str) -> float:
    """Say it, and return when (monotonic); it holds no leases, so that nothing is lost when it is not heard."""
    try:
        with database.write(durable=False) as connection:
            if not processes.heartbeat(connection, owner):
                processes.register(connection, owner, node, "receive")
    except SQLAlchemyError as error:
        logger.error("the ledger cannot be used: %s", type(error).__name__)
    return time.monotonic()


def _forget(database: Database, owner: str) -> None:
    try:
        with database.write(durable=False) as connection:
            leases.release(connection, [owner])
    except SQLAlchemyError as error:
        logger.error("the ledger cannot be used: %s", type(error).__name__)


def _refresh(following: Following) -> bool:
    try:
        return following.refresh()
    except Exception:
        logger.exception("cannot look at the configuration; the last one stays in use")
        return False
