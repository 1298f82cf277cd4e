"""What can be said about a server without storing something there: connection, TLS, authorization, requests, limits."""

from __future__ import annotations

import socket

from karnak_core.config.quantities import format_size
from karnak_core.errors import Misconfigured, Unreachable
from karnak_core.outcomes import stow_refused
from karnak_core.tls import HandshakeFailed, TlsFileError, connect, describe_peer
from karnak_plugins.stow_dest.client import Client, Reply
from karnak_plugins.stow_dest.config import StowDestination
from karnak_plugins.stow_dest.failures import tls_trouble
from karnak_plugins.stow_dest.grouping import Bounds
from karnak_plugins.stow_dest.words import location, remarks, retry_after


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
    if client.proxy:
        return f"{client.peer} is reached through a proxy of the environment"
    seconds = config.connect_timeout
    try:
        if client.tls is None:
            with socket.create_connection(client.address, seconds) as sock:
                return f"{client.peer} is connected to at {sock.getpeername()[0]}, without TLS"
        with connect(*client.address, seconds, client.tls) as secured:
            return f"{client.peer} is connected to at {secured.getpeername()[0]}; {describe_peer(secured)}"
    except TlsFileError as error:
        raise Misconfigured(f"tls: {error}") from error
    except HandshakeFailed as error:
        raise tls_trouble(error, client.peer) from error
    except socket.gaierror as error:
        raise Unreachable(f"{client.peer}: the host name is not known") from error
    except OSError as error:
        words = error.strerror or "not in time"
        raise Unreachable(f"{client.peer}: no connection: {words}") from error


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
        raise stow_refused(reply.status, words, client.peer, retry_after(reply))
