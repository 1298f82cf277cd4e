"""Fixtures of the chaos tests: gateways and peers that end with the test, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import Gateway, Peer


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Make gateways; those that still run are killed at the end."""
    made: list[Gateway] = []

    def make(*destinations: dict[str, Any], **options: Any) -> Gateway:
        folder = tmp_path / f"gateway{len(made)}"
        folder.mkdir()
        made.append(Gateway(folder, destinations, **options))
        return made[-1]

    yield make
    for gateway in made:
        if gateway.process is not None:
            for pid in gateway.children():
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    continue
            gateway.kill()


@pytest.fixture
def make_peer() -> Iterator[Callable[..., Peer]]:
    """Make peers that are up."""
    made: list[Peer] = []

    def make(port: int = 0, *, up: bool = True) -> Peer:
        made.append(Peer(port))
        return made[-1].up() if up else made[-1]

    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 50 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m,mode=0700", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
