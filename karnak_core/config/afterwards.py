"""What happens after instances were sent: follow-ups, and notifications about studies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import ClassVar, TypeVar

from pydantic import Field

from karnak_core.config.names import NameOrBlank
from karnak_core.config.parts import Part
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Origin, Secret

DAY = 86400.0


class Afterwards(Part):
    """A part that the ledger remembers what it has done."""

    name: NameOrBlank = Field(
        default="", description="what to call it, unique in the destination; blank: told by its keys"
    )

    @property
    def key(self) -> str:
        """What the ledger knows it by, at most 80 characters: its name, or its type and a digest of its keys."""
        if self.name:
            return self.name
        written = self.options.model_dump(mode="json", fallback=str)
        for key, secret in self._secrets().items():
            if secret.origin in (Origin.ENV, Origin.FILE):
                written[key] = [str(secret.origin), secret.where]
            else:
                # sealed anew, or renewed, it would look like another one
                written.pop(key, None)
        return f"{self.type[:60]}-{_digest(written, 12)}"

    @property
    def secrets_digest(self) -> str:
        """Six digits that tell it from one that differs in its secrets only."""
        return _digest({key: (str(secret.origin), secret.where) for key, secret in self._secrets().items()}, 6)

    def _secrets(self) -> dict[str, Secret]:
        fields = {key: getattr(self.options, key) for key in type(self.options).model_fields}
        return {key: value for key, value in fields.items() if isinstance(value, Secret)}


P = TypeVar("P", bound=Afterwards)


def by_key(parts: Iterable[P]) -> dict[str, P]:
    """Return parts of one destination by what the ledger knows them by; of those alike, all but the first by more."""
    found: dict[str, P] = {}
    for part in parts:
        key = part.key if part.key not in found else f"{part.key}{part.secrets_digest}"
        found.setdefault(key, part)
    return found


def _digest(value: object, digits: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]


class FollowUp(Afterwards):
    """Something to be done after instances were sent."""

    KINDS: ClassVar[str] = "follow_ups"


class Notification(Afterwards):
    """Who is told what became of a study, and how."""

    KINDS: ClassVar[str] = "notifiers"

    interval: Duration = Field(
        default=45.0, ge=1, le=86400, description="a study is told about when nothing came for so long"
    )
    retry_for: Duration = Field(
        default=7 * DAY, ge=0, le=365 * DAY, description="how long it is tried again before it is failed"
    )
    retry_first: Duration = Field(default=30.0, ge=0.1, le=DAY, description="longest wait before the first retry")
    retry_longest: Duration = Field(default=900.0, ge=1, le=7 * DAY, description="longest wait between two retries")
