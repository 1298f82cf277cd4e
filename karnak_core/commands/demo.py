"""``karnak demo``: the main job in a few seconds, with instances made here, in a folder of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

from karnak_core.commands.common import fail
from karnak_core.commands.people import console, table
from karnak_core.commands.samples import sample_instances
from karnak_core.database import open_database
from karnak_core.model import OpenContext, Outgoing, State
from karnak_core.plugins import load
from karnak_core.spool.views import Filter, deliveries

NODE = "DEMO"
SECONDS = 30.0

CONFIGURATION: dict[str, Any] = {
    "listener": {"host": "127.0.0.1", "port": 0},
    "storage": {"reserve": 0},
    "forward_nodes": [
        {
            "ae_title": NODE,
            "destinations": [
                {"name": "everything", "type": "folder", "directory": "everything"},
                {
                    "name": "only-ct",
                    "type": "folder",
                    "directory": "only-ct",
                    "condition": "tagValueIsPresent(#Tag.Modality, 'CT')",
                },
            ],
        }
    ],
}


@click.command()
@click.option("--keep", is_flag=True, help="Leave the folder, to look at it.")
def demo(keep: bool) -> None:
    """Send sample instances through a gateway into two folders, and show what became of each."""
    folder = Path(tempfile.mkdtemp(prefix="karnak-demo-"))
    try:
        rows = _run(folder)
        console().print(table(("instance", "modality", "destination", "state", "reason"), rows))
        count = sum(1 for name in ("everything", "only-ct") for _ in (folder / "data" / name).rglob("*.dcm"))
        click.echo(f"{count} files arrived{f'; see {folder}' if keep else ''}")
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path) -> list[tuple[object, ...]]:
    samples = sample_instances(folder / "samples")
    data = folder / "data"
    (folder / "karnak.yml").write_text(yaml.safe_dump(CONFIGURATION, sort_keys=False))
    with _gateway(folder / "karnak.yml", data) as port:
        click.echo(f"a gateway listens on 127.0.0.1:{port}; sending {len(samples)} instances to {NODE}")
        _send(samples, port, folder)
        found = _wait(data, len(samples) * 2)
    names = {sample.sop_instance_uid: sample for sample in samples}
    return [
        (
            names[row["sop_instance_uid"]].path.name,
            names[row["sop_instance_uid"]].path.stem.split("-")[0],
            row["destination"],
            row["state"],
            row["reason"],
        )
        for row in found
    ]


@contextmanager
def _gateway(configuration: Path, data: Path) -> Iterator[int]:
    """Run a gateway; give its port."""
    command = [sys.executable, "-m", "karnak_core", "serve", "--config", str(configuration), "--data", str(data)]
    with open(configuration.parent / "gateway.log", "wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready.startswith("ready:"):
            fail(f"the gateway did not start:\n{(configuration.parent / 'gateway.log').read_text()}")
        yield int(ready.rsplit(":", 1)[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def _send(samples: list[Outgoing], port: int, folder: Path) -> None:
    kind = load().destinations.get("dicom")
    if kind is None:
        fail("the plugin dicom_dest, which sends the samples, is not installed")
    options = kind.config(ae_title=NODE, hostname="127.0.0.1", port=port, calling_ae_title="DEMO-MODALITY")
    part = kind.open(options, OpenContext(data_directory=folder))
    for sample in samples:
        part.send(sample)
    part.close()


def _wait(data: Path, count: int) -> list[dict[str, Any]]:
    database = open_database(None, data)
    deadline = time.monotonic() + SECONDS
    while True:
        with database.read() as connection:
            rows = list(deliveries(connection, Filter()))
        finished = [row for row in rows if row["state"] not in (State.PENDING, State.LEASED)]
        if len(finished) == count or time.monotonic() > deadline:
            database.close()
            return rows
        time.sleep(0.1)
