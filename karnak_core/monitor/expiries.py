"""What expires: certificates that the gateway shows to peers, and tokens that it sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from karnak_core.config.models import Configuration
from karnak_core.config.tls import ClientTLS
from karnak_core.model import Authenticator
from karnak_core.tls.errors import TlsFileError
from karnak_core.tls.files import expires_at


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """When something stops working."""

    #: certificate or token
    kind: str
    #: what uses it: ``listener``, ``NODE/DESTINATION``, or the name of an authenticator
    of: str
    #: ms since 1970; None: that cannot be seen
    at: int | None
    #: why it cannot; empty: it can
    problem: str = ""


def certificates(configuration: Configuration) -> Iterator[Expiry]:
    """Yield the certificates that are shown to peers, as their files are now."""
    if configuration.listener.tls is not None:
        yield _certificate("listener", configuration.listener.tls.certificate)
    for node in configuration.forward_nodes:
        for destination in node.destinations:
            tls = getattr(destination.options, "tls", None)
            if isinstance(tls, ClientTLS) and tls.certificate:
                yield _certificate(f"{node.ae_title}/{destination.name}", tls.certificate)


def tokens(authenticators: Mapping[str, Authenticator]) -> Iterator[Expiry]:
    """Yield the tokens that do not renew themselves, of the authenticators that know when theirs expires."""
    for name in authenticators:
        try:
            ask = getattr(authenticators[name], "expires_at", None)
            at = ask() if ask is not None else None
        except Exception as error:
            # whatever it is: what is wrong with an authenticator is told where it is used
            yield Expiry(kind="token", of=name, at=None, problem=type(error).__name__)
            continue
        if at is not None:
            yield Expiry(kind="token", of=name, at=at)


def of_follow_ups(known: Iterable[tuple[tuple[str, str, str], str, float]]) -> Iterator[Expiry]:
    """Yield what follow-ups know of their tokens: whose, what, and seconds since 1970."""
    for (node, destination, part), name, at in known:
        yield Expiry(kind="token", of=f"{node}/{destination} {part}: {name}", at=int(at * 1000))


def _certificate(of: str, path: str) -> Expiry:
    try:
        end: datetime = expires_at(path)
    except TlsFileError as error:
        return Expiry(kind="certificate", of=of, at=None, problem=str(error))
    return Expiry(kind="certificate", of=of, at=int(end.astimezone(UTC).timestamp() * 1000))
