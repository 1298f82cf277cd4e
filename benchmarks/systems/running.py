"""A program that listens for associations: started, found ready, measured, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

READY_SECONDS = 30.0


class NotReadyError(Exception):
    """A program did not come up, or does not do what it was started for."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an Application Entity listens on this machine."""

    port: int
    ae_title: str


@dataclass(frozen=True, kw_only=True)
class Running:
    """A started program."""

    pid: int
    address: Address
    #: the folder that its instances arrive in, where it has one
    received: Path | None
    #: from a command line of one of its processes to what that process does
    role: Callable[[list[str]], str]


class System(Protocol):
    """One of the programs that are compared."""

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        ...

    @property
    def share(self) -> float:
        """How many of a measurement's instances it gets: slow ones fewer, so that all run about equally long."""
        ...

    def start(self, folder: Path, forward_to: Address | None) -> AbstractContextManager[Running]:
        """Run it with its files in ``folder`` (empty); it forwards what it receives, or keeps it."""
        ...


@contextmanager
def keep_running(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None, grace: float = 3.0
) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the end of the block, then stop it and whatever it has started."""
    with open(folder / "stderr.txt", "w") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_inherited(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    except NotReadyError as error:
        process.kill()
        process.wait()
        last = (folder / "stderr.txt").read_text(errors="replace").strip().splitlines()[-1:]
        raise NotReadyError(": ".join([str(error), *last])) from error
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        # its own group: what is left of it, and children that it forked
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _inherited() -> dict[str, str]:
    """Return the environment without what decides about Nagle's algorithm: each system says that itself."""
    return {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}


def free_port() -> int:
    """Return a port that nobody listens on, for programs that cannot choose one themselves."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_until_listening(process: subprocess.Popen[str], port: int) -> None:
    """Return when the port answers."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotReadyError(f"does not listen on port {port}") from None
            time.sleep(0.02)


def ready_port(process: subprocess.Popen[str]) -> int:
    """Return the port at the end of the line that the program prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    try:
        return int(line.rpartition(":")[2])
    except ValueError:
        raise NotReadyError(f"is not ready: it printed {line!r}") from None
