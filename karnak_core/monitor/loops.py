"""The loops of the monitor process, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.monitor.endpoint import Endpoint
from karnak_core.monitor.follow_ups import FollowUps
from karnak_core.monitor.housekeeping import Housekeeping
from karnak_core.monitor.notices import StudyWatch
from karnak_core.monitor.telling import OpenContexts, Teller
from karnak_core.plugins import Plugins
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder


class Loop(Protocol):
    """Something that goes on for as long as the process does, in a thread of its own."""

    def run(self, stop: Event) -> None:
        """Work until ``stop`` is set; what it raises is logged, and it is run again."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What loops are made of."""

    database: Database
    folder: SpoolFolder
    #: follows by itself: ask it for the configuration each time
    following: Following
    plugins: Plugins
    contexts: OpenContexts
    #: rings when there may be something to do after a delivery
    bell: Doorbell
    #: who leases
    owner: str
    data_directory: Path


def make_loops(around: Surroundings) -> Mapping[str, Loop]:
    """Return every loop of the monitor process, by name."""
    follow_ups = FollowUps(around.database, around.folder, around.following, around.contexts, around.bell, around.owner)
    return {
        "follow-ups": follow_ups,
        "study watch": StudyWatch(around.database, around.following),
        "notifications": Teller(around.database, around.following, around.contexts, around.owner),
        "metrics and health": Endpoint(
            around.database, around.folder, around.following, around.contexts, around.data_directory
        ),
        "housekeeping": Housekeeping(around.database, around.folder, around.following),
    }
