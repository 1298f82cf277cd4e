"""What does a DICOMweb service offer? Its connection, its certificate, its answers, and its services (PS3.18)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from karnak_core.errors import DeliveryError
from karnak_core.lookups.web import Reply, Web
from karnak_core.model import Authenticator
from karnak_core.tls import ClientSettings, TlsFileError, WatchedContext, client_context, in_words
from karnak_core.tls.policy import new_context
from karnak_core.tools.network import Unresolved, resolve
from karnak_core.tools.nodes import Service, is_web_address

#: seconds until a connection stands, and for each answer; no further request after ALL of them
CONNECT, ANSWER, ALL = 3.0, 5.0, 30.0
#: a UID that nothing has: a random one of the arc of PS3.5 section B.2
_NOTHING: Final = "2.25.329800735698586629295641978511506172918"
_JSON: Final = {"Accept": "application/dicom+json"}
_MULTIPART: Final = {"Accept": 'multipart/related; type="application/dicom"'}
SUPPORTED_STATUSES: Final = frozenset({200, 204, 206, 400, 404, 406})
NOT_SUPPORTED_STATUSES: Final = frozenset({405, 501})


class Support(StrEnum):
    """Whether a service is offered."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    #: nobody knows: the answer is about something else, such as who asks
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was seen of one service."""

    service: Service
    support: Support
    #: what says so, e.g. ``HTTP 200``; empty: nothing does
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.service.label}: {self.support}" + (f" — {self.detail}" if self.detail else "")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What the server's certificate says."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    #: True: by an authority that is trusted here, for this host, and now
    trusted: bool
    #: why it is not; empty: it is
    trouble: str
    #: protocol and cipher suite
    session: str

    def expired(self, now: datetime) -> bool:
        """Say whether it is not valid any more, or not yet."""
        return not self.not_before <= now <= self.not_after


@dataclass(frozen=True, kw_only=True)
class WebCheck:
    """What was seen of a DICOMweb service."""

    url: str
    #: False: the address is none; ``message`` says so
    valid: bool = True
    #: in one line, what is wrong, or that nothing is
    message: str
    connected: bool = False
    connect_ms: float | None = None
    certificate: Certificate | None = None
    #: True: it is valid now; None: there is none
    certificate_valid: bool | None = None
    #: the answer to OPTIONS; None: there was none
    status: int | None = None
    allow: str = ""
    server: str = ""
    #: headers that authorize were made; None: none are configured
    token_acquired: bool | None = None
    token_error: str = ""
    #: True: requests were authorized; False where the certificate is not trusted, too
    authorized: bool = False
    probes: tuple[Probe, ...] = ()

    @property
    def ok(self) -> bool:
        """Say whether it can be reached: connected, answered, the certificate valid, and the token got, where any."""
        reached = self.valid and self.connected and self.status is not None
        return reached and self.certificate_valid is not False and self.token_acquired is not False


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """Headers that authorize requests, or why there are none."""

    headers: Mapping[str, str]
    error: str = ""

    @property
    def acquired(self) -> bool:
        """Say whether there are any."""
        return not self.error


def authorization(name: str, authenticators: Mapping[str, Authenticator]) -> Authorization:
    """Ask the authenticator of this name for its headers."""
    if name not in authenticators:
        return Authorization(headers={}, error=f"authenticator {name!r} is not defined")
    try:
        return Authorization(headers=dict(authenticators[name].headers()))
    except DeliveryError as error:
        return Authorization(headers={}, error=error.reason)


def check_web(
    url: str,
    *,
    authorize: Authorization | None = None,
    tls: ClientSettings | None = None,
) -> WebCheck:
    """Connect, look at the certificate, and ask. Nothing is stored, and no redirect is followed.

    A certificate that is not trusted is looked at all the same; but nobody who shows one gets what authorizes us.

    Parameters
    ----------
    authorize
        What authorizes requests; None: nothing does.
    tls
        Who is trusted; None: whom the system trusts.
    """
    if not is_web_address(url):
        return WebCheck(
            url=url, valid=False, message="unexpected error: the URL is not http:// or https:// with a host"
        )
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    token = {} if authorize is None else {"token_acquired": authorize.acquired, "token_error": authorize.error}
    try:
        context = client_context(tls).get() if tls else _trusting_system()
        address = resolve(host, port)[0]
        took, certificate = _connected(address, host, port, context if parts.scheme == "https" else None)
    except (Unresolved, TlsFileError, ssl.SSLError, OSError, ValueError) as error:
        return WebCheck(url=url, message=f"{host}:{port}: {_words(error)}", **token)  # type: ignore[arg-type]
    trusted = certificate is None or certificate.trusted
    authorized = bool(authorize and authorize.headers) and trusted
    headers = dict(authorize.headers) if authorize and authorized else {}
    asking = _Asking(url, headers, context if trusted else _anybody())
    try:
        options = asking.ask("OPTIONS", "/studies", {})
        probes = _probes(asking, options)
    finally:
        asking.close()
    valid = None if certificate is None else not certificate.expired(datetime.now(UTC))
    return WebCheck(
        url=url,
        message=_summary(host, port, options, certificate, valid, asking.trouble),
        connected=True,
        connect_ms=took,
        certificate=certificate,
        certificate_valid=valid,
        status=options.status if options else None,
        allow=options.headers.get("Allow", "")[:255] if options else "",
        server=options.headers.get("Server", "")[:255] if options else "",
        authorized=authorized,
        probes=tuple(probes),
        **token,  # type: ignore[arg-type]
    )


def classify(status: int) -> Support:
    """Return what the status of an answer says about the service that was asked for."""
    if status in SUPPORTED_STATUSES:
        return Support.SUPPORTED
    return Support.NOT_SUPPORTED if status in NOT_SUPPORTED_STATUSES else Support.INCONCLUSIVE


class _Asking:
    """The requests of one check."""

    def __init__(self, url: str, headers: Mapping[str, str], context: ssl.SSLContext) -> None:
        self._root = url.rstrip("/").removesuffix("/studies")
        self._headers = headers
        self._web = Web(timeout=ANSWER, tls=WatchedContext(lambda: context, None, ()))
        self._deadline = time.monotonic() + ALL
        #: why the last request had no answer
        self.trouble = ""

    def ask(self, method: str, path: str, accept: Mapping[str, str]) -> Reply | None:
        """Send a request; return the answer, or None."""
        if time.monotonic() > self._deadline:
            self.trouble = f"not all was asked within {ALL:g} s"
            return None
        try:
            return self._web.ask(method, self._root + path, {**accept, **self._headers}, None, self._root)
        except DeliveryError as error:
            self.trouble = error.reason
            return None

    def close(self) -> None:
        """Close the connections."""
        self._web.close()


def _probes(asking: _Asking, options: Reply | None) -> list[Probe]:
    if options is None:
        return [Probe(service=service, support=Support.INCONCLUSIVE, detail="no answer") for service in Service]
    asked = {
        Service.QIDO_RS: ("GET", "/studies?limit=1", _JSON),
        Service.WADO_RS: ("GET", f"/studies/{_NOTHING}/series/{_NOTHING}/instances/{_NOTHING}", _MULTIPART),
        Service.WADO_URI: (
            "GET",
            f"/?requestType=WADO&studyUID={_NOTHING}&seriesUID={_NOTHING}&objectUID={_NOTHING}",
            {"Accept": "application/dicom"},
        ),
        Service.UPS_RS: ("GET", "/workitems?limit=1", _JSON),
        Service.CAPABILITIES: ("OPTIONS", "/", {"Accept": "application/vnd.sun.wadl+xml"}),
    }
    probes = [_stow(options)]
    for service, (method, path, accept) in asked.items():
        reply = asking.ask(method, path, accept)
        if reply is None:
            probes.append(Probe(service=service, support=Support.INCONCLUSIVE, detail="no answer"))
        else:
            probes.append(Probe(service=service, support=classify(reply.status), detail=f"HTTP {reply.status}"))
    return probes


def _stow(options: Reply) -> Probe:
    """Say by the header Allow whether instances can be stored: nothing is stored to find out."""
    allow = options.headers.get("Allow", "")
    if not allow:
        detail = f"HTTP {options.status} without the header Allow"
        return Probe(service=Service.STOW_RS, support=Support.INCONCLUSIVE, detail=detail)
    methods = {method.strip().upper() for method in allow.split(",")}
    support = Support.SUPPORTED if "POST" in methods else Support.NOT_SUPPORTED
    return Probe(service=Service.STOW_RS, support=support, detail=f"Allow: {allow[:100]}")


def _summary(
    host: str, port: int, options: Reply | None, certificate: Certificate | None, valid: bool | None, trouble: str
) -> str:
    if options is None:
        return trouble or f"{host}:{port} does not answer"
    said = f"{host}:{port} answers with HTTP {options.status}"
    if valid is False:
        return f"{said}; its certificate is not valid now"
    if certificate is not None and not certificate.trusted:
        return f"{said}; {certificate.trouble}"
    return said


def _connected(address: str, host: str, port: int, context: ssl.SSLContext | None) -> tuple[float, Certificate | None]:
    """Connect; return the milliseconds until the connection stood, and the certificate of a server with TLS."""
    started = time.monotonic()
    with socket.create_connection((address, port), CONNECT) as sock:
        took = (time.monotonic() - started) * 1000
        if context is None:
            return took, None
        sock.settimeout(ANSWER)
        try:
            with context.wrap_socket(sock, server_hostname=host) as secured:
                return took, _certificate(secured, "")
        except ssl.SSLCertVerificationError as error:
            trouble = in_words(error)
    with socket.create_connection((address, port), CONNECT) as sock:
        sock.settimeout(ANSWER)
        with _anybody().wrap_socket(sock, server_hostname=host) as secured:
            return took, _certificate(secured, trouble)


def _certificate(secured: ssl.SSLSocket, trouble: str) -> Certificate:
    encoded = secured.getpeercert(binary_form=True) or b""
    found = x509.load_der_x509_certificate(encoded)
    cipher = secured.cipher()
    return Certificate(
        subject=found.subject.rfc4514_string()[:255],
        issuer=found.issuer.rfc4514_string()[:255],
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        names=_names(found),
        trusted=not trouble,
        trouble=trouble,
        session=", ".join(part for part in (secured.version(), cipher[0] if cipher else "") if part),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(getattr(name, "value", ""))[:255] for name in list(found)[:20])


def _trusting_system() -> ssl.SSLContext:
    context = new_context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _anybody() -> ssl.SSLContext:
    """Return a context that takes every certificate: to look at one, never to show what authorizes us."""
    context = new_context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | Unresolved):
        return (error.strerror or type(error).__name__).lower()
    return in_words(error) if isinstance(error, ssl.SSLError) else str(error)
