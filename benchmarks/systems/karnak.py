"""The gateway, as its users run it: one forward node, one destination, everything else at its defaults."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.systems.running import Address, Running, keep_running, ready_port

#: nobody listens there: a paused destination is never called
NOBODY = Address(port=9, ae_title="NOBODY")


class Karnak:
    """Receives durably, fsync on; forwards, or queues for a destination that is paused."""

    def __init__(
        self, connections: int, *, doing: str = "", share: float = 1.0, keys: Mapping[str, object] | None = None
    ) -> None:
        self._connections = connections
        #: with what it does beside forwarding
        self.name = f"karnak, {doing}" if doing else "karnak"
        self.share = share
        #: further keys of the destination
        self._keys = dict(keys or {})

    @contextmanager
    def start(self, folder: Path, forward_to: Address | None = None) -> Iterator[Running]:
        """Run it on an empty data directory."""
        file = folder / "karnak.yml"
        file.write_text(yaml.safe_dump(self._configuration(forward_to)))
        command = [sys.executable, "-m", "karnak_core", "serve", "--config", str(file)]
        command += ["--data", str(folder / "data")]
        with keep_running(command, folder=folder, grace=40.0) as process:
            yield Running(
                pid=process.pid,
                address=Address(port=ready_port(process), ae_title="BENCH"),
                received=None,
                role=_role,
            )

    def _configuration(self, forward_to: Address | None) -> dict[str, object]:
        to = forward_to or NOBODY
        destination = {
            "name": "target",
            "type": "dicom",
            "ae_title": to.ae_title,
            "hostname": "127.0.0.1",
            "port": to.port,
            "connections": self._connections,
            "paused": forward_to is None,
            **self._keys,
        }
        return {
            "listener": {"host": "127.0.0.1", "port": 0},
            "projects": [{"name": "BENCH", "profile": "Dicom Basic Profile", "secret": "0123456789abcdef" * 2}],
            "forward_nodes": [{"ae_title": "BENCH", "destinations": [destination]}],
        }


def _role(command_line: list[str]) -> str:
    return next((role for role in ("receive", "deliver") if role in command_line), "supervise")
