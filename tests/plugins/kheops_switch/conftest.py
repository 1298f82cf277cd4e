"""Fixtures for albums: Kheops, and parts that share with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kheops_server import KheopsServer

from karnak_core.model import OpenContext
from karnak_plugins.kheops_switch import KHEOPS_ALBUM
from karnak_plugins.kheops_switch.album import Album


@pytest.fixture
def kheops() -> Iterator[KheopsServer]:
    """A server that refuses what is not exactly right."""
    with KheopsServer() as running:
        yield running
        assert running.faults == []


@pytest.fixture
def make_album(kheops: KheopsServer, tmp_path: Path) -> Iterator[Callable[..., Album]]:
    """Open albums; the keys are those of the configuration."""
    opened: list[Album] = []

    def make(**keys: Any) -> Album:
        written = {name: value for name, value in kheops.album(**keys).items() if name != "type"}
        part = KHEOPS_ALBUM.open(KHEOPS_ALBUM.config.model_validate(written), OpenContext(data_directory=tmp_path))
        opened.append(part)
        return part

    yield make
    for part in opened:
        part.close()
