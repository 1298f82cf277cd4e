"""Sign in by an identity provider."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from karnak_core.database.joined import Joined
from karnak_core.database.secrets import SecretKeyError
from karnak_core.errors import DeliveryError, NotFound
from karnak_plugins.web_console.access.audit import audit, note
from karnak_plugins.web_console.access.oidc_person import LONGEST_SIGN_IN, SignInError
from karnak_plugins.web_console.access.oidc_users import signed_in
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.pages import home
from karnak_plugins.web_console.pages.rendering import go, own_path, render_error
from karnak_plugins.web_console.pages.sign_in import begin_session
from karnak_plugins.web_console.resources import ConsoleOf

if TYPE_CHECKING:
    from karnak_plugins.web_console.access.oidc import IdentityProvider

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/sign-in/oidc")

#: a sign-in that was begun in this browser
COOKIE = "karnak_oidc"
PATH = "/sign-in/oidc"

_making = threading.Lock()


def identity_provider(request: Request) -> IdentityProvider:
    """Return the identity provider of this application; raises NotFound where there is none."""
    state, console = request.app.state, request.app.state.console
    if console.config.oidc is None:
        raise NotFound("nobody signs in by an identity provider here")
    # not before: it needs the packages of an extra of its own
    from karnak_plugins.web_console.access.oidc import IdentityProvider

    with _making:
        if not hasattr(state, "identity_provider"):
            state.identity_provider = IdentityProvider(console.config.oidc, console.vault)
        found: IdentityProvider = state.identity_provider
    return found


@router.get("")
def begin(request: Request, console: ConsoleOf, next: str = "") -> Response:
    """Send the browser to the identity provider."""
    provider = identity_provider(request)
    try:
        address, kept = provider.begin(_redirect_uri(request, console), own_path(next, ""))
    except (SignInError, DeliveryError, SecretKeyError) as error:
        return _failed(request, console, str(error), 502)
    response = RedirectResponse(address, 303)
    response.set_cookie(
        COOKIE,
        kept,
        max_age=LONGEST_SIGN_IN,
        path=PATH,
        secure=console.config.secure,
        httponly=True,
        # it comes back with the browser from another site
        samesite="lax",
    )
    return response


@router.get("/callback")
def come_back(request: Request, console: ConsoleOf) -> Response:
    """Look at what the identity provider says of who came back; begin a session."""
    provider = identity_provider(request)
    try:
        person, after = provider.finish(
            request.cookies.get(COOKIE), dict(request.query_params), _redirect_uri(request, console)
        )
        address = request.client.host if request.client else ""
        with console.database.write() as connection:
            user = signed_in(Joined(console.database, connection), person)
            if user.roles:
                note(connection, user.name, "sign in", user.name, f"by the identity provider, from {address}")
        if not user.roles:
            # not sooner: sessions and tokens of before are to lose the roles, too
            raise SignInError("the identity provider gives you no role here any more")
    except (SignInError, DeliveryError, SecretKeyError) as error:
        return _failed(request, console, str(error), 403)
    response = go(request, own_path(after, home(user.roles)))
    begin_session(request, console, response, user, id_token=console.vault.encrypt(person.id_token))
    _forget(response, console)
    return response


def end_at_provider(request: Request, encrypted: str) -> None:
    """Tell the identity provider that a session is over. It may be away: that is only logged."""
    console: Console = request.app.state.console
    if console.config.oidc is None:
        return
    try:
        identity_provider(request).sign_out(console.vault.decrypt(encrypted))
    except (SignInError, DeliveryError, SecretKeyError) as error:
        logger.warning("sign-out at the identity provider: %s", error)


def _failed(request: Request, console: Console, why: str, status: int) -> Response:
    address = request.client.host if request.client else ""
    audit(console, "an unknown user", "fail to sign in", "identity provider", f"from {address}: {why}")
    response = render_error(request, status, "You are not signed in", why)
    _forget(response, console)
    return response


def _forget(response: Response, console: Console) -> None:
    response.delete_cookie(COOKIE, path=PATH, secure=console.config.secure, httponly=True, samesite="lax")


def _redirect_uri(request: Request, console: Console) -> str:
    """Return where the identity provider sends the browser back to; it has to be told beforehand."""
    root = console.config.public_url or f"{request.url.scheme}://{request.headers.get('Host', '')}"
    return f"{root}{PATH}/callback"
