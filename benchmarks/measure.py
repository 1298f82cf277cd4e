"""One system, started fresh, and one sender after the other against it."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.folder_watch import FolderWatch
from benchmarks.process_tree import cpu_seconds, peak_resident, settled_cpu_seconds
from benchmarks.results import Case, Measurement
from benchmarks.senders import DCMSEND, Sender, send
from benchmarks.systems import Address, Running, System
from benchmarks.systems.running import NotReadyError, free_port


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is sent in one measurement."""

    case: Case
    sender: Sender
    batches: Sequence[Sequence[Path]]

    @property
    def instances(self) -> int:
        """How many in all."""
        return sum(len(batch) for batch in self.batches)


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Started programs to measure: the one that is sent to and, when it forwards, the one that it forwards to."""

    system: str
    receiver: Running
    target: Running | None
    folder: Path

    def last_at(self) -> Path | None:
        """Return the folder in which the last instance is waited for; None: the senders' last response counts."""
        return self.target.received if self.target else None

    def cpu(self, read: Callable[..., Mapping[str, float]]) -> dict[str, float]:
        """Return the CPU seconds by role, the target's own under "target"."""
        used = dict(read(self.receiver.pid, self.receiver.role))
        if self.target and self.target is not self.receiver:
            used["target"] = sum(read(self.target.pid, self.target.role).values())
        return used


@contextmanager
def fresh(system: System, work: Path, target: System | None = None) -> Iterator[Stand]:
    """Start ``system`` on an empty folder; with ``target``, that first, and the system forwards to it."""
    with ExitStack() as stack:
        # what earlier measurements left to be written is theirs
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=work))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.sync()
        receives = None
        if target is not None:
            (folder / "target").mkdir()
            receives = stack.enter_context(target.start(folder / "target", None))
        if target is system:
            assert receives is not None
            yield Stand(system="direct", receiver=receives, target=receives, folder=folder)
            return
        (folder / "system").mkdir()
        to = receives.address if receives else None
        running = stack.enter_context(system.start(folder / "system", to))
        yield Stand(system=system.name, receiver=running, target=receives, folder=folder)


def warm_up(stand: Stand, files: Sequence[Path]) -> None:
    """Send a few instances that nobody counts, and wait until they are where they go."""
    last_at = stand.last_at()
    with FolderWatch(last_at) if last_at else nullcontext() as watch:
        if watch:
            watch.expect(len(files))
        sent = send(DCMSEND, stand.receiver.address, [files], stand.folder, 60.0)
        if sent.problem or (watch and watch.wait(60.0) is None):
            raise NotReadyError(sent.problem or "not everything arrives at the target")


def measure(stand: Stand, job: Job, round_: int, at_most: float, *, resident: bool = False) -> Measurement:
    """Send, wait, and return what it took."""
    nobody = Address(port=free_port(), ae_title="NOBODY")
    # a program that reports its own time has none to take off
    preparation = 0.0 if job.sender.reports else send(job.sender, nobody, job.batches, stand.folder, 60.0).seconds
    last_at = stand.last_at()
    busy = spin()
    before = stand.cpu(settled_cpu_seconds)
    with ExitStack() as stack:
        peaks = stack.enter_context(peak_resident(stand.receiver.pid, stand.receiver.role)) if resident else {}
        watch = stack.enter_context(FolderWatch(last_at)) if last_at else None
        if watch:
            watch.expect(job.instances)
        sent = send(job.sender, stand.receiver.address, job.batches, stand.folder, at_most)
        seconds, problem = sent.seconds, sent.problem
        if watch and not problem:
            last = watch.wait(at_most)
            if last is None:
                problem = f"{watch.count} of {job.instances} instances at the target after {at_most:.0f} s"
            seconds = (last - sent.started) if last else at_most
        after = stand.cpu(settled_cpu_seconds if not problem else cpu_seconds)
    return Measurement(
        case=job.case,
        system=stand.system,
        round=round_,
        instances=job.instances,
        seconds=seconds,
        preparation_seconds=preparation,
        answered_seconds=sent.seconds,
        cpu_seconds={role: used - before.get(role, 0.0) for role, used in after.items()},
        sender_cpu_seconds=sent.cpu_seconds,
        spin_seconds=busy,
        peak_resident_bytes=dict(peaks),
        problem=problem,
    )


def not_measured(system: str, job: Job, round_: int, problem: str) -> Measurement:
    """Return what stands for a measurement that could not be made."""
    return Measurement(
        case=job.case,
        system=system,
        round=round_,
        instances=job.instances,
        seconds=math.inf,
        preparation_seconds=0.0,
        answered_seconds=math.inf,
        cpu_seconds={},
        sender_cpu_seconds=0.0,
        spin_seconds=spin(),
        problem=problem,
    )


def spin() -> float:
    """Return the seconds that a loop takes that is always the same: how busy the machine is."""
    started = time.perf_counter()
    for _ in range(500_000):
        pass
    return time.perf_counter() - started
