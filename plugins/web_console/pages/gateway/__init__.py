"""The gateway: forward nodes, who may send to them, and where what they receive goes."""

from __future__ import annotations

from fastapi import APIRouter

from karnak_plugins.web_console.pages.gateway import authorization, destinations, nodes, sources

router = APIRouter()
for module in (nodes, sources, destinations, authorization):
    router.include_router(module.router)
