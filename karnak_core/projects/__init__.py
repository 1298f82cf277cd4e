"""Projects at run time: the secrets that UIDs, PatientIDs and shifts of dates are derived from."""

from __future__ import annotations

from karnak_core.projects.rows import generate_missing
from karnak_core.projects.secrets import ProjectSecrets

__all__ = ["ProjectSecrets", "generate_missing"]
