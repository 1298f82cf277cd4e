"""How the gateway is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from karnak_plugins.web_console import status as gateway
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.resources import ConsoleOf, tag

router = APIRouter(tags=["status"])


@router.get("/status")
def status(
    _user: Annotated[Identity, Depends(require_scope("read"))], console: ConsoleOf, response: Response
) -> dict[str, Any]:
    """Return what ``karnak status --json`` prints."""
    tag(response, console)
    return gateway.status(console)
