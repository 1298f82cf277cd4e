"""What can be said about a server without storing something there: connection, TLS, authorization, requests, limits."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import Any

from karnak_core.config.quantities import format_size
from karnak_core.errors import DeliveryError, Misconfigured, Retryable
from karnak_core.outcomes import stow_refused
from karnak_plugins.stow_dest.client import Client, Reply
from karnak_plugins.stow_dest.config import StowDestination
from karnak_plugins.stow_dest.failures import while_connecting
from karnak_plugins.stow_dest.grouping import Bounds
from karnak_plugins.stow_dest.tls import handshake
from karnak_plugins.stow_dest.words import location, remarks, retry_after

#: days before the end of a certificate from which on it is worth a word
SOON = 30


def probe(client: Client, config: StowDestination, bounds: Bounds) -> str:
    """Return what was seen, in words.

    Raises
    ------
    DeliveryError
        Instances would not be taken.
    """
    said = [_connection(client, config), *_requests(client, config)]
    said.append(f"a request holds at most {bounds.count} instances and {format_size(bounds.size)}")
    if bounds.learnt:
        said[-1] += ", as the server refused larger ones"
    return "; ".join(said)


def _connection(client: Client, config: StowDestination) -> str:
    seconds = config.connect_timeout
    secure = config.url.startswith("https:")
    if client.proxy:
        return f"{client.peer} is reached through a proxy of the environment"
    try:
        if not secure:
            with socket.create_connection(client.address, seconds) as sock:
                return f"{client.peer} is connected to at {sock.getpeername()[0]}, without TLS"
        with handshake(client.address, client.tls_context(), seconds) as tls:
            return f"{client.peer} is connected to at {tls.getpeername()[0]}; {_tls(tls)}"
    except socket.gaierror as error:
        raise Retryable(f"{client.peer}: the host name is not known") from error
    except OSError as error:
        raise while_connecting(error, client.peer, seconds) from error


def _tls(tls: ssl.SSLSocket) -> str:
    certificate: dict[str, Any] = dict(tls.getpeercert() or {})
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    names += [value for kind, value in certificate.get("subjectAltName", ())]
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (until - datetime.now(UTC)).days
    soon = f", in {days} days" if days < SOON else ""
    return f"{tls.version()}, certificate of {', '.join(dict.fromkeys(names[:3]))}, valid until {until:%Y-%m-%d}{soon}"


def _requests(client: Client, config: StowDestination) -> list[str]:
    authorized = f", authorized by {config.authenticator}" if config.authenticator else ""
    reply = client.get(config.url, parameters={"limit": "1"})
    if reply.status in (200, 204):
        return [f"QIDO-RS is answered with HTTP {reply.status}{authorized}"]
    _refuse(client, reply)
    asked = reply.status
    reply = client.options()
    _refuse(client, reply)
    if reply.status == 404 and asked == 404:
        raise Misconfigured(f"{client.peer}: HTTP 404: there is nothing at the path of url")
    allowed = reply.headers.get("Allow", "")
    if allowed and "POST" not in allowed.upper():
        raise Misconfigured(f"{client.peer}: the path of url takes no POST, which STOW-RS needs")
    posts = ", which allows POST" if allowed else ", which does not say whether POST is allowed"
    return [f"QIDO-RS is answered with HTTP {asked}", f"OPTIONS with HTTP {reply.status}{posts}{authorized}"]


def _refuse(client: Client, reply: Reply) -> None:
    """Raise where an answer says that storing would be refused, too; 4xx may be because of the question."""
    if reply.status in (401, 403, 407, 429, 511) or 300 <= reply.status < 400 or reply.status in (500, 502, 503, 504):
        words = f"to {location(reply)}" if 300 <= reply.status < 400 else remarks(reply)
        error: DeliveryError = stow_refused(reply.status, words, client.peer, retry_after(reply))
        raise error
