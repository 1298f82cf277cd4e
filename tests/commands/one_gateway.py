"""A gateway with deliveries in every state, as the tests of commands use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import Result

from karnak_core.testing import (
    RunningGateway,
    RunningStoreSCP,
    make_file,
    send,
)

#: destinations of the node FORWARD, and how deliveries to them stand
STATES = {"good": "sent", "known": "duplicate", "bad": "failed", "mr": "excluded", "paused": "pending", "local": "sent"}

Karnak = Callable[..., Result]


@dataclass
class Site:
    """A gateway that has received three instances of two studies."""

    gateway: RunningGateway
    good: RunningStoreSCP
    #: answers 0xA900 to what is in ``refused``, else success
    bad: RunningStoreSCP
    refused: set[str]
    dead_port: int
    folder: Path
    files: list[Path] = field(default_factory=list)

    def receive(self, folder: Path, *, refused: bool = True, **elements: Any) -> Path:
        """Send an instance, and wait until it is with every destination that it will be with."""
        path = make_file(folder, **elements)
        if refused:
            self.refused.add(path.stem)
        assert send(self.gateway.port, [path], calling="CT1") == [0x0000]
        wanted = {**STATES, **({} if refused else {"bad": "sent"})}
        self.gateway.wait_until(lambda: self.states(path) == wanted)
        return path

    def states(self, path: Path) -> dict[str, str]:
        return {row["destination"]: row["state"] for row in self.gateway.deliveries(sop_instance_uid=path.stem)}

    def row(self, path: Path, destination: str) -> dict[str, Any]:
        (row,) = self.gateway.deliveries(sop_instance_uid=path.stem, destination=destination)
        return row
