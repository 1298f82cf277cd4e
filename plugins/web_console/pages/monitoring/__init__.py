"""The monitoring: what came in, what became of it, and what a person decides about it."""

from __future__ import annotations

from fastapi import APIRouter

from karnak_plugins.web_console.pages.monitoring import after, decisions, listing, studies

router = APIRouter()
for module in (studies, listing, decisions, after):
    router.include_router(module.router)
