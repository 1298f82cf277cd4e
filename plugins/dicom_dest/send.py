"""``karnak send``: send files, or folders of files, to a DICOM node."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from karnak_core.commands.common import fail
from karnak_core.config.tls import ClientTLS
from karnak_core.errors import DeliveryError, Misconfigured, Unreachable
from karnak_core.model import OpenContext, Outgoing
from karnak_core.part10 import read_outgoing
from karnak_plugins.dicom_dest.addresses import Address, parse_address
from karnak_plugins.dicom_dest.config import DicomDestination
from karnak_plugins.dicom_dest.options import tls_options
from karnak_plugins.dicom_dest.storage_scu import StorageSCU

#: files handed to an association at once
CHUNK = 64


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", "target", required=True, metavar="NODE@HOST:PORT", help="Called AE title and address.")
@click.option("--from", "calling", default="KARNAK-SEND", show_default=True, help="Calling AE title.")
@click.option("--associations", type=click.IntRange(1, 50), default=1, show_default=True)
@tls_options
def send(paths: tuple[Path, ...], target: str, calling: str, associations: int, tls: ClientTLS | None) -> None:
    """Send DICOM files by C-STORE. What is no DICOM file is named and passed over."""
    config = _config(parse_address(target), calling, tls)
    files: list[Outgoing] = []
    passed_over = 0
    for path in _files(paths):
        try:
            files.append(read_outgoing(path))
        except ValueError as error:
            passed_over += 1
            click.echo(f"{path}: {error}", err=True)
        except OSError as error:
            passed_over += 1
            click.echo(f"{path}: cannot be read: {error.strerror}", err=True)
    failures = _send_all(files, config, associations)
    for path, reason in failures:
        click.echo(f"{path}: {reason}", err=True)
    click.echo(f"{len(files) - len(failures)} sent, {len(failures)} failed, {passed_over} passed over")
    if failures or not files:
        fail("there is nothing that could be sent" if not files else "not everything was sent")


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(child for child in path.rglob("*") if child.is_file())
        else:
            yield path


def _send_all(files: list[Outgoing], config: DicomDestination, associations: int) -> list[tuple[Path, str]]:
    """Send over several associations at once, with a progress bar; return what failed, and why."""
    chunks: queue.SimpleQueue[list[Outgoing]] = queue.SimpleQueue()
    for start in range(0, len(files), CHUNK):
        chunks.put(files[start : start + CHUNK])
    failures: list[tuple[Path, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"sending to {config.ae_title}", total=len(files))

        def run() -> None:
            scu = StorageSCU(config, OpenContext(data_directory=Path(tempfile.gettempdir())))
            while True:
                try:
                    chunk = chunks.get_nowait()
                except queue.Empty:
                    scu.close()
                    return
                failures.extend(_send_chunk(scu, chunk, lambda: progress.advance(task)))

        threads = [threading.Thread(target=run, daemon=True) for _ in range(associations)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(failures)


def _send_chunk(scu: StorageSCU, chunk: list[Outgoing], advance: Callable[[], None]) -> list[tuple[Path, str]]:
    answered: dict[int, str] = {}
    trouble = "not sent: the association broke"
    for outgoing, answer in scu.send_batch(chunk):
        reason = answer.reason if isinstance(answer, DeliveryError) else ""
        answered[id(outgoing)] = reason
        if isinstance(answer, Unreachable | Misconfigured):
            trouble = f"not sent: {reason}"
        advance()
    reasons = [(outgoing.path, answered.get(id(outgoing), trouble)) for outgoing in chunk]
    return [(path, reason) for path, reason in reasons if reason]


def _config(address: Address, calling: str, tls: ClientTLS | None) -> DicomDestination:
    return DicomDestination(
        ae_title=address.ae_title, hostname=address.host, port=address.port, calling_ae_title=calling, tls=tls
    )
