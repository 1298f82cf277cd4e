"""``python -m benchmarks.stow``: small instances to Orthanc by STOW-RS, our destination beside ``dicomweb-client``.

Both send the same number of new instances to the same Orthanc, in turn, several times; what counts is the ratio of
their medians. ``store_instances`` is called once for all instances, which is what it is fastest with, and one by one.
"""

from __future__ import annotations

import queue
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
from pydicom import dcmread

from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_core.part10 import read_outgoing
from karnak_core.testing import RunningOrthanc, make_dataset, run_orthanc
from karnak_plugins.stow_dest import STOW

DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
#: what a worker of the gateway claims at once
CLAIM = 64
_ROOT = "1.2.826.0.1.3680043.10.1234"

Sender = Callable[[str, Sequence[Outgoing]], None]


@click.command()
@click.option("--instances", default=1000, show_default=True, type=click.IntRange(2))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--connections", default=2, show_default=True, type=click.IntRange(1, 50))
@click.option("--work", type=click.Path(path_type=Path), default=Path("/var/tmp"), show_default=True, help="On a disk.")
def main(instances: int, rounds: int, connections: int, work: Path) -> None:
    """Measure the destination type ``stow`` beside dicomweb-client."""
    if not Path(DICOMWEB).exists():
        raise click.ClickException(f"{DICOMWEB} is missing: install orthanc-dicomweb")
    senders: dict[str, Sender] = {
        f"karnak, {connections} connections": lambda url, made: send_by_part(url, made, connections),
        "dicomweb-client, all at once": send_at_once,
        "dicomweb-client, one by one": send_one_by_one,
    }
    rates: dict[str, list[float]] = {name: [] for name in senders}
    with tempfile.TemporaryDirectory(prefix="karnak-stow-", dir=work) as name:
        folder = Path(name)
        with run_orthanc(folder / "orthanc", Plugins=[DICOMWEB], DicomWeb={"Enable": True}) as orthanc:
            url = f"http://127.0.0.1:{orthanc.http_port}/dicom-web"
            for turn in range(rounds):
                for number, (name, send) in enumerate(senders.items()):
                    made = make_instances(folder / f"{turn}-{number}", instances, f"{turn + 1}{number + 1}")
                    rates[name].append(rate_of(orthanc, lambda made=made, send=send: send(url, made), instances))
                    click.echo(f"round {turn + 1}: {name}: {rates[name][-1]:.0f} instances/s")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ours, *others = medians.items()
    for name, rate in others:
        click.echo(f"{ours[0]}: {ours[1] / rate:.1f} times the rate of {name}")


def rate_of(orthanc: RunningOrthanc, send: Callable[[], None], count: int) -> float:
    """Return instances per second; all of them have to be there afterwards."""
    before = int(orthanc.get("/statistics")["CountInstances"])
    started = time.monotonic()
    send()
    seconds = time.monotonic() - started
    there = int(orthanc.get("/statistics")["CountInstances"]) - before
    if there != count:
        sys.exit(f"{there} instances arrived, not {count}")
    return count / seconds


def make_instances(folder: Path, count: int, series: str) -> list[Outgoing]:
    """Write instances of one series, of 8 KB each."""
    folder.mkdir()
    study_uid, series_uid = f"{_ROOT}.1.{series}", f"{_ROOT}.2.{series}"
    ds = make_dataset(pixels=64, StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
    made = []
    for number in range(1, count + 1):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{series_uid}.{number}"
        path = folder / f"{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        made.append(replace(read_outgoing(path), study_instance_uid=study_uid, series_instance_uid=series_uid))
    return made


def send_by_part(url: str, made: Sequence[Outgoing], connections: int) -> None:
    """Send as the gateway's workers do: a part for each connection, instances in claims."""
    claims: queue.SimpleQueue[Sequence[Outgoing]] = queue.SimpleQueue()
    for start in range(0, len(made), CLAIM):
        claims.put(made[start : start + CLAIM])

    def work() -> None:
        part = STOW.open(STOW.config.model_validate({"url": url}), OpenContext(data_directory=Path()))
        while True:
            try:
                claim = claims.get_nowait()
            except queue.Empty:
                part.close()
                return
            assert all(isinstance(answer, Sent) for _, answer in part.send_batch(claim))

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send_at_once(url: str, made: Sequence[Outgoing]) -> None:
    """Send in one request; it wants data sets, so reading them is part of it."""
    from dicomweb_client import DICOMwebClient

    DICOMwebClient(url).store_instances([dcmread(outgoing.path) for outgoing in made])


def send_one_by_one(url: str, made: Sequence[Outgoing]) -> None:
    """Send in a request for each."""
    from dicomweb_client import DICOMwebClient

    client = DICOMwebClient(url)
    for outgoing in made:
        client.store_instances([dcmread(outgoing.path)])


if __name__ == "__main__":
    main()
