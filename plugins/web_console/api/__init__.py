"""The REST API. A module here has a ``router``, and stands in ``MODULES``."""

from __future__ import annotations

PREFIX = "/api/v1"

MODULES: tuple[str, ...] = ("status", "users")
