"""How the gateway is, as ``karnak status --json`` tells it."""

from __future__ import annotations

from typing import Any

from karnak_core.monitor import standing
from karnak_plugins.web_console.console import Console


def status(console: Console) -> dict[str, Any]:
    """Return how everything is; costs the same however much is finished."""
    found = standing.look(console.database, console.configuration, console.spool)
    soon = console.expiries.of(
        console.configuration, console.plugins, console.vault, console.data_directory, console.clock()
    )
    return standing.as_json(found, running=standing.runs(console.data_directory), expiries=soon)
