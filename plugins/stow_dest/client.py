"""Requests to one DICOMweb server: authorization, TLS, answers of a bounded size. One client for each worker thread."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import PoolManager
from urllib3.util import Retry

from karnak_core import __version__
from karnak_core.config.tls import ClientTLS
from karnak_core.errors import DeliveryError, Misconfigured, Unreachable
from karnak_core.http_headers import resolved
from karnak_core.lookups.timed import is_overdue
from karnak_core.model import OpenContext
from karnak_core.tls import HandshakeFailed, TlsFileError, client_context, connect, is_alert
from karnak_plugins.stow_dest.body import BLOCK, MultipartBody
from karnak_plugins.stow_dest.config import StowDestination
from karnak_plugins.stow_dest.connection import watched_pools
from karnak_plugins.stow_dest.failures import ClosedUnanswered, Cut, speaks_tls

# at DEBUG it writes paths, which hold the token of a link at some servers
logging.getLogger("urllib3").setLevel(logging.ERROR)

#: bytes of an answer that are read; for a thousand instances it has about 300 kB
LONGEST_ANSWER: Final = 8 * 1024 * 1024
#: JSON is preferred: it is shorter, and read faster
ACCEPT: Final = "application/dicom+json, application/dicom+xml;q=0.9"
#: never tried again by anything but ourselves
NO_RETRY: Final = Retry(total=0, connect=0, read=0, redirect=0, status=0, other=0, raise_on_redirect=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the server answered."""

    status: int
    #: of the status line
    phrase: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: without its content coding; empty where it is too long or cannot be decoded
    body: bytes = b""


