"""Counts by destination, remembered for a moment: pages that follow what happens ask every few seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from karnak_core.model import State
from karnak_core.spool import tree
from karnak_core.spool.searching import Patience
from karnak_core.spool.tree import Counted, Counts
from karnak_core.spool.views import Filter, destination_numbers

#: seconds that a count is good for, times as long as counting took
WORTH: Final = 50
#: counts that are remembered
MOST: Final = 100
#: seconds that a count which was begun is kept for somebody to go on with it
BEGUN: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class _Known:
    counted: Counted
    #: seconds that counting has taken so far
    took: float
    #: of the monotonic clock
    until: float
    #: the whole count before this one, while this one goes on
    before: Counts | None = None


class Counting:
    """Counts for as long as one answer may take, and goes on when it is asked again. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def by_state(self, connection: sa.Connection, asked: str, chosen: Filter, patience: Patience) -> Counted:
        """Return the numbers of deliveries by destination and state.

        Of everything at a destination they are running totals, since the beginning.

        Parameters
        ----------
        asked
            What was asked for, in words that stay the same while time goes on, unlike the filter's times.
        """
        if chosen in (Filter(), Filter(forward_node=chosen.forward_node, destination=chosen.destination)):
            return Counted(counts=_totals(connection, chosen), before=None)
        began = time.monotonic()
        with self._lock:
            known = self._known.get(asked)
        if known and known.until > began and known.counted.before is None:
            return known.counted
        goes_on = known is not None and known.until > began
        counted = tree.by_state(
            connection, chosen, begun=known.counted if known and goes_on else None, patience=patience
        )
        now = time.monotonic()
        took = now - began + (known.took if known and goes_on else 0.0)
        earlier = None
        if known:
            earlier = known.counted.counts if known.counted.before is None else known.before
        whole = counted.before is None
        with self._lock:
            self._known.pop(asked, None)
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[asked] = _Known(
                counted=counted,
                took=took,
                until=now + (took * WORTH if whole else BEGUN),
                before=None if whole else earlier,
            )
        # better what was true a moment ago than a part
        return Counted(counts=earlier, before=None) if earlier is not None and not whole else counted

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
