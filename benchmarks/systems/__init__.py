"""The programs that are compared, each started fresh in an empty folder."""

from __future__ import annotations

from benchmarks.systems.karnak import Karnak
from benchmarks.systems.orthanc import Orthanc
from benchmarks.systems.pynetdicom import Pynetdicom
from benchmarks.systems.running import Address, Running, System
from benchmarks.systems.storescp import Storescp

__all__ = ["Address", "Karnak", "Orthanc", "Pynetdicom", "Running", "Storescp", "System"]
