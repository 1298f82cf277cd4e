"""The built-in sources of pseudonyms: ``stored`` by people, a ``tag`` of the data set, and an ``api``."""

from __future__ import annotations

from karnak_core.pseudonyms.api import API
from karnak_core.pseudonyms.finding import PseudonymLookup
from karnak_core.pseudonyms.stored import STORED
from karnak_core.pseudonyms.tag import TAG

__all__ = ["API", "STORED", "TAG", "PseudonymLookup"]
