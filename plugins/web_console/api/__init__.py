"""The REST API. A module here has a ``router``, and stands in ``MODULES``."""

from __future__ import annotations

PREFIX = "/api/v1"
#: of what programs of the Java Karnak ask, in the module ``echo``
ECHO_PREFIX = "/api/echo"

MODULES: tuple[str, ...] = (
    "status",
    "deliveries",
    "monitoring",
    "pseudonyms",
    "users",
    "configuration",
    "gateway",
    "project_secrets",
    "parts",
    "tryouts",
    "tools",
    "node_lists",
)
