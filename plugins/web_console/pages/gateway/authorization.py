"""The popup "Generate Authorization Header": credentials become a header, which is put after those that are there."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from karnak_core.config.reading import Reading
from karnak_core.config.words import problems
from karnak_core.errors import DeliveryError
from karnak_core.http_headers import HeaderError, append_authorization
from karnak_core.model import OpenContext
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages.forms import Form, text
from karnak_plugins.web_console.pages.rendering import render
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(prefix="/gateway/authorization")
#: what is asked for, by kind of authenticators: the keys that need nobody else's answer
KEYS = {"basic": ("username", "password"), "oauth2": ("token",)}


@router.post("")
def generate(request: Request, form: Form, console: ConsoleOf) -> Response:
    """Return the text of the headers with one more, or what is wrong."""
    kind = text(form, "kind")
    made, wrong = "", ""
    try:
        made = _appended(console, kind, {key: text(form, key) for key in KEYS.get(kind, ())}, text(form, "headers"))
    except (HeaderError, DeliveryError) as error:
        wrong = str(error)
    status = 422 if wrong else 200
    return render(request, "gateway/_authorization.html", status=status, made=made, wrong=wrong, kind=kind)


def _appended(console: Console, name: str, given: dict[str, str], headers: str) -> str:
    """Return the headers with that of an authenticator; as ``karnak auth-header`` does it."""
    kind = console.plugins.authenticators.get(name)
    if kind is None or not given:
        raise HeaderError("choose one of the types")
    document = {key: value for key, value in given.items() if value}
    context = Reading(plugins=console.plugins)
    try:
        config = kind.config.model_validate(document, context=context)
    except ValidationError as error:
        # not its own words, which show values
        found = problems(error, kind.config, document, context)
        raise HeaderError("; ".join(map(str, found))) from None
    part = kind.open(config, OpenContext(data_directory=console.data_directory))
    try:
        return append_authorization(headers, part.headers())
    finally:
        part.close()
