"""Where the other programs are. pynetdicom brings a ``storescp`` and a ``storescu`` of its own: those are not meant."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path


class MissingProgramError(Exception):
    """A program that is compared with is not installed."""


@cache
def dcmtk(name: str) -> str:
    """Return the path of DCMTK's program ``name``."""
    for folder in os.get_exec_path():
        path = Path(folder, name)
        if os.access(path, os.X_OK) and _first_line(str(path)).startswith("$dcmtk: "):
            return str(path)
    raise MissingProgramError(f"{name} of DCMTK is not installed; `make peers` installs it where it can")


@cache
def orthanc() -> str:
    """Return the path of Orthanc."""
    path = shutil.which("Orthanc")
    if path is None:
        raise MissingProgramError("Orthanc is not installed; `make peers` installs it where it can")
    return path


def dcmtk_version() -> str:
    """Return DCMTK's version."""
    # $dcmtk: dcmsend v3.6.7 2022-04-22 $
    return _first_line(dcmtk("dcmsend")).split()[2].removeprefix("v")


def orthanc_version() -> str:
    """Return Orthanc's version."""
    return _first_line(orthanc()).split()[1]


def _first_line(path: str) -> str:
    told = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return (told.stdout.splitlines() or [""])[0]
