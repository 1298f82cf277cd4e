"""The kind of machine that a run was on: enough to read the numbers, nothing that names it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.programs import dcmtk_version, orthanc_version


def describe(work: Path, *, engines: bool, network: bool) -> dict[str, str]:
    """Return the facts, in the order to print them; of the programs, those that were compared."""
    facts = {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "kernel": platform.release().partition("-")[0],
        "file system": file_system(work),
        "python": platform.python_version(),
        "karnak": version("karnak-gateway"),
    }
    if network:
        facts |= {"pynetdicom": version("pynetdicom"), "dcmtk": dcmtk_version(), "orthanc": orthanc_version()}
    if engines:
        facts |= {name: _version(name) for name in ("pydicom", "dicognito", "dicom-anonymizer", "deid")}
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


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
