"""The services of plugins: a process each, as the configuration says. None of them can hold up the gateway."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from pydantic import BaseModel

from karnak_core.child import Child

logger = logging.getLogger(__name__)

#: seconds that a service gets to end when its section changes; one that hangs would keep its successor away
END_SECONDS = 10.0


class Services:
    """Keeps a process for each service that the configuration has a section for. For the supervisor's thread.

    Parameters
    ----------
    known
        The services that the plugins offer; sections of other names belong to other parts.
    make
        Makes the process of the service with this name.
    """

    def __init__(self, known: frozenset[str], make: Callable[[str], Child]) -> None:
        self._known = known
        self._make = make
        self._running: dict[str, tuple[BaseModel, Child]] = {}
        #: told to end, and when (monotonic); until it has, it may hold what its successor needs, such as a port
        self._leaving: dict[str, tuple[Child, float]] = {}

    def follow(self, sections: Mapping[str, BaseModel]) -> None:
        """Start, end and restart processes, so that they are those of these sections; call again until all are."""
        self._leaving = {name: (child, told) for name, (child, told) in self._leaving.items() if child.alive}
        for child, told in self._leaving.values():
            if time.monotonic() - told > END_SECONDS:
                child.kill()
        wanted = {name: section for name, section in sections.items() if name in self._known}
        for name, (section, child) in list(self._running.items()):
            if wanted.get(name) != section:
                child.stop()
                self._leaving[name] = (child, time.monotonic())
                del self._running[name]
                logger.info("service %r %s", name, "is started anew" if name in wanted else "ends")
        for name, section in wanted.items():
            if name not in self._running and name not in self._leaving:
                child = self._make(name)
                child.start()
                self._running[name] = (section, child)

    def addresses(self, deadline: float) -> list[str]:
        """Wait until each service works or has failed, at most until ``deadline`` (monotonic); return who listens."""
        found = []
        for name, (_, child) in self._running.items():
            if not child.wait_tried(deadline):
                logger.error("service %r did not start; the gateway goes on without it, and tries it again", name)
            elif child.address:
                found.append(child.address)
        return found

    def stop(self) -> list[Child]:
        """Ask all of them to end; return them, to be joined."""
        children = [*(child for child, _ in self._leaving.values()), *(child for _, child in self._running.values())]
        for child in children:
            child.stop()
        return children
