"""DCMTK ``storescp --fork``: a process for each association, Nagle's algorithm off, no fsync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.programs import dcmtk
from benchmarks.systems.running import Address, Running, free_port, keep_running, wait_until_listening


class Storescp:
    """Receives into a folder; also what everything is forwarded to."""

    name = "storescp"
    share = 1.0

    def __init__(self, max_pdu: int | None = None) -> None:
        self._max_pdu = max_pdu

    @contextmanager
    def start(self, folder: Path, forward_to: Address | None = None) -> Iterator[Running]:
        """Run it; it cannot forward."""
        assert forward_to is None
        received = folder / "received"
        received.mkdir()
        port = free_port()
        # all transfer syntaxes that it knows
        command = [dcmtk("storescp"), "--fork", "+xa", "-od", str(received), "-aet", "STORESCP"]
        if self._max_pdu is not None:
            command += ["-pdu", str(self._max_pdu)]
        with keep_running([*command, str(port)], folder=folder, environment={"TCP_NODELAY": "1"}) as process:
            wait_until_listening(process, port)
            yield Running(
                pid=process.pid,
                address=Address(port=port, ae_title="STORESCP"),
                received=received,
                role=lambda _: "storescp",
            )
