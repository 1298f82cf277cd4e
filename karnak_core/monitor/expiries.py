"""What expires: certificates that the gateway shows to peers, and tokens that it sends."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from karnak_core.config.afterwards import by_key
from karnak_core.config.models import Configuration
from karnak_core.config.tls import ClientTLS
from karnak_core.model import Authenticator
from karnak_core.spool import expiring
from karnak_core.tls.errors import TlsFileError
from karnak_core.tls.files import expires_at

logger = logging.getLogger(__name__)

#: ms since 1970: the end of the year 9999
LAST = 253_402_300_799_999


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """When something stops working."""

    #: certificate or token
    kind: str
    #: what uses it: ``listener``, ``NODE/DESTINATION``, the name of an authenticator, or
    #: ``NODE/DESTINATION FOLLOW-UP: WHAT``
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


def of_follow_ups(connection: sa.Connection, configuration: Configuration) -> Iterator[Expiry]:
    """Yield the tokens of follow-ups, as far as anybody has been told by now when they expire."""
    secrets = {
        (node.ae_title, destination.name, key): part.secrets_digest
        for node in configuration.forward_nodes
        for destination in node.destinations
        for key, part in by_key(destination.follow_ups).items()
    }
    for known in expiring.read(connection):
        # of one that was replaced it is of no interest any more
        if secrets.get(known.of) == known.secrets:
            node, destination, part = known.of
            yield Expiry(kind="token", of=f"{node}/{destination} {part}: {known.name}", at=known.at)


def said_by(part: object) -> Mapping[str, int | None]:
    """Return what an open follow-up says of what it authorizes itself with: what, and ms since 1970.

    None: it has none, or the peer did not say. Nothing, where it does not offer it, does not know yet, or fails.
    """
    ask = getattr(part, "expiries", None)
    if ask is None:
        return {}
    try:
        return {str(name): at if at is None else max(0, min(int(at), LAST)) for name, at in ask().items()}
    except Exception:
        # whatever it is: what it does after deliveries is done all the same
        logger.exception("a follow-up cannot say when its tokens expire")
        return {}


def _certificate(of: str, path: str) -> Expiry:
    try:
        end: datetime = expires_at(path)
    except TlsFileError as error:
        return Expiry(kind="certificate", of=of, at=None, problem=str(error))
    return Expiry(kind="certificate", of=of, at=int(end.astimezone(UTC).timestamp() * 1000))
