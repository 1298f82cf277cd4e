"""What a process and its descendants have used, read from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
#: from a command line to the part of the system that the process is
Role = Callable[[list[str]], str]


def descendants(root: int) -> list[int]:
    """Return ``root`` and every process below it, ended ones that nobody has waited for included."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found


def cpu_seconds(root: int, role: Role) -> dict[str, float]:
    """Return the CPU seconds, user and system, that each role of the tree has used since it started."""
    used: dict[str, float] = defaultdict(float)
    for pid in descendants(root):
        if fields := _stat(pid):
            # utime, stime, and both of the children it has waited for: proc(5), fields 14 to 17
            used[role(_command_line(pid))] += sum(int(field) for field in fields[11:15]) / TICKS
    return dict(used)


def settled_cpu_seconds(root: int, role: Role, quiet: float = 0.2, at_most: float = 3.0) -> dict[str, float]:
    """Return :func:`cpu_seconds` once they have stood nearly still for ``quiet`` seconds."""
    deadline = time.monotonic() + at_most
    before = cpu_seconds(root, role)
    while True:
        time.sleep(quiet)
        now = cpu_seconds(root, role)
        if sum(now.values()) - sum(before.values()) <= 2 / TICKS or time.monotonic() > deadline:
            return now
        before = now


@contextmanager
def peak_resident(root: int, role: Role, every: float = 0.05) -> Iterator[dict[str, int]]:
    """Fill the mapping with the highest resident bytes of one process of each role, looked at ``every`` seconds."""
    peaks: dict[str, int] = {}
    stop = threading.Event()

    def look() -> None:
        while True:
            last = stop.is_set()
            for pid in descendants(root):
                if resident := _peak(pid):
                    name = role(_command_line(pid))
                    peaks[name] = max(peaks.get(name, 0), resident)
            if last:
                return
            stop.wait(every)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _stat(pid: int) -> list[str] | None:
    """Return the fields of proc(5) stat from the third on; the second, the name, may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _peak(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
