"""An album of Kheops that series are shared with, once each, after something of them was sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from pydicom import Dataset

from karnak_core.config.tls import ClientTLS
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from karnak_core.expressions import Condition, ExpressionError
from karnak_core.lookups.statuses import retry_after
from karnak_core.lookups.web import Reply, Web
from karnak_core.model import OpenContext, Outgoing
from karnak_core.tls import client_context
from karnak_plugins.kheops_switch.config import KheopsAlbum
from karnak_plugins.kheops_switch.tokens import Kheops, Token

#: what can be a part of a path (DICOM PS3.5 section 9.1)
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")


class Album:
    """Shares series with one album; for all threads of the process at once."""

    def __init__(self, config: KheopsAlbum, context: OpenContext) -> None:
        parts = urlsplit(config.api_url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        # a path may hold a token
        peer = f"Kheops at [{host}]:{port}" if ":" in host else f"Kheops at {host}:{port}"
        web = Web(timeout=config.timeout, tls=client_context(config.tls or ClientTLS()))
        self._kheops = Kheops(web, config.api_url, peer)
        reveal = context.reveal
        self._destination = Token(
            "destination token", ("write",), lambda: reveal(config.destination_token), self._kheops
        )
        self._source = Token("source token", ("read", "send"), lambda: reveal(config.source_token), self._kheops)
        self._condition = Condition.parse(config.condition) if config.condition.strip() else None

    def subject(self, outgoing: Outgoing, original: Callable[[], Dataset]) -> str | None:
        """Return the series as it was sent; None: the condition does not hold for this instance."""
        series = f"{_uid(outgoing.study_instance_uid)}/{_uid(outgoing.series_instance_uid)}"
        if self._condition is not None and not self._condition_holds(self._condition, original()):
            # although another instance may have met it: what is stored has to be for one that does
            return None
        return series

    def after_send(self, outgoing: Outgoing, original: Dataset) -> str | None:
        """Share the series; see :class:`karnak_core.model.FollowUp`."""
        study, series = _uid(outgoing.study_instance_uid), _uid(outgoing.series_instance_uid)
        # the condition may be another one by now, or could not be decided before; another instance may meet it yet
        if self._condition is not None and not self._condition_holds(self._condition, original):
            return None
        source, destination = self._source.checked(), self._destination.checked()
        reply = self._kheops.ask(
            "PUT",
            f"/studies/{study}/series/{series}",
            {"Authorization": f"Bearer {destination.token}", "X-Authorization-Source": f"Bearer {source.token}"},
        )
        if not 200 <= reply.status <= 299:
            raise self._refused(reply)
        return f"shared with the album by {self._kheops.peer}"

    def probe(self) -> str:
        """Ask Kheops about both tokens."""
        known = {token.name: token.checked(anew=True) for token in (self._source, self._destination)}
        words = (f"the {name} is valid ({one.in_words()})" for name, one in known.items())
        return f"{self._kheops.peer} answers; {', '.join(words)}"

    def expiries(self) -> Mapping[str, int | None]:
        """Return when what this authorizes itself with expires: what it is, and ms since 1970; without asking."""
        known = [token for token in (self._source, self._destination) if token.known]
        return {token.name: None if token.expires is None else int(token.expires * 1000) for token in known}

    def close(self) -> None:
        """Close the connections."""
        self._kheops.close()

    def _refused(self, reply: Reply) -> DeliveryError:
        peer = self._kheops.peer
        if reply.status == 404:
            return Retryable(f"{peer} does not know the series yet: HTTP 404", retry_after(reply.headers))
        if reply.status == 409:
            return Retryable(f"{peer} has a conflict about the series: HTTP 409", retry_after(reply.headers))
        if reply.status in (401, 403):
            # one may have been revoked since it was asked about
            for token in (self._source, self._destination):
                token.checked(anew=True)
            words = "both tokens are valid; may the source token read the series?"
            return Misconfigured(f"{peer} does not share the series: HTTP {reply.status}; {words}")
        return self._kheops.refused(reply)

    def _condition_holds(self, condition: Condition, original: Dataset) -> bool:
        try:
            return condition.holds(original)
        except ExpressionError as error:
            raise Permanent(f"the condition cannot be decided: {error}") from error


def _uid(text: str) -> str:
    if not _UID.fullmatch(text) or len(text) > 64:
        raise Permanent("the series cannot be shared: its UID, or that of its study, is none (DICOM PS3.5 section 9.1)")
    return text
