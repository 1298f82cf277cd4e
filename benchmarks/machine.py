"""The kind of machine that a run was on: enough to read the numbers, nothing that names it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.programs import dcmtk_version, orthanc_version


def describe(work: Path) -> dict[str, str]:
    """Return the facts, in the order to print them."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "kernel": platform.release().partition("-")[0],
        "file system": file_system(work),
        "python": platform.python_version(),
        "karnak": version("karnak-gateway"),
        "pynetdicom": version("pynetdicom"),
        "dcmtk": dcmtk_version(),
        "orthanc": orthanc_version(),
    }


def file_system(path: Path) -> str:
    """Return the type of the file system that holds ``path``."""
    found = ""
    longest = -1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mounted = before.split()[4]
        if path.resolve().is_relative_to(mounted) and len(mounted) > longest:
            found, longest = after.split()[0], len(mounted)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
