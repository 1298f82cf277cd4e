"""Counts by destination, remembered for a moment: pages that follow what happens ask every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from karnak_core.model import State
from karnak_core.spool import tree
from karnak_core.spool.views import Filter, destination_numbers

Counts = Mapping[tuple[str, str], Mapping[State, int]]

#: seconds that a count is good for, times as long as counting took
WORTH: Final = 50
#: counts that are remembered
MOST: Final = 100


class Counting:
    """Counts, and remembers what took long to count. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Counts]] = {}

    def by_state(self, connection: sa.Connection, asked: str, chosen: Filter) -> Counts:
        """Return the numbers of deliveries by destination and state.

        Of everything at a destination they are running totals, since the beginning.

        Parameters
        ----------
        asked
            What was asked for, in words that stay the same while time goes on, unlike the filter's times.
        """
        if chosen in (Filter(), Filter(forward_node=chosen.forward_node, destination=chosen.destination)):
            return _totals(connection, chosen)
        now = time.monotonic()
        with self._lock:
            self._known = {name: one for name, one in self._known.items() if one[0] > now}
            if asked in self._known:
                return self._known[asked][1]
        found = tree.by_state(connection, chosen)
        took = time.monotonic() - now
        with self._lock:
            if len(self._known) < MOST:
                self._known[asked] = (now + took + took * WORTH, found)
        return found

    def forget(self) -> None:
        """Count anew: somebody has decided about deliveries."""
        with self._lock:
            self._known = {}


def _totals(connection: sa.Connection, chosen: Filter) -> Counts:
    found = {}
    for (node, name), one in destination_numbers(connection).items():
        if (chosen.forward_node or node, chosen.destination or name) == (node, name):
            counts = {
                State.SENT: one.sent,
                State.DUPLICATE: one.duplicate,
                State.EXCLUDED: one.excluded,
                State.FAILED: one.failed,
                State.PENDING: one.pending,
                State.DISCARDED: one.discarded,
            }
            found[node, name] = {state: count for state, count in counts.items() if count}
    shown = {key: counts for key, counts in found.items() if counts}
    return dict(sorted(shown.items(), key=lambda item: (not item[1].get(State.FAILED), item[0])))
