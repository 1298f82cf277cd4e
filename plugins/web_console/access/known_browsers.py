"""Browsers that have signed in before: what others try by the same name keeps them from nothing.

The cookie is worth nothing but its own count of attempts, so it opens nothing where somebody else has it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from karnak_core.database.secrets import SecretKeyError, Vault
from karnak_plugins.web_console.config import WebConsole

COOKIE: Final = "karnak_known"
PATH: Final = "/sign-in"
#: seconds that a browser is known for
KEPT: Final = 180 * 86_400
#: people of one browser, the last ones
MOST: Final = 8
#: nothing else that is encrypted here begins like this
BEGINS: Final = "known browser "


@dataclass(frozen=True, kw_only=True)
class Known:
    """A browser, and the numbers of the users who have signed in with it."""

    browser: str
    users: tuple[int, ...]


def of(request: Request, vault: Vault) -> Known | None:
    """Return which browser this is; None: none that is known."""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie or len(cookie) > 1000:
        return None
    try:
        text = vault.decrypt(cookie)
    except SecretKeyError:
        return None
    if not text.startswith(BEGINS):
        return None
    browser, *users = json.loads(text.removeprefix(BEGINS))
    return Known(browser=browser, users=tuple(users))


def remember(request: Request, response: Response, config: WebConsole, vault: Vault, user: int) -> None:
    """Let the browser say from now on that this user has signed in with it."""
    known = of(request, vault) or Known(browser=secrets.token_urlsafe(16), users=())
    users = [*(one for one in known.users if one != user), user][-MOST:]
    text = BEGINS + json.dumps([known.browser, *users])
    response.set_cookie(
        COOKIE, vault.encrypt(text), max_age=KEPT, path=PATH, secure=config.secure, httponly=True, samesite="lax"
    )
