"""Destinations of type ``dicom``: C-STORE over associations that stay open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from karnak_core import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import Destination
from karnak_plugins.dicom_dest.config import DicomDestination
from karnak_plugins.dicom_dest.echo import echo
from karnak_plugins.dicom_dest.send import send
from karnak_plugins.dicom_dest.storage_scu import StorageSCU

DICOM = Kind(
    name="dicom",
    config=DicomDestination,
    open=StorageSCU,
    summary="another DICOM node, by C-STORE",
)


@hookimpl
def karnak_register_destinations() -> Sequence[Kind[Any, Destination]]:
    """Offer the type ``dicom``."""
    return [DICOM]


@hookimpl
def karnak_register_commands(cli: click.Group) -> None:
    """Add ``karnak echo`` and ``karnak send``."""
    cli.add_command(echo)
    cli.add_command(send)
