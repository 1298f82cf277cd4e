"""Fixtures for what asks web services."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from web_service import Service, serving


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that knows one pseudonym."""
    with serving() as made:
        yield made
