"""The tokens of an album: what Kheops says of them, remembered for a while."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from karnak_core.errors import DeliveryError, Misconfigured, Retryable, Unreachable
from karnak_core.lookups.statuses import refused, retry_after
from karnak_core.lookups.web import Reply, Web
from karnak_plugins.kheops_switch.config import refuse_no_token

#: seconds that what Kheops says of a token is believed
BELIEVED: Final = 600.0
FORM: Final = "application/x-www-form-urlencoded"
#: statuses of a server, or of what is before it, that does not work for anybody now
AWAY: Final = (429, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What Kheops said of a token."""

    token: str
    scopes: tuple[str, ...]
    #: when it expires, seconds since 1970; None: Kheops does not say
    expires: float | None
    #: until when this is believed, seconds since 1970
    until: float

    def in_words(self) -> str:
        """Say it to people."""
        return f"{' '.join(self.scopes)}; {_expiry(self.expires)}"


class Kheops:
    """Sends requests to one Kheops. For any number of threads."""

    def __init__(self, web: Web, url: str, peer: str) -> None:
        self._web = web
        self._url = url
        self.peer = peer

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
        """Send a request; raises DeliveryError when there is no answer."""
        try:
            return self._web.ask(
                method,
                f"{self._url}{path}",
                {"Accept": "application/json", "Content-Type": FORM, **headers},
                body,
                self.peer,
            )
        except Retryable as error:
            raise Unreachable(error.reason, error.retry_after) from error

    def refused(self, reply: Reply) -> DeliveryError:
        """Return what a status that is no success means."""
        error = refused(reply.status, reply.headers, self.peer)
        if reply.status in AWAY:
            return Unreachable(error.reason, retry_after(reply.headers))
        return error

    def close(self) -> None:
        """Close the connections; the next request opens them again."""
        self._web.close()


class Token:
    """One of the tokens of an album.

    Parameters
    ----------
    name
        What people call it.
    needed
        The scopes that it has to have, all of them.
    reveal
        Returns its text; raises Misconfigured.
    """

    def __init__(self, name: str, needed: Sequence[str], reveal: Callable[[], str], kheops: Kheops) -> None:
        self.name = name
        self._needed = tuple(needed)
        self._reveal = reveal
        self._kheops = kheops
        self._lock = threading.Lock()
        self._known: Known | None = None
        #: when the token that was asked about last expires, or has expired; None: not known
        self.expires: float | None = None
        #: whether that is so because Kheops has said it: nothing is said of a token that is not active
        self.known = False
        self._expiring = ""

    def checked(self, *, anew: bool = False) -> Known:
        """Return what is known of it, once Kheops has said that it is good for what it is needed for.

        Parameters
        ----------
        anew
            True: ask Kheops, whatever is known.

        Raises
        ------
        Misconfigured
            It is not good; the reason says why, without the token.
        DeliveryError
            Kheops does not answer.
        """
        token = self._text()
        # one asks, the others wait for what it is told
        with self._lock:
            known = self._known
            if not anew and known is not None and known.token == token and time.time() < known.until:
                return known
            self._known = None
            self._known = self._introspected(token)
            return self._known

    def forget(self) -> None:
        """Ask Kheops again before the next use."""
        with self._lock:
            self._known = None

    def _text(self) -> str:
        text = self._reveal().strip()
        try:
            refuse_no_token(text)
        except ValueError as error:
            raise Misconfigured(f"the {self.name} {error}") from None
        return text

    def _introspected(self, token: str) -> Known:
        said = self._said(token)
        now = time.time()
        expires = _moment(said.get("exp"))
        active = said.get("active") is True
        if expires is None and not active and token == self._expiring:
            # of one that is not active, it is not told any more
            expires = self.expires
        self._expiring, self.expires = token, expires
        self.known = active or expires is not None
        if expires is not None and expires <= now:
            # also where it is said to be active all the same
            raise Misconfigured(f"the {self.name} expired on {_date(expires)}")
        if not active:
            raise Misconfigured(f"the {self.name} is not valid, says {self._kheops.peer}: unknown, revoked or expired")
        scope = said.get("scope")
        scopes = tuple(scope.split()) if isinstance(scope, str) else ()
        missing = [word for word in self._needed if word not in scopes]
        if missing:
            has = " ".join(scopes) or "none"
            raise Misconfigured(f"the {self.name} lacks the scope {' and '.join(missing)}; it has: {has}")
        until = now + BELIEVED
        return Known(
            token=token, scopes=scopes, expires=expires, until=until if expires is None else min(until, expires)
        )

    def _said(self, token: str) -> Mapping[str, Any]:
        reply = self._kheops.ask(
            "POST",
            "/token/introspect",
            {"Authorization": f"Bearer {token}"},
            urlencode({"token": token}).encode(),
        )
        peer = self._kheops.peer
        if reply.status in (401, 403):
            raise Misconfigured(f"the {self.name} is refused by {peer}: HTTP {reply.status}")
        if reply.status in (404, 405):
            raise Misconfigured(f"{peer} knows no tokens: HTTP {reply.status}; is api_url right?")
        if not 200 <= reply.status <= 299:
            raise self._kheops.refused(reply)
        try:
            said = json.loads(reply.body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise Misconfigured(f"{peer} does not say anything about tokens that can be understood; is api_url right?")
        return said


def _moment(value: object) -> float | None:
    """Return a moment in seconds since 1970 (RFC 7662 section 2.2); None: it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        return None
    return float(value)


def _expiry(expires: float | None) -> str:
    return "Kheops does not say when it expires" if expires is None else f"expires on {_date(expires)}"


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
