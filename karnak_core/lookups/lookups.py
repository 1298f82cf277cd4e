"""Ask a web service, with authorization; what it answered is used again for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from karnak_core.config.tls import ClientTLS
from karnak_core.deidentify import Lookup
from karnak_core.errors import Misconfigured, Permanent
from karnak_core.lookups.answers import Answers
from karnak_core.lookups.statuses import has_answer, refused
from karnak_core.lookups.web import Reply, Web
from karnak_core.model import Authenticator
from karnak_core.tls import client_context

#: seconds until the connection stands, and again until the answer begins
TIMEOUT: Final = 10.0
#: seconds that an answer is used again, as the Java Karnak does
KEEP_SECONDS: Final = 900.0
#: characters of an address
LONGEST_URL: Final = 8192


class Lookups:
    """Asks web services. For any number of threads; a request that several make at once is sent once.

    Parameters
    ----------
    authenticators
        Those of the configuration, by name.
    what
        What to call the service in reasons; its host and port follow.
    """

    def __init__(
        self,
        authenticators: Mapping[str, Authenticator],
        *,
        what: str = "API",
        timeout: float = TIMEOUT,
        keep_seconds: float = KEEP_SECONDS,
        tls: ClientTLS | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticators = authenticators
        self._what = what
        self._web = Web(timeout=timeout, tls=client_context(tls or ClientTLS()))
        self._answers = Answers(keep_seconds, clock)

    def fetch(self, lookup: Lookup) -> str:
        """Return the text of the service's answer.

        Raises
        ------
        Absent
            It knows nothing about what was asked for.
        DeliveryError
            There is no answer. Names the host, and no more of the address: it may hold a Patient ID.
        """
        return self._answers.get(lookup, lambda: self._ask(lookup))

    def doubt(self, lookup: Lookup) -> None:
        """Ask again soon: what was looked for is not in the answer."""
        self._answers.doubt(lookup)

    def close(self) -> None:
        """Close connections and forget the answers; may be used again."""
        self._web.close()
        self._answers.clear()

    def _ask(self, lookup: Lookup) -> str:
        peer = f"{self._what} {_host(lookup.url)}"
        reply = self._ask_once(lookup, peer, refresh=False)
        if reply.status == 401 and lookup.authenticator is not None:
            # expired, most likely
            reply = self._ask_once(lookup, peer, refresh=True)
        if not has_answer(reply.status):
            raise refused(reply.status, reply.headers, peer)
        try:
            return reply.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            # its words hold what was answered
            problem = f"{peer} answers something that is not UTF-8 text"
        raise Permanent(problem)

    def _ask_once(self, lookup: Lookup, peer: str, *, refresh: bool) -> Reply:
        headers = dict(self._authorization(lookup.authenticator, refresh=refresh))
        body = None
        if lookup.body is not None:
            headers["Content-Type"] = "application/json"
            try:
                body = lookup.body.encode()
            except UnicodeEncodeError:
                raise Permanent("the body to send has something in it that is no character") from None
        return self._web.ask(lookup.method, lookup.url, headers, body, peer)

    def _authorization(self, name: str | None, *, refresh: bool) -> Mapping[str, str]:
        if name is None:
            return {}
        try:
            authenticator = self._authenticators[name]
        except KeyError:
            raise Misconfigured(f"authenticator {name!r} does not exist") from None
        return authenticator.headers(refresh=refresh)


def _host(url: str) -> str:
    """Return host and port of an address that can be asked.

    Raises
    ------
    Permanent
        It cannot; a value that was inserted may be why.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise Permanent("the URL to ask is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or len(url) > LONGEST_URL:
        raise Permanent("the URL to ask does not begin with http:// or https:// and a host name, or is too long")
    # they would be resolved, and something else asked for
    if any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):
        raise Permanent("the URL to ask has '.' or '..' as a part of its path")
    return f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"
