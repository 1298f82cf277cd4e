"""The application: pages for people, and the API under ``/api/v1``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.types import ASGIApp

from karnak_core import __version__
from karnak_plugins.web_console import api, pages
from karnak_plugins.web_console.access.identity import identity_of, require
from karnak_plugins.web_console.api.description import RESPONSES, describe
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.guard import SAFE, Guard, csrf_fits
from karnak_plugins.web_console.pages.static import Static
from karnak_plugins.web_console.problems import register
from karnak_plugins.web_console.refusals import Refused

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class ConsoleApplication(FastAPI):
    """FastAPI with the guard around everything, its answers to errors of its own, too."""

    def __init__(self, console: Console, **settings: Any) -> None:
        super().__init__(**settings)
        self.state.console = console

    def build_middleware_stack(self) -> ASGIApp:
        """Put the guard outside."""
        return Guard(super().build_middleware_stack(), self.state.console)


def create_app(console: Console) -> FastAPI:
    """Return the application."""
    app = ConsoleApplication(
        console,
        title="Karnak",
        version=__version__,
        description="The REST API of the Karnak DICOM gateway.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        # an answer of its own to a path with one slash too many would be a redirect without a check
        redirect_slashes=False,
        # to whom the addresses of requests would tell who is looked at; not known to older versions, which have none
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        dependencies=[Depends(checked)],
    )
    register(app)
    describe(app)
    for module in api.MODULES:
        app.include_router(
            _router(api.__name__, module),
            prefix=api.PREFIX,
            responses=RESPONSES,
        )
    app.include_router(_router(api.__name__, "echo"), prefix=api.ECHO_PREFIX, responses=RESPONSES)
    for module in pages.OTHERS:
        app.include_router(_router(pages.__name__, module), include_in_schema=False)
    for area in pages.AREAS:
        app.include_router(
            _router(pages.__name__, area.module),
            include_in_schema=False,
            dependencies=[Depends(require(*area.roles))],
        )
    app.mount("/static", Static(), name="static")
    return app


async def checked(request: Request) -> AsyncIterator[None]:
    """Refuse a change by a session without the token of its pages; at the end, close files that came along."""
    try:
        await _check_token(request)
        yield
    finally:
        await request.close()


async def _check_token(request: Request) -> None:
    """Refuse cross-site request forgery."""
    identity = identity_of(request)
    if request.method in SAFE or identity is None or identity.session is None:
        return
    given = request.headers.get("X-CSRF-Token")
    if given is None and request.headers.get("Content-Type", "").partition(";")[0].strip().lower() in FORMS:
        field = (await request.form()).get("csrf_token")
        given = field if isinstance(field, str) else None
    if given is None or not csrf_fits(identity, given):
        raise Refused(403, "the page is too old, or the request does not come from one of ours; load the page again")


def _router(package: str, module: str) -> APIRouter:
    router: APIRouter = import_module(f"{package}.{module}").router
    return router
