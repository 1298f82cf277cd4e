"""What a run measures, and with how many instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SCENARIOS = ("receive", "stalls", "forward", "large", "changed", "transcoded", "deidentify")
KILOBYTE, MEGABYTE = 1000, 1_000_000
SIZES = (8 * KILOBYTE, 530 * KILOBYTE)
ASSOCIATIONS = (1, 4, 16)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The choices of one run."""

    scenarios: Sequence[str] = SCENARIOS
    sizes: Sequence[int] = SIZES
    associations: Sequence[int] = ASSOCIATIONS
    rounds: int = 3
    #: times the usual number of instances
    scale: float = 1.0
    large_size: int = 1000 * MEGABYTE
    #: of the gateway's destination
    connections: int = 4
    #: of ``storescp``; None: its default, 16 KiB
    storescp_pdu: int | None = None
    #: an association in "stalls", where a slow answer takes 40 ms
    stalls_instances: int = 40
    #: instances before the clock starts: connections, caches, first imports
    warm_up: int = 24
    #: leaves out what does not show whether everything works
    quick: bool = False
    #: seconds after which a measurement is given up
    at_most: float = 90.0

    def instances(self, size: int, associations: int, share: float) -> int:
        """Return how many instances to send in all: enough for a second or two, the same for each association."""
        fast = 1600 if size <= 100 * KILOBYTE else 600
        total = fast * self.scale * share * (1 if associations == 1 else 2)
        return max(4, round(total / associations)) * associations

    def pool(self, size: int) -> int:
        """Return how many different instances of a size the run needs, warm-up included."""
        most = max(self.instances(size, associations, 1.0) for associations in self.associations)
        stalls = self.stalls_instances * (2 + sum(self.associations))
        return self.warm_up + max(most, stalls)
