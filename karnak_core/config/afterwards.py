"""What happens after instances were sent: follow-ups, and notifications about studies."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

from pydantic import Field

from karnak_core.config.names import NameOrBlank
from karnak_core.config.parts import Part
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Secret

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
        for key in type(self.options).model_fields:
            if isinstance(getattr(self.options, key), Secret):
                # sealed anew it would look like another one
                written.pop(key, None)
        text = json.dumps(written, sort_keys=True)
        return f"{self.type[:60]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


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
