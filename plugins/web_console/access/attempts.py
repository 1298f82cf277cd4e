"""How often somebody may try a password: after some wrong ones, only after a pause, which grows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from karnak_plugins.web_console.addresses import whose_address

#: addresses and names that are remembered, at most
MOST = 10_000
#: wrong ones without a pause: for one name at one address; for one address, which may be that of many people; and for
#: one name from wherever, which many addresses together must not guess at will
FREE_FOR_NAME, FREE_FOR_ADDRESS, FREE_FOR_NAME_ANYWHERE = 5, 20, 100
#: seconds of the first pause and of the longest: for a name the latter is short, as else anybody could lock it
FIRST_PAUSE, LONGEST_FOR_NAME, LONGEST_FOR_ADDRESS = 1.0, 60.0, 900.0
#: seconds without a wrong one after which all is forgotten
FORGET = 3600.0


@dataclass
class _Count:
    wrong: int = 0
    last: float = 0.0
    until: float = 0.0
    #: ``until`` of before the last attempt
    before: float = 0.0


Key = tuple[str, ...]


class Attempts:
    """Remembers wrong passwords, in memory. For any number of threads.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[Key, _Count] = OrderedDict()

    def begin(self, name: str, address: str, browser: str = "") -> float:
        """Return the seconds until an attempt is looked at; 0: now, and it counts as wrong until :meth:`succeeded`.

        So many at once are no more than so many one after the other.

        Parameters
        ----------
        browser
            One that has signed in by this name before: what others try keeps it from nothing, and it has a count of
            its own. Empty: is not known.
        """
        now = self._clock()
        keys = _keys(name, address, browser)
        with self._lock:
            wait = max([0.0, *(count.until - now for key in keys if (count := self._counts.get(key)))])
            if wait > 0:
                return wait
            for key, (free, longest) in keys.items():
                count = self._counts.pop(key, None)
                if count is None or count.last < now - FORGET:
                    count = _Count()
                count.wrong, count.last, count.before = count.wrong + 1, now, count.until
                if count.wrong >= free:
                    count.until = now + min(longest, FIRST_PAUSE * 2.0 ** min(30, count.wrong - free))
                self._counts[key] = count
            while len(self._counts) > MOST:
                self._counts.popitem(last=False)
        return 0.0

    def succeeded(self, name: str, address: str, browser: str = "") -> None:
        """Forget the name, and this one attempt of the address: who knows one password may try others'."""
        with self._lock:
            for key in _keys(name, address, browser):
                if key[0] != "address":
                    self._counts.pop(key, None)
                elif count := self._counts.get(key):
                    # others there wait no longer than before
                    count.wrong, count.until = count.wrong - 1, count.before


def _keys(name: str, address: str, browser: str) -> dict[Key, tuple[int, float]]:
    """Return what an attempt is counted by: how many are free, and the longest pause."""
    name, address = name.strip().lower()[:64], whose_address(address)
    if browser:
        return {("browser", name, browser): (FREE_FOR_NAME, LONGEST_FOR_NAME)}
    return {
        ("name", name, address): (FREE_FOR_NAME, LONGEST_FOR_NAME),
        ("anywhere", name): (FREE_FOR_NAME_ANYWHERE, LONGEST_FOR_NAME),
        ("address", address): (FREE_FOR_ADDRESS, LONGEST_FOR_ADDRESS),
    }
