"""``karnak echo``: does a DICOM node answer?"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from karnak_core.commands.common import Place, data_options, fail
from karnak_core.commands.destinations import find_destination
from karnak_core.config.tls import ClientTLS
from karnak_core.errors import DeliveryError
from karnak_core.model import OpenContext
from karnak_plugins.dicom_dest.addresses import parse_address
from karnak_plugins.dicom_dest.config import DicomDestination
from karnak_plugins.dicom_dest.options import tls_options
from karnak_plugins.dicom_dest.storage_scu import StorageSCU


@click.command()
@click.argument("target", metavar="[AE@]HOST:PORT|DESTINATION")
@click.option("--called", default="ANY-SCP", show_default=True, help="AE title to call, where TARGET names none.")
@click.option("--calling", default="KARNAK-ECHO", show_default=True, help="Our AE title.")
@tls_options
@data_options
def echo(place: Place, target: str, called: str, calling: str, tls: ClientTLS | None) -> None:
    """Send a C-ECHO to a node, or to a destination of the configuration."""
    if ":" not in target and tls is not None:
        raise click.UsageError("a destination of the configuration has its own TLS; these options are for HOST:PORT")
    scu = _at(target, called, calling, tls) if ":" in target else _destination(place, target)
    started = time.monotonic()
    try:
        answer = scu.probe()
    except DeliveryError as error:
        fail(error)
    click.echo(f"{answer} ({(time.monotonic() - started) * 1000:.0f} ms)")


def _at(target: str, called: str, calling: str, tls: ClientTLS | None) -> StorageSCU:
    address = parse_address(target, ae_title=called)
    config = DicomDestination(
        ae_title=address.ae_title, hostname=address.host, port=address.port, calling_ae_title=calling, tls=tls
    )
    return StorageSCU(config, OpenContext(data_directory=Path(tempfile.gettempdir())))


def _destination(place: Place, name: str) -> StorageSCU:
    found = find_destination(place, name)
    if not isinstance(found.destination.options, DicomDestination):
        fail(f"{name} is a destination of type {found.destination.type}; `karnak probe` fits every type", 2)
    return StorageSCU(found.destination.options, found.context)
