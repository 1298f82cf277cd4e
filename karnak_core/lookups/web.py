"""One request to a web service and its answer, of a bounded size and time. For any number of threads."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from karnak_core import __version__
from karnak_core.errors import Misconfigured, Permanent
from karnak_core.lookups.failures import is_closed, no_answer
from karnak_core.lookups.timed import TimedAdapter
from karnak_core.tls import TlsFileError, WatchedContext

# at DEBUG it writes paths, which hold Patient IDs
logging.getLogger("urllib3").setLevel(logging.ERROR)

#: bytes of an answer
LONGEST_ANSWER: Final = 1 << 20
BLOCK: Final = 16 * 1024
#: connections that are kept open for each service
KEPT_CONNECTIONS: Final = 32
#: never tried again by anything but ourselves
NO_RETRY: Final = Retry(total=0, connect=0, read=0, redirect=0, status=0, other=0, raise_on_redirect=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """Sends requests.

    Parameters
    ----------
    timeout
        Seconds until the connection stands, and again for each part of the answer; twice as long for all of it.
    """

    def __init__(self, *, timeout: float, tls: WatchedContext) -> None:
        self._timeout = timeout
        self._tls = tls
        self._lock = threading.Lock()
        self._session: requests.Session | None = None
        self._made_with: ssl.SSLContext | None = None

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, peer: str) -> Reply:
        """Send a request.

        Parameters
        ----------
        peer
            How to name the service; its address may hold a Patient ID.

        Raises
        ------
        DeliveryError
            There is no answer, or it is too long.
        """
        session = self._opened()
        try:
            try:
                return self._exchange(session, method, url, headers, body, peer)
            except requests.ConnectionError as error:
                if not is_closed(error):
                    raise
                # most likely an idle connection was closed just when it was used again
                return self._exchange(session, method, url, headers, body, peer)
        except (requests.exceptions.InvalidHeader, UnicodeError) as error:
            # its words hold the value, which may be a secret
            raise Misconfigured(f"{peer}: a header of the request has characters that no header can have") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise Permanent(f"{peer}: the URL of the request is no URL") from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise no_answer(error, peer, self._timeout) from error

    def close(self) -> None:
        """Close the connections; the next request opens them again."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _exchange(
        self,
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        peer: str,
    ) -> Reply:
        with session.request(
            method,
            url,
            headers=dict(headers),
            data=body,
            timeout=self._timeout,
            proxies=_proxies(url),
            allow_redirects=False,
            stream=True,
        ) as response:
            content = bytearray()
            for block in response.iter_content(BLOCK):
                content += block
                if len(content) > LONGEST_ANSWER:
                    raise Permanent(f"{peer} answers with more than {LONGEST_ANSWER // 1024} KiB")
            return Reply(
                status=response.status_code, headers=CaseInsensitiveDict(response.headers), body=bytes(content)
            )

    def _opened(self) -> requests.Session:
        try:
            context = self._tls.get()
        except TlsFileError as error:
            raise Misconfigured(f"tls: {error}") from error
        with self._lock:
            if self._session is None or context is not self._made_with:
                # one whose certificates were replaced ends with its last request
                self._session = _session(context, 2 * self._timeout)
                self._made_with = context
            return self._session


def _proxies(url: str) -> dict[str, str]:
    """Return the proxies that the environment names for an address; none for this machine."""
    host = urlsplit(url).hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    return {} if here else dict(requests.utils.get_environ_proxies(url, no_proxy=None))


def _session(context: ssl.SSLContext, seconds: float) -> requests.Session:
    session = _Session()
    # of the environment only the proxy: a .netrc would replace our Authorization, a CA bundle ours
    session.trust_env = False
    # nothing of one answer may be seen in the next request
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update({"User-Agent": f"karnak/{__version__}", "Accept": "application/json"})
    adapter = _Adapter(context, seconds)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class _Session(requests.Session):
    """A session for which a redirect is an answer like any other."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Not look where it leads: it may be no URL at all."""


class _Adapter(TimedAdapter):
    """Connects with a TLS context of our own, certifi's authorities left out."""

    def __init__(self, context: ssl.SSLContext, seconds: float) -> None:
        self._tls: dict[str, Any] = {"ssl_context": context, "cert_reqs": context.verify_mode}
        if not context.check_hostname:
            self._tls["assert_hostname"] = False
        super().__init__(seconds, pool_maxsize=KEPT_CONNECTIONS, max_retries=NO_RETRY)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(connections, maxsize, block, **options, **self._tls)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the same for connections through a proxy."""
        return super().proxy_manager_for(proxy, **options, **self._tls)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Name the pool by host only: TLS is the same for all."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection's TLS as it is."""
