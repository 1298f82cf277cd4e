"""Fixtures for STOW-RS: a scripted server, parts that send to it, and instances."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted import MakeInstances, MakePart, ScriptedServer

from karnak_core.model import OpenContext, Outgoing
from karnak_core.part10 import read_outgoing
from karnak_core.testing import make_dataset
from karnak_plugins.stow_dest import STOW
from karnak_plugins.stow_dest.stow import StoreOverHTTP


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that checks every request and answers as the test says."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def make_part(tmp_path: Path) -> Iterator[MakePart]:
    """Open parts; ``context`` adds to what core tells them, the other keys are those of the configuration."""
    opened: list[StoreOverHTTP] = []

    def make(url: str, *, context: dict[str, Any] | None = None, **keys: Any) -> StoreOverHTTP:
        config = STOW.config.model_validate({"url": url, "timeout": 5, "connect_timeout": 5, **keys})
        part = STOW.open(config, OpenContext(data_directory=tmp_path, **(context or {})))
        opened.append(part)
        return part

    yield make
    for part in opened:
        part.close()


@pytest.fixture
def make_instances(tmp_path: Path) -> MakeInstances:
    """Write small instances of one series."""

    def make(count: int = 1, pixels: int = 8, **elements: Any) -> list[Outgoing]:
        ds = make_dataset(pixels=pixels, **elements)
        made = []
        for number in range(count):
            uid = f"{ds.StudyInstanceUID[:40]}.{number + 1}"
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
            path = tmp_path / f"{uid}.dcm"
            ds.save_as(path, enforce_file_format=True)
            made.append(
                replace(
                    read_outgoing(path),
                    study_instance_uid=str(ds.StudyInstanceUID),
                    series_instance_uid=str(ds.SeriesInstanceUID),
                )
            )
        return made

    return make
