"""One request to a token server: the client credentials grant of RFC 6749 section 4.4.

Nothing of what is sent or given out is in a message: not the secret, not the token, and none of the server's own words
but its error code, as those may repeat what they were sent.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import BadStatusLine, LineTooLong, RemoteDisconnected
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlsplit

import requests
from urllib3.exceptions import HTTPError

from karnak_core import __version__
from karnak_core.config.secret import Secret
from karnak_core.errors import Misconfigured
from karnak_core.lookups.timed import TimedAdapter, causes, is_overdue
from karnak_plugins.auth_oauth2.config import OAuth2Authenticator, refuse_no_token

#: bytes of an answer
LONGEST_ANSWER = 64 * 1024
#: RFC 6749 section 5.2, and those that servers add in its manner
_ERROR_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Token:
    """What the server gave."""

    text: str = field(repr=False)
    #: seconds; None: the server does not tell
    lifetime: float | None


class TokenServer:
    """Where tokens are fetched. Keeps no connection: they are needed once in a while."""

    def __init__(self, config: OAuth2Authenticator, reveal: Callable[[Secret], str]) -> None:
        self._config = config
        self._reveal = reveal
        parts = urlsplit(config.token_url)
        self._peer = f"token server {parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    def fetch(self) -> Token:
        """Return a new token.

        Raises
        ------
        Misconfigured
            The server refuses, cannot be reached, or answers something else.
        """
        status, content = self._ask()
        answer = _object(content)
        if 300 <= status < 400:
            self._fail(f"answers {_named(status)}: token_url is redirected, and credentials do not follow")
        if status >= 400:
            code = answer.get("error") if answer else None
            told = f", {code}" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
            self._fail(f"{'refuses' if status < 500 else 'fails'}: {_named(status)}{told}")
        if answer is None:
            self._fail(f"answers {_named(status)}, but no JSON object with a token; is token_url right?")
        return self._token(answer)

    def _token(self, answer: dict[str, Any]) -> Token:
        kind = answer.get("token_type", "Bearer")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            self._fail("gives a token of another type than Bearer")
        text = answer.get("access_token")
        if not isinstance(text, str):
            self._fail("gives no access_token")
        try:
            refuse_no_token(text)
        except ValueError as error:
            self._fail(f"gives an access_token that {error}")
        return Token(text=text, lifetime=_seconds(answer.get("expires_in")))

    def _ask(self) -> tuple[int, bytes]:
        config = self._config
        form = {"grant_type": "client_credentials"}
        if config.scope:
            form["scope"] = config.scope
        secret = self._reveal(config.client_secret) if config.client_secret else ""
        headers = {"Accept": "application/json", "User-Agent": f"karnak/{__version__}"}
        if config.client_authentication == "body":
            form |= {"client_id": config.client_id, "client_secret": secret}
        else:
            # RFC 6749 section 2.3.1: as in a form, before they are joined
            pair = f"{quote_plus(config.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        with requests.Session() as session:
            # of the environment only the proxy: a .netrc would replace our Authorization, a CA bundle ours
            session.trust_env = False
            for scheme in ("http://", "https://"):
                session.mount(scheme, TimedAdapter(2 * config.timeout))
            session.proxies.update(requests.utils.get_environ_proxies(config.token_url, no_proxy=None))
            try:
                with session.post(
                    config.token_url,
                    data=form,
                    headers=headers,
                    timeout=config.timeout,
                    verify=config.ca or True,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    return response.status_code, b"".join(self._body(response))
            except (requests.RequestException, HTTPError, OSError) as error:
                # its text is not ours, nor the same each time
                raise Misconfigured(f"{self._peer} {self._why(error)}") from error

    def _body(self, response: requests.Response) -> Iterator[bytes]:
        size = 0
        for block in response.iter_content(4096):
            size += len(block)
            if size > LONGEST_ANSWER:
                self._fail(f"answers {response.status_code} with more than {LONGEST_ANSWER // 1024} KiB")
            yield block

    def _why(self, error: Exception) -> str:
        found = list(causes(error))
        if is_overdue(error):
            return f"does not come to an end of its answer within {2 * self._config.timeout:g} s"
        for one in found:
            if isinstance(one, ssl.SSLCertVerificationError):
                return f"shows a certificate that is not trusted: {one.verify_message}"
        for one in found:
            if isinstance(one, ssl.SSLError):
                return f"cannot be spoken to by TLS: {(one.reason or 'no reason').replace('_', ' ').lower()}"
        if any(isinstance(one, requests.Timeout | TimeoutError) for one in found):
            return f"does not answer within {self._config.timeout:g} s"
        if isinstance(error, requests.exceptions.ProxyError):
            return "cannot be reached through the proxy"
        if any(isinstance(one, RemoteDisconnected) for one in found):
            return "closes the connection without an answer"
        if any(isinstance(one, BadStatusLine | LineTooLong) for one in found):
            return "answers something that is no HTTP"
        for one in reversed(found):
            if isinstance(one, OSError) and one.strerror:
                return f"cannot be reached: {one.strerror}"
        if isinstance(error, requests.RequestException | HTTPError):
            return "breaks off its answer"
        return "cannot be asked: ca cannot be read" if self._config.ca else "cannot be asked"

    def _fail(self, words: str) -> NoReturn:
        raise Misconfigured(f"{self._peer} {words}")


def _named(status: int) -> str:
    """Return a status with the standard's name for it."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _seconds(value: object) -> float | None:
    """Return a lifetime; some servers write it as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), 1e9) if seconds == seconds else None
