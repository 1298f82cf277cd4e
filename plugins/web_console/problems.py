"""Refusals and errors as answers: problem details (RFC 9457) of the API, pages for people."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from karnak_core.errors import ConfigurationError, Conflict, DeliveryError, KarnakError, NotFound
from karnak_plugins.web_console.refusals import Refused

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


#: what is said where the framework only has a status
BARE = {404: "there is nothing at this address", 405: "this cannot be done at this address; Allow says what can"}


class Mistake(BaseModel):
    """One thing that is wrong in what was sent."""

    place: str = Field(description="where, as in messages about configuration files; empty: the whole of it")
    message: str = Field(description="what is wrong, and what is allowed")


class Problem(BaseModel):
    """Why a request was not answered as asked (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="the meaning of the status")
    status: int = Field(description="the status of the answer")
    detail: str = Field(description="what is wrong with this request")
    errors: list[Mistake] = Field(default_factory=list, description="each thing that is wrong, where there are several")


def is_api(request: Request) -> bool:
    """Say whether programs read the answer."""
    return request.url.path.startswith("/api/")


def refused(request: Request, error: Refused) -> Response:
    """Return the answer to a request that is refused."""
    return answer(request, error.status, str(error), headers=error.headers)


def unusable(request: Request, error: SQLAlchemyError) -> Response:
    """Return the answer while the database cannot be used; its own words may have values, and go to the log."""
    logger.error("the database cannot be used: %s", getattr(error, "orig", None) or type(error).__name__)
    return answer(
        request, 503, "the database cannot be used; the gateway's log says why", headers={"Retry-After": "10"}
    )


def answer(
    request: Request,
    status: int,
    detail: str,
    errors: Sequence[Mistake] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem to a program, and a page to people."""
    title = HTTPStatus(status).phrase
    if not is_api(request):
        # not before: it needs what is in here
        from karnak_plugins.web_console.pages.rendering import render_error

        return render_error(request, status, title, detail, errors, headers)
    problem = Problem(title=title, status=status, detail=detail, errors=list(errors))
    return JSONResponse(problem.model_dump(mode="json"), status, headers=headers, media_type=MEDIA_TYPE)


def mistakes(error: ConfigurationError) -> list[Mistake]:
    """Return what is wrong, by place."""
    return [Mistake(place=problem.place, message=problem.message) for problem in error.problems]


def register(app: FastAPI) -> None:
    """Let the application answer errors."""

    @app.exception_handler(Refused)
    def on_refused(request: Request, error: Refused) -> Response:
        return refused(request, error)

    @app.exception_handler(ConfigurationError)
    def on_wrong(request: Request, error: ConfigurationError) -> Response:
        return answer(request, 422, "; ".join(str(problem) for problem in error.problems), mistakes(error))

    @app.exception_handler(RequestValidationError)
    def on_invalid(request: Request, error: RequestValidationError) -> Response:
        found = [Mistake(place=_place(one["loc"]), message=str(one["msg"])) for one in error.errors()]
        return answer(request, 422, "; ".join(f"{one.place}: {one.message}" for one in found), found)

    @app.exception_handler(Conflict)
    def on_conflict(request: Request, error: Conflict) -> Response:
        return answer(request, 412 if "If-Match" in request.headers else 409, str(error))

    @app.exception_handler(NotFound)
    def on_not_found(request: Request, error: NotFound) -> Response:
        return answer(request, 404, str(error))

    @app.exception_handler(HTTPException)
    def on_http(request: Request, error: HTTPException) -> Response:
        # the framework says no more than the status; those that say more have their own words
        bare = error.detail == HTTPStatus(error.status_code).phrase
        detail = BARE.get(error.status_code, error.detail) if bare else error.detail
        return answer(request, error.status_code, str(detail), headers=dict(error.headers or {}))

    @app.exception_handler(KarnakError)
    def on_failed(request: Request, error: KarnakError) -> Response:
        return answer(request, 502 if isinstance(error, DeliveryError) else 500, str(error))

    app.add_exception_handler(SQLAlchemyError, cast(Any, unusable))

    @app.exception_handler(Exception)
    def on_bug(request: Request, error: Exception) -> Response:
        # the message may hold what nobody shall see; the log has it
        return answer(request, 500, "something went wrong in the console; the gateway's log says what")


def _place(location: Sequence[int | str]) -> str:
    """Return where in a request something is wrong, as in a file; the part of the request is left out."""
    words = location[1:] if location[:1] and location[0] in ("body", "query", "path", "header") else location
    text = ""
    for word in words:
        text += f"[{word}]" if isinstance(word, int) else f".{word}"
    return text.lstrip(".")