class Client:
    """A session with one server."""

    def __init__(self, config: StowDestination, context: OpenContext) -> None:
        self._config = config
        self._context = context
        parts = urlsplit(config.url)
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._host = parts.hostname or ""
        #: host and port: a path may hold a token
        self.peer = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        self._session: requests.Session | None = None
        self._made_with: ssl.SSLContext | None = None
        self._ever_answered = False

    def store(self, body: MultipartBody) -> Reply:
        """Send instances.

        Raises
        ------
        DeliveryError
            There was no answer.
        SpoolFileError
            A file of the body cannot be read.
        """
        headers = {"Content-Type": body.content_type, "Accept": ACCEPT}
        return self._ask("POST", self._config.url, headers, body)

    def get(self, url: str, *, parameters: Mapping[str, str]) -> Reply:
        """Ask by QIDO-RS."""
        return self._ask("GET", url, {"Accept": ACCEPT}, None, parameters)

    def options(self) -> Reply:
        """Ask what the server offers at the URL."""
        return self._ask("OPTIONS", self._config.url, {}, None)

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    @property
    def tls(self) -> ClientTLS | None:
        """How TLS is spoken with the server; None: not at all."""
        return (self._config.tls or ClientTLS()) if self._config.url.startswith("https:") else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        return self._host, self._port

    @property
    def proxy(self) -> str:
        """Address of the HTTP proxy that the environment names for the server; empty: none, as for this machine."""
        if self._host == "localhost" or _is_loopback(self._host):
            return ""
        found = requests.utils.get_environ_proxies(self._config.url, no_proxy=None)
        return str(requests.utils.select_proxy(self._config.url, found) or "")

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] | None,
        parameters: Mapping[str, str] | None = None,
    ) -> Reply:
        name = self._config.authenticator
        authorization = self._authorization(refresh=False)
        reply = self._ask_once(method, url, {**headers, **authorization}, body, parameters)
        if reply.status == 401 and name:
            # expired, most likely: the same again with another, from the body's start
            authorization = self._authorization(refresh=True)
            reply = self._ask_once(method, url, {**headers, **authorization}, body, parameters)
        return reply

    def _authorization(self, *, refresh: bool) -> Mapping[str, str]:
        name = self._config.authenticator
        if not name:
            return {}
        if name not in self._context.authenticators:
            raise Misconfigured(f"authenticator {name} does not exist")
        return self._context.authenticators[name].headers(refresh=refresh)

    def _ask_once(self, *request: Any) -> Reply:
        try:
            try:
                return self._exchange(*request)
            except Cut as error:
                if not error.stale or self._config.verify:
                    raise
                # most likely the server closed an idle connection just when it was used again
                self.close()
                return self._exchange(*request)
        except ClosedUnanswered as error:
            self.close()
            if not self._ever_answered and self._config.url.startswith("http:") and self._answers_tls():
                raise speaks_tls(self.peer) from error
            raise
        except DeliveryError:
            self.close()
            raise

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] | None,
        parameters: Mapping[str, str] | None,
    ) -> Reply:
        config = self._config
        try:
            with self._opened().request(
                method,
                url,
                headers=dict(headers),
                data=body,
                params=parameters,
                timeout=(config.connect_timeout, config.timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                self._ever_answered = True
                return self._read(response)
        except (requests.exceptions.InvalidHeader, UnicodeError) as error:
            # its words hold the value, which may be a secret
            raise Misconfigured("a header of the request has characters that no header can have") from error
        except requests.RequestException as error:
            raise Unreachable(f"{self.peer}: the request failed ({type(error).__name__})") from error

    def _read(self, response: requests.Response) -> Reply:
        body = bytearray()
        try:
            for block in response.iter_content(BLOCK):
                body += block
                if len(body) > LONGEST_ANSWER:
                    body.clear()
                    break
        except requests.exceptions.ContentDecodingError:
            body.clear()
        except (requests.RequestException, OSError) as error:
            if response.status_code < 300 or response.status_code == 409:
                what = "the connection broke in the middle of the answer"
                if is_overdue(error):
                    what = f"the answer does not come to an end within {2 * self._config.timeout:g} s"
                raise Cut(f"{self.peer}: {what}") from error
            body.clear()
        return Reply(
            status=response.status_code,
            phrase=response.reason or "",
            headers=CaseInsensitiveDict(response.headers),
            body=bytes(body),
        )

    def _opened(self) -> requests.Session:
        context = self._tls_context()
        if self._session is not None and context is not self._made_with:
            # certificates were replaced
            self.close()
        if self._session is None:
            self._session = self._open(context)
            self._made_with = context
        return self._session

    def _tls_context(self) -> ssl.SSLContext | None:
        if self.tls is None:
            return None
        try:
            return client_context(self.tls).get()
        except TlsFileError as error:
            raise Misconfigured(f"tls: {error}") from error

    def _open(self, context: ssl.SSLContext | None) -> requests.Session:
        config = self._config
        session = _Session()
        # of the environment only the proxy: a .netrc would replace our Authorization, a CA bundle ours
        session.trust_env = False
        proxy = self.proxy
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        session.headers.clear()
        session.headers.update({"User-Agent": f"karnak/{__version__}", "Accept-Encoding": "gzip"})
        for name, value in resolved(config.headers, self._context.reveal):
            # several of one name are one list (RFC 9110 section 5.3)
            there = str(session.headers.get(name, ""))
            session.headers[name] = f"{there}, {value}" if there and name.lower() != "user-agent" else value
        peer = f"{self.peer} (through a proxy)" if proxy else self.peer
        adapter = _Adapter(peer, config.timeout, context)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _answers_tls(self) -> bool:
        """Say whether there is TLS where plain HTTP got no answer."""
        try:
            connect(*self.address, self._config.connect_timeout, ClientTLS()).close()
        except HandshakeFailed as error:
            # that it is none of whom the system trusts is an answer, too
            return isinstance(error.__cause__, ssl.SSLCertVerificationError) or is_alert(error.__cause__)
        except (OSError, TlsFileError):
            return False
        return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Session(requests.Session):
    """A session for which a redirect is an answer like any other."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Not look where it leads: it may be no URL at all."""


class _Adapter(HTTPAdapter):
    """Connects by watched connections and with a TLS context of our own, certifi's authorities left out."""

    def __init__(self, peer: str, patience: float, context: ssl.SSLContext | None) -> None:
        self._pools = watched_pools(peer, patience)
        self._tls: dict[str, Any] = {}
        if context is not None:
            self._tls = {"ssl_context": context, "cert_reqs": "CERT_REQUIRED"}
            if not context.check_hostname:
                self._tls["assert_hostname"] = False
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=NO_RETRY)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_options: Any) -> None:
        """Make the pool of connections."""
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, **self._tls)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the same for connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options, **self._tls)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Name the pool by host only: TLS is the same for all."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection's TLS as it is."""
