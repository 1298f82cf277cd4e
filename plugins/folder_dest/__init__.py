"""Destinations of type ``folder``: every instance a DICOM file, its path made from its data elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karnak_core import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import Destination
from karnak_plugins.folder_dest.config import FolderDestination
from karnak_plugins.folder_dest.writer import FolderWriter

FOLDER = Kind(
    name="folder",
    config=FolderDestination,
    open=FolderWriter,
    summary="a folder, one DICOM file for each instance",
)


@hookimpl
def karnak_register_destinations() -> Sequence[Kind[Any, Destination]]:
    """Offer the type ``folder``."""
    return [FOLDER]
