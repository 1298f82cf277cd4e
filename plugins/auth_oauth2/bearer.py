"""Tokens become headers; one that is fetched is kept until shortly before it expires, and shared by all threads."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping

from karnak_core.errors import Misconfigured
from karnak_core.model import OpenContext
from karnak_plugins.auth_oauth2.config import OAuth2Authenticator, refuse_no_token
from karnak_plugins.auth_oauth2.token_server import Token, TokenServer

#: a token is given up this long before it expires: seconds, and share of its lifetime; the shorter counts
MARGIN_SECONDS, MARGIN_SHARE = 30.0, 0.1
#: seconds that a token is kept whose lifetime the server does not tell
UNKNOWN_LIFETIME = 300.0


def open_bearer(config: OAuth2Authenticator, context: OpenContext) -> GivenToken | FetchedToken:
    """Return the authenticator of either form."""
    return (
        GivenToken(config, context) if config.token is not None else FetchedToken(TokenServer(config, context.reveal))
    )


class GivenToken:
    """Sends a token that stands in the configuration."""

    def __init__(self, config: OAuth2Authenticator, context: OpenContext) -> None:
        self._token = config.token
        self._reveal = context.reveal

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        """Return the header; the token is looked up each time, as a file or variable may have changed."""
        token = self._reveal(self._token)
        try:
            refuse_no_token(token)
        except ValueError as error:
            raise Misconfigured(f"the token {error}") from None
        return _header(token)

    def expires_at(self) -> int | None:
        """Return when the token expires, ms since 1970; None: it does not say, as only a JSON Web Token does."""
        parts = self._reveal(self._token).split(".")
        if len(parts) != 3:
            return None
        try:
            said = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            return int(said["exp"] * 1000)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def close(self) -> None:
        """Give nothing back: nothing is open."""


class FetchedToken:
    """Fetches tokens; one thread at a time, for all."""

    def __init__(self, server: TokenServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._good_until = 0.0
        #: counts the tokens; each thread remembers which one it was given last
        self._number = 0
        self._given = threading.local()
        #: counts what was tried, and why the last one failed; empty: it did not
        self._tries = 0
        self._failure = ""

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        """Return the header with a token that is good for a while.

        Parameters
        ----------
        refresh
            True: the token that this thread was given last was refused. Another is fetched, unless that was done
            meanwhile.
        """
        tries = self._tries
        with self._lock:
            refused = refresh and getattr(self._given, "number", self._number) == self._number
            if self._token is None or refused or self._clock() >= self._good_until:
                if self._failure and self._tries != tries:
                    # it failed while this thread waited for it: to ask again at once would be no different
                    raise Misconfigured(self._failure)
                self._fetch()
            assert self._token is not None
            self._given.number = self._number
            return _header(self._token.text)

    def close(self) -> None:
        """Forget the token; connections are not kept."""
        with self._lock:
            self._token = None

    def _fetch(self) -> None:
        self._token = None
        # the lifetime begins when the server makes it, and that is some time after this
        asked_at = self._clock()
        try:
            token = self._server.fetch()
        except Misconfigured as error:
            self._failure = error.reason
            raise
        else:
            self._failure = ""
        finally:
            self._tries += 1
        lifetime = UNKNOWN_LIFETIME if token.lifetime is None else token.lifetime
        self._token = token
        self._good_until = asked_at + lifetime - min(MARGIN_SECONDS, lifetime * MARGIN_SHARE)
        self._number += 1


def _header(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
