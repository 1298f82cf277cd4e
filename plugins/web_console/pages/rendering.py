"""Templates become pages: with who looks, the navigation, and what was just done."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from karnak_core import __version__
from karnak_core.commands.people import size, span
from karnak_plugins.web_console import pages
from karnak_plugins.web_console.access.identity import identity_of
from karnak_plugins.web_console.pages.static import static_url
from karnak_plugins.web_console.problems import Mistake

#: what is to be said on the next page; a cookie, as several processes may answer
FLASH = "karnak_flash"
LONGEST_FLASH = 600


class Errors(dict[str, str]):
    """What is wrong by the name of the field; nothing with those that are not in it."""

    def __missing__(self, name: str) -> str:
        """Say that nothing is wrong."""
        return ""


def when(milliseconds: int | None, empty: str = "never") -> Markup | str:
    """Return a time for people: in UTC, which the page's script turns into the browser's."""
    if milliseconds is None:
        return empty
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    iso, text = time.isoformat(timespec="seconds"), time.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(iso, text)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"when": when, "size": size, "span": span}
    environment.globals |= {"static": static_url, "release": __version__}
    return environment


_templates = _environment()


def render(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """Return a page, or a fragment of one.

    Parameters
    ----------
    template
        A file in ``templates``; the names of fragments begin with an underscore.
    **context
        What the template shows. There are, besides: ``user`` (the identity, or None), ``csrf``, ``navigation``,
        ``home``, ``path``, ``manual_page`` (that explains it), ``flashes``, ``version`` (of the configuration),
        ``release`` (of Karnak). A mapping ``errors`` may be asked for fields that are not in it.
    """
    if isinstance(errors := context.get("errors"), Mapping):
        context["errors"] = Errors(errors)
    identity = identity_of(request)
    roles = identity.roles if identity and not identity.user.must_change else frozenset()
    whole = not template.rpartition("/")[2].startswith("_")
    flashes = _flashes(request) if whole else []
    text = _templates.get_template(template).render(
        request=request,
        user=identity,
        csrf=identity.session.csrf if identity and identity.session else "",
        navigation=pages.areas_for(roles),
        home=pages.home(roles),
        path=request.url.path,
        manual_page=pages.manual_of(request.url.path),
        flashes=flashes,
        version=request.app.state.console.version,
        **context,
    )
    response = HTMLResponse(text, status, headers=headers)
    if flashes:
        response.delete_cookie(FLASH, path="/", httponly=True, samesite="lax")
    return response


def render_error(
    request: Request,
    status: int,
    title: str,
    detail: str,
    errors: Sequence[Mistake] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the page that says why there is no other."""
    return render(
        request, "error.html", status=status, headers=headers, title=title, detail=detail, errors=errors, code=status
    )


def go(request: Request, path: str, said: str = "", *, kind: str = "done") -> Response:
    """Return the answer to a form that worked: another page, which says what was done.

    Parameters
    ----------
    path
        Of the page, one of ours.
    said
        A sentence for the next page; never a secret, nor a value of a data set.
    kind
        ``done``, ``note`` or ``wrong``.
    """
    response = RedirectResponse(path, 303)
    if said:
        value = base64.urlsafe_b64encode(json.dumps([kind, said[:LONGEST_FLASH]]).encode()).decode()
        secure = request.app.state.console.config.secure
        response.set_cookie(FLASH, value, max_age=60, path="/", secure=secure, httponly=True, samesite="lax")
    return response


def own_path(text: str, otherwise: str) -> str:
    """Return the path to go on to, if it is one of ours; else the other."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return otherwise
    ours = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return text if ours and text.isprintable() else otherwise


def _flashes(request: Request) -> list[tuple[str, str]]:
    value = request.cookies.get(FLASH)
    if not value:
        return []
    try:
        kind, said = json.loads(base64.urlsafe_b64decode(value))
    except (ValueError, TypeError, binascii.Error):
        return []
    known = kind if kind in ("done", "note", "wrong") else "note"
    return [(known, said[:LONGEST_FLASH])] if isinstance(said, str) else []
