"""A pynetdicom sender at its defaults, as a program: prints the seconds until it has its last response."""

from __future__ import annotations

import time
from pathlib import Path

import click
from pydicom import dcmread
from pynetdicom import AE


@click.command()
@click.option("-aec", "ae_title", required=True)
@click.argument("host")
@click.argument("port", type=int)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(ae_title: str, host: str, port: int, files: tuple[Path, ...]) -> None:
    """Send FILES over one association."""
    meta = dcmread(files[0], stop_before_pixels=True).file_meta
    ae = AE()
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    started = time.perf_counter()
    assoc = ae.associate(host, port, ae_title=ae_title)
    if not assoc.is_established:
        raise click.ClickException("no association")
    for file in files:
        status = assoc.send_c_store(file)
        if status.get("Status") != 0x0000:
            raise click.ClickException(f"C-STORE answered {status.get('Status')}")
    seconds = time.perf_counter() - started
    assoc.release()
    click.echo(f"seconds: {seconds:.6f}")


if __name__ == "__main__":
    main()
