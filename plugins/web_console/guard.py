"""Around everything: who asks, by which name, how much; and the headers of every answer.

Nothing is open by itself: what is not named in ``OPEN`` needs somebody who is signed in or has an API token.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from karnak_plugins.web_console.access import sessions, tokens
from karnak_plugins.web_console.access.cookies import limits, session_cookie
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.access.users import User, comes_from
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.problems import is_api, refused, unusable
from karnak_plugins.web_console.refusals import Refused

logger = logging.getLogger(__name__)

#: how paths end of what pages ask for again and again, by themselves
BY_ITSELF = ("/live", "/traffic", "/node/lists")
#: what anybody may ask for, by how its path begins
OPEN = ("/static/", "/sign-in", "/api/echo/destinations")
#: what somebody may do whose password has to be changed first
BEFORE_CHANGE = ("/static/", "/sign-in", "/sign-out", "/password")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

#: no script and no style but ours, from files; pictures in style sheets are data: URLs
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: forms would be sent with the origin "null"
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app = app
        self._console = console
        self._names = _names(console)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = Request(scope)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if limited.exceeded and not status:
                # whatever the application makes of a body that is cut off
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message))
            await send(message)

        limited = _Limited(receive, self._console.config.upload)
        try:
            answer = await self._refusal(request)
            if answer is None:
                await self._app(scope, limited, send_with_headers)
            else:
                await answer(scope, receive, send_with_headers)
        except _TooLarge:
            if status:
                raise
        finally:
            if limited.exceeded and not status:
                limited.exceeded = False
                await refused(request, self._too_large())(scope, receive, send_with_headers)
            _log(scope, status)

    async def _refusal(self, request: Request) -> Response | None:
        """Find out who asks; return the answer where the request goes no further."""
        request.state.identity = None
        try:
            self._check_host(request)
            self._check_length(request)
            request.state.identity = await run_in_threadpool(self._identity, request)
            self._check_origin(request)
            return _way_in(request)
        except Refused as error:
            return refused(request, error)
        except SQLAlchemyError as error:
            return unusable(request, error)

    def _identity(self, request: Request) -> Identity | None:
        self._console.refresh()
        address = request.client.host if request.client else ""
        now = self._console.clock()
        if authorization := request.headers.get("Authorization"):
            if not is_api(request):
                return None
            kind, _, text = authorization.partition(" ")
            found = tokens.find(self._console.database, text.strip(), now) if kind.lower() == "bearer" else None
            if found is None or not self._is_vouched_for(found[0]):
                raise Refused(401, "the API token is not known, or has expired", {"WWW-Authenticate": "Bearer"})
            return Identity(user=found[0], token=found[1], address=address)
        cookie = request.cookies.get(session_cookie(self._console.config))
        signed_in = self._signed_in(cookie, now, request) if cookie else None
        if signed_in and signed_in[0].has_password and not self._console.config.local_users:
            # from before this was turned off
            return None
        if signed_in is None or not self._is_vouched_for(signed_in[0]):
            return None
        return Identity(user=signed_in[0], session=signed_in[1], address=address)

    def _signed_in(self, cookie: str, now: int, request: Request) -> tuple[User, sessions.Session] | None:
        somebody = not request.url.path.endswith(BY_ITSELF)
        return sessions.find(self._console.database, cookie, now, limits(self._console.config), somebody=somebody)

    def _is_vouched_for(self, user: User) -> bool:
        """Say whether the identity provider that somebody comes from is still the one of the configuration."""
        oidc = self._console.config.oidc
        return user.has_password or (oidc is not None and comes_from(user, oidc.issuer))

    def _check_host(self, request: Request) -> None:
        """Refuse names that are not ours: a page elsewhere may give its own name our address (DNS rebinding)."""
        host = _host(request.headers.get("Host", ""))
        if host in self._names or _is_address(host):
            return
        raise Refused(421, "the console is not reached by this name; see plugins.web_console.public_url")

    def _check_origin(self, request: Request) -> None:
        """Refuse what another site's page makes a browser send (besides the token in forms, and SameSite cookies)."""
        if request.method in SAFE or (request.state.identity and request.state.identity.token):
            return
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        # a proxy may have put another Host into the request
        ours = {request.headers.get("Host", "").lower(), urlsplit(self._console.config.public_url).netloc.lower()}
        same = origin is None or urlsplit(origin).netloc.lower() in ours - {""}
        if not same or site not in ("same-origin", "none"):
            raise Refused(403, "the request comes from another site")

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self._console.config.upload:
            raise self._too_large()

    def _too_large(self) -> Refused:
        most = self._console.config.upload
        return Refused(413, f"the request is larger than {most} bytes; see plugins.web_console.upload")

    def _add_headers(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        if self._console.config.secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"


class _TooLarge(Exception):
    """More is sent than was said, or without saying how much."""


class _Limited:
    """Receives a request's body, up to a limit."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most
        #: more came
        self.exceeded = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.exceeded = True
                raise _TooLarge
        return message


def _way_in(request: Request) -> Response | None:
    identity: Identity | None = request.state.identity
    path = request.url.path
    if identity is None:
        if _starts(path, OPEN):
            return None
        if is_api(request):
            raise Refused(401, "an API token or a session is needed", {"WWW-Authenticate": "Bearer"})
        if "HX-Request" in request.headers:
            # a fragment of a page whose session is over: the page itself goes to the sign-in
            return Response(status_code=401, headers={"HX-Refresh": "true"})
        wanted = path + (f"?{request.url.query}" if request.url.query else "")
        to = f"/sign-in?next={quote(wanted, safe='')}" if request.method == "GET" and path != "/" else "/sign-in"
        return RedirectResponse(to, 303)
    if identity.user.must_change and not _starts(path, BEFORE_CHANGE):
        if is_api(request):
            raise Refused(403, "the password has to be changed first")
        return RedirectResponse("/password", 303)
    return None


def csrf_fits(identity: Identity, given: str) -> bool:
    """Say whether this is the token of the session."""
    return identity.session is not None and secrets.compare_digest(given.encode(), identity.session.csrf.encode())


def _starts(path: str, beginnings: Iterable[str]) -> bool:
    return any(path == one or path.startswith(one if one.endswith("/") else f"{one}/") for one in beginnings)


def _names(console: Console) -> frozenset[str]:
    public = urlsplit(console.config.public_url).hostname or ""
    return frozenset({"localhost", console.config.host.lower(), public.lower()} - {""})


def _host(header: str) -> str:
    """Return the host of a Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _log(scope: Scope, status: int) -> None:
    """Log the request by its route: paths and queries may hold names and UIDs."""
    route = getattr(scope.get("route"), "path", "an unknown path")
    quiet = scope["method"] in SAFE and status < 400
    agent = Headers(scope=scope).get("User-Agent", "")[:100]
    level = logging.DEBUG if quiet else logging.INFO
    logger.log(level, "%s %s: %s", scope["method"], route, status, extra={"user_agent": agent})
