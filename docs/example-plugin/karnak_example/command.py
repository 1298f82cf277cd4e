"""``karnak checksums``: look at a list, or compare it with a folder of DICOM files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from karnak_example.checksum_list import Entry, read_list

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


# Arguments that are wrong end with exit status 2, which click sees to; 1 means that it failed.
@click.command()
@click.argument("file", type=_FILE)
@click.argument("folder", type=_FOLDER, required=False)
def checksums(file: Path, folder: Path | None) -> None:
    """List what FILE, written by a checksum_list destination, has; with FOLDER, compare it with the files there."""
    entries: dict[str, Entry] = {}
    wrong = 0
    for number, entry in read_list(file):
        if entry is None:
            click.echo(f"{file}, line {number}: cannot be read", err=True)
            wrong += 1
        else:
            # an instance that was sent twice stands twice in the list; the last line counts
            entries[entry.sop_instance_uid] = entry
    there = _checksums_in(folder) if folder else set()
    for entry in entries.values():
        missing = folder is not None and entry.sha256 not in there
        wrong += missing
        click.echo(f"{entry}{'  MISSING OR CHANGED' if missing else ''}")
    click.echo(f"{len(entries)} instances, {wrong} problems")
    if wrong:
        raise SystemExit(1)


def _checksums_in(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                found.add(hashlib.file_digest(file, "sha256").hexdigest())
    return found
