"""The exceptions of Karnak.

KarnakError
├── ConfigurationError   what was written is wrong: all problems at once
├── PluginError          a plugin cannot be used
├── StorageFull          below the reserve, or the disk is full: nothing was kept
├── NotFound             what was asked for does not exist
├── Conflict             somebody else has changed it meanwhile
└── DeliveryError        why a delivery did not end as sent
    ├── Retryable        later, by itself
    │   └── Unreachable  the peer could not be reached, or the connection broke: counts for the breaker
    ├── Permanent        this instance will not be accepted as it is
    │   └── NoPseudonym  its patient has no pseudonym yet: failed, and tried again when one is stored
    ├── Misconfigured    no instance will be accepted until somebody changes something: holds the destination
    └── Excluded         a rule says that the instance does not go there

Messages say where, what is wrong with the value, and what is allowed; they never hold a value from a data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class KarnakError(Exception):
    """Something in Karnak went wrong."""


class PluginError(KarnakError):
    """A plugin cannot be used."""


class StorageFull(KarnakError):
    """There is no room for another instance."""


class NotFound(KarnakError):
    """What was asked for does not exist."""


class Conflict(KarnakError):
    """What was to be changed is not any more what it was when it was looked at: nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class ConfigProblem:
    """One thing that is wrong in a configuration."""

    #: where, e.g. ``forward_nodes[0].destinations[1].port``; empty: the whole file
    place: str
    #: what is wrong and what is allowed, e.g. ``70000 is not 1 to 65535``
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class ConfigurationError(KarnakError):
    """What was written is wrong; ``problems`` holds every problem found."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DeliveryError(KarnakError):
    """A delivery did not end as sent; ``reason`` is stored, shown and mailed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Retryable(DeliveryError):
    """It may work later.

    ``retry_after`` : float | None — seconds that the peer asked us to wait.
    ``remember`` : Mapping | None — of a notifier: JSON that it is given with the next attempt, as
    ``StudySummary.remembered``, also after a restart; None: what it was given stays.
    """

    def __init__(
        self, reason: str, retry_after: float | None = None, remember: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.remember = remember


class Unreachable(Retryable):
    """The peer could not be reached, or the connection broke while it was used."""


class Permanent(DeliveryError):
    """The peer will not take this instance as it is: kept for a person to decide."""


class NoPseudonym(Permanent):
    """The patient has no pseudonym in the project.

    ``waits_for`` : str — what has to be stored for the delivery to be tried again by itself; empty: nothing helps.
    """

    def __init__(self, reason: str, waits_for: str = "") -> None:
        super().__init__(reason)
        self.waits_for = waits_for


class Misconfigured(DeliveryError):
    """Credentials, AE title or TLS are refused: holds the destination, costs no instance an attempt."""


class Excluded(DeliveryError):
    """A rule keeps the instance from this destination; ``reason`` names the rule."""
