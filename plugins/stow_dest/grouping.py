"""Which instances go into one request: several small ones, or a big one alone; learnt down where a server refuses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from karnak_core.model import Outgoing
from karnak_plugins.stow_dest.body import OVERHEAD


class Bounds:
    """How much one request may hold."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        #: bytes; an instance that is larger goes alone
        self.size = size
        #: a server has refused more
        self.learnt = False

    def take(self, waiting: deque[Outgoing]) -> list[Outgoing]:
        """Take what the next request holds from the left."""
        group: list[Outgoing] = []
        uids: set[str] = set()
        size = 0
        while waiting and len(group) < self.count:
            outgoing = waiting[0]
            size += outgoing.size + OVERHEAD
            # an answer names instances by their UID: one of each
            if group and (size > self.size or outgoing.sop_instance_uid in uids):
                break
            uids.add(outgoing.sop_instance_uid)
            group.append(waiting.popleft())
        return group

    def too_much(self, group: Sequence[Outgoing]) -> None:
        """Learn from a request with several instances that was refused as too large."""
        if len(group) > 1:
            self.size = max(1, sum(outgoing.size + OVERHEAD for outgoing in group) // 2)
            self.learnt = True
