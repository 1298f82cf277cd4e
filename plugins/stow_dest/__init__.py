"""Destinations of type ``stow``: STOW-RS (DICOM PS3.18 section 10.5) over connections that stay open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karnak_core import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import Destination
from karnak_plugins.stow_dest.config import StowDestination
from karnak_plugins.stow_dest.stow import StoreOverHTTP

STOW = Kind(
    name="stow",
    config=StowDestination,
    open=StoreOverHTTP,
    summary="a DICOMweb server, by STOW-RS",
)


@hookimpl
def karnak_register_destinations() -> Sequence[Kind[Any, Destination]]:
    """Offer the type ``stow``."""
    return [STOW]
