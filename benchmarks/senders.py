"""The programs that send: one process for each association, disjoint files, all started at once."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import dcmtk
from benchmarks.systems import Address

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Sender:
    """How to send."""

    name: str
    #: of DCMTK; None: ``pynetdicom_sender``, which prints the seconds from its association request to its last response
    program: str | None
    #: whether Nagle's algorithm is off, where the program reads that from its environment (DCMTK)
    no_delay: bool = False

    @property
    def reports(self) -> bool:
        """Whether it says itself how long it took."""
        return self.program is None

    def to(self, address: Address, files: Sequence[Path]) -> list[str]:
        """Return the command line that sends ``files``."""
        names = [str(file) for file in files]
        command = [dcmtk(self.program)] if self.program else [sys.executable, "-m", "benchmarks.pynetdicom_sender"]
        return [*command, "-aec", address.ae_title, "127.0.0.1", str(address.port), *names]

    def environment(self) -> dict[str, str]:
        """Return what its processes run with."""
        environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
        environment["PYTHONPATH"] = str(REPOSITORY)
        return {**environment, "TCP_NODELAY": "1"} if self.no_delay else environment


DCMSEND = Sender(name="dcmsend, Nagle off", program="dcmsend", no_delay=True)
#: each as it is without any options
DCMSEND_DEFAULTS = Sender(name="dcmsend", program="dcmsend")
STORESCU_DEFAULTS = Sender(name="storescu", program="storescu")
PYNETDICOM_DEFAULTS = Sender(name="pynetdicom", program=None)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What sending took."""

    #: perf_counter when the first process was started
    started: float
    #: from there until the last process has ended, which is after its last response
    seconds: float
    cpu_seconds: float
    #: why not everything was sent; empty: it was
    problem: str


def send(sender: Sender, address: Address, batches: Sequence[Sequence[Path]], folder: Path, at_most: float) -> Sent:
    """Send each batch over an association of its own, and wait until all have ended or ``at_most`` seconds."""
    # children that had been waited for before count here, so it is the difference that matters
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outputs = [folder / f"sender-{number}.txt" for number in range(len(batches))]
    commands = [sender.to(address, files) for files in batches]
    environment = sender.environment()
    started = time.perf_counter()
    processes = [_start(command, environment, output) for command, output in zip(commands, outputs, strict=True)]
    in_time = _wait(processes, started + at_most)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    texts = [output.read_text(errors="replace") for output in outputs]
    failed = [text for process, text in zip(processes, texts, strict=True) if process.returncode != 0]
    problem = ""
    if failed:
        reason = (failed[0].strip().splitlines() or ["no message"])[-1]
        problem = f"{len(failed)} of {len(batches)} senders failed: {reason}" if in_time else f"not done in {at_most} s"
    elif sender.reports:
        seconds = max(_reported(text) for text in texts)
    return Sent(
        started=started,
        seconds=seconds,
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        problem=problem,
    )


def _start(command: list[str], environment: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    with open(output, "wb") as file:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )


def _wait(processes: list[subprocess.Popen[bytes]], deadline: float) -> bool:
    in_time = True
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.perf_counter()))
        except subprocess.TimeoutExpired:
            in_time = False
            process.send_signal(signal.SIGKILL)
            process.wait()
    return in_time


def _reported(text: str) -> float:
    found = re.search(r"^seconds: ([0-9.]+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])
