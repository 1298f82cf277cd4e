"""The description of the API (OpenAPI 3.1): what FastAPI makes of the routes, and what all of them have in common."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from karnak_plugins.web_console.problems import MEDIA_TYPE, Mistake, Problem

#: made of the models, under these names
SCHEMA = {"$ref": "#/components/schemas/Problem"}
PROBLEM: dict[str, Any] = {
    "description": "the request is refused, or failed",
    "content": {MEDIA_TYPE: {"schema": SCHEMA}},
}
#: what every operation may answer besides
RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": PROBLEM, "5XX": PROBLEM}

WAYS_IN = {
    "token": {"type": "http", "scheme": "bearer", "description": "an API token; see Your account in the console"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "karnak",
        "description": "of somebody who is signed in; changes need the header X-CSRF-Token, too",
    },
}
#: operations that anybody may ask for begin with this
OPEN = "/api/echo/"


def describe(app: FastAPI) -> None:
    """Let the application describe itself."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    whole = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = whole.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in (Mistake, Problem):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    # FastAPI's own words about bodies that do not fit are ours here
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = WAYS_IN
    for path, operations in whole["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path.startswith(OPEN) else [{name: []} for name in WAYS_IN]
            operation["responses"].pop("422", None)
    return whole
