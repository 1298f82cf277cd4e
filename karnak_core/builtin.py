"""What core offers by the same hooks as any plugin: the codenames of profiles and the sources of pseudonyms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karnak_core.deidentify import BUILT_IN, ProfileElement
from karnak_core.hookspecs import hookimpl
from karnak_core.kinds import Kind
from karnak_core.model import PseudonymSource
from karnak_core.pseudonyms import API, STORED, TAG


@hookimpl
def karnak_register_profile_elements() -> Sequence[ProfileElement]:
    """Offer the codenames of the Java Karnak."""
    return BUILT_IN


@hookimpl
def karnak_register_pseudonym_sources() -> Sequence[Kind[Any, PseudonymSource]]:
    """Offer ``stored``, ``tag`` and ``api``."""
    return (STORED, TAG, API)
