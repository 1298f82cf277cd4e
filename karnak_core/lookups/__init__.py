"""Ask web services about patients: for pseudonyms, and for the values of ``action.replace.api``."""

from __future__ import annotations

from karnak_core.lookups.lookups import Lookups
from karnak_core.lookups.statuses import Absent

__all__ = ["Absent", "Lookups"]
