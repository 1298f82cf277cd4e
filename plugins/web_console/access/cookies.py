"""The cookies of the console."""

from __future__ import annotations

from starlette.responses import Response

from karnak_plugins.web_console.access.sessions import Limits
from karnak_plugins.web_console.config import WebConsole


def session_cookie(config: WebConsole) -> str:
    """Return the name of the session's cookie; browsers take the one with the prefix by HTTPS only."""
    return "__Host-karnak" if config.secure else "karnak"


def limits(config: WebConsole) -> Limits:
    """Return how long sessions last."""
    return Limits(idle=int(config.idle * 1000), whole=int(config.signed_in * 1000))


def set_session(response: Response, config: WebConsole, cookie: str) -> None:
    """Give the browser its session; it forgets it when it is closed."""
    response.set_cookie(session_cookie(config), cookie, path="/", secure=config.secure, httponly=True, samesite="lax")


def clear_session(response: Response, config: WebConsole) -> None:
    """Let the browser forget the session."""
    response.delete_cookie(session_cookie(config), path="/", secure=config.secure, httponly=True, samesite="lax")
