"""The monitor process: what is done, watched and told after deliveries, each in a loop of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.monitor.loops import Loop
from karnak_core.spool import leases, processes, wakeups
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.wakeups import Wakeups

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 1.0
#: seconds until a loop that failed is run again: at first, and at most
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class MonitorProcess:
    """Runs the loops, follows the configuration for them, and says that this process lives.

    Parameters
    ----------
    loops
        By name; each is run in a thread of its own.
    bell
        Rung when there is something to follow up, when the configuration has changed, and to stop.
    """

    def __init__(
        self,
        *,
        database: Database,
        following: Following,
        wake: Wakeups,
        loops: Mapping[str, Loop],
        bell: Doorbell,
        owner: str,
        node: str,
    ) -> None:
        self._database = database
        self._following = following
        self._wake = wake
        self._loops = loops
        self._bell = bell
        self._owner = owner
        self._node = node
        self._changed = threading.Event()

    def run(self, stop: threading.Event, grace: float, ready: Callable[[], None]) -> None:
        """Run the loops until ``stop`` is set; then give them ``grace`` seconds to finish what is in flight."""
        with self._database.write() as connection:
            processes.register(connection, self._owner, self._node, "monitor")
        self._wake.subscribe(self._ring)
        # of its own: the loops end too when this process has to, which nobody asked for
        end = threading.Event()
        threads = [
            threading.Thread(target=self._keep, args=(name, loop, end), name=name, daemon=True)
            for name, loop in self._loops.items()
        ]
        for thread in threads:
            thread.start()
        ready()
        beat_at = 0.0
        try:
            while not stop.is_set():
                now = time.monotonic()
                if now - beat_at >= processes.HEARTBEAT_SECONDS:
                    beat_at = now
                    if not self._beat():
                        return
                self._changed.wait(FOLLOW_SECONDS)
                self._changed.clear()
                self._follow()
        finally:
            end.set()
            self._bell.ring()
            deadline = time.monotonic() + grace
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            with self._database.write() as connection:
                leases.release(connection, [self._owner])
            self._wake.close()

    def _keep(self, name: str, loop: Loop, end: threading.Event) -> None:
        """Run a loop; one that fails is run again, after a pause."""
        pause = FIRST_PAUSE
        while not end.is_set():
            started = time.monotonic()
            try:
                loop.run(end)
            except Exception:
                logger.exception("%s failed; it is run again", name)
            else:
                if not end.is_set():
                    logger.error("%s ended too early; it is run again", name)
            pause = FIRST_PAUSE if time.monotonic() - started > LONGEST_PAUSE else min(LONGEST_PAUSE, pause * 2)
            end.wait(pause)

    def _ring(self, topic: str) -> None:
        if topic == wakeups.CONFIGURATION:
            self._changed.set()
        elif topic == wakeups.AFTERWARDS:
            self._bell.ring()

    def _beat(self) -> bool:
        try:
            with self._database.write(durable=False) as connection:
                if not processes.heartbeat(connection, self._owner):
                    # e.g. suspended for long: others have our leases now
                    logger.error("the leases of this process were given away; it ends and is started anew")
                    return False
        except Exception:
            logger.exception("cannot reach the ledger")
        return True

    def _follow(self) -> None:
        try:
            changed = self._following.refresh()
        except Exception:
            logger.exception("cannot look at the configuration; the last one stays in use")
            return
        if changed:
            self._bell.ring()
            logger.info("following configuration version %s", self._following.version)
