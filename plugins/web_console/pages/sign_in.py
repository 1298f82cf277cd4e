"""Sign in by password, and sign out."""

from __future__ import annotations

import logging
import math
import time

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from karnak_plugins.web_console.access import known_browsers, passwords, sessions, users
from karnak_plugins.web_console.access.attempts import Attempts
from karnak_plugins.web_console.access.audit import audit, recorded
from karnak_plugins.web_console.access.cookies import clear_session, limits, set_session
from karnak_plugins.web_console.access.identity import CurrentUser, identity_of
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages import home
from karnak_plugins.web_console.pages.forms import Form, text
from karnak_plugins.web_console.pages.rendering import go, own_path, render
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

logger = logging.getLogger(__name__)

router = APIRouter()

#: the same whether the user exists or not
WRONG = "The name or the password is wrong."


def attempts_of(request: Request) -> Attempts:
    """Return the wrong passwords of this application, remembered from the first one on."""
    state = request.app.state
    if not hasattr(state, "attempts"):
        state.attempts = Attempts(time.monotonic)
    attempts: Attempts = state.attempts
    return attempts


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = "") -> Response:
    """Show the form; somebody who is signed in goes on."""
    identity = identity_of(request)
    if identity is not None:
        return go(request, own_path(next, home(identity.roles)))
    return render(request, "sign_in.html", next=own_path(next, ""), wrong="", name="")


@router.post("/sign-in")
def sign_in(request: Request, form: Form, console: ConsoleOf) -> Response:
    """Look at name and password; begin a session."""
    if not console.config.local_users:
        raise Refused(403, "nobody signs in with a password here; see plugins.web_console.local_users")
    name, address = text(form, "name").strip()[:64], request.client.host if request.client else ""
    attempts, after = attempts_of(request), own_path(text(form, "next"), "")
    with console.database.read() as connection:
        found = users.stored_password(connection, name)
    known = known_browsers.of(request, console.vault)
    browser = known.browser if known and found and found[0].id in known.users else ""
    if wait := math.ceil(attempts.begin(name, address, browser)):
        words = f"There were too many attempts. Try again in {wait} second{'s' if wait > 1 else ''}."
        headers = {"Retry-After": str(wait)}
        return render(request, "sign_in.html", status=429, headers=headers, next=after, wrong=words, name=name)
    right = passwords.matches(text(form, "password"), found[1] if found else None)
    if not right or found is None or found[0].disabled:
        logger.warning("a sign-in failed, from %s", address)
        # what was typed as the name may be a password
        whose = found[0].name if found else "an unknown user"
        audit(console, whose, "fail to sign in", whose, f"from {address}")
        return render(request, "sign_in.html", status=401, next=after, wrong=WRONG, name=name)
    user = found[0]
    attempts.succeeded(name, address, browser)
    audit(console, user.name, "sign in", user.name, f"from {address}")
    response = go(request, after or home(user.roles))
    begin_session(request, console, response, user)
    known_browsers.remember(request, response, console.config, console.vault, user.id)
    return response


def begin_session(
    request: Request, console: Console, response: Response, user: users.User, *, id_token: str | None = None
) -> None:
    """Begin a session of a user who has proven to be that, and end the one of this browser before: its cookie is new.

    Parameters
    ----------
    id_token
        Encrypted, of an identity provider.
    """
    before = identity_of(request)
    if before is not None and before.session is not None:
        sessions.end(console.database, before.session)
    cookie = sessions.begin(console.database, user, console.clock(), limits(console.config), id_token=id_token)
    set_session(response, console.config, cookie)


@router.post("/sign-out")
def sign_out(request: Request, user: CurrentUser, console: ConsoleOf) -> Response:
    """End the session."""
    if user.session is not None:
        with recorded(console, user) as (database, write_down):
            sessions.end(database, user.session)
            write_down("sign out", user.user.name)
    response = go(request, "/sign-in")
    clear_session(response, console.config)
    if user.session is not None and user.session.id_token is not None:
        # not before: what signs in needs what is in here
        from karnak_plugins.web_console.pages.oidc import end_at_provider

        # after the answer, which does not wait for somebody who may be away
        response.background = BackgroundTask(end_at_provider, request, user.session.id_token)
    return response
