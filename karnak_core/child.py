"""One process of the gateway, kept alive by the supervisor."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

#: seconds before a process that dies at once is started again: at first, and at most
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
#: what a process says when it is ready, at most; a pipe takes that much as a whole
READY_BYTES = 512
#: tells a receiver that another one takes its place
RETIRE = signal.SIGUSR1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where the gateway's data is."""

    data_directory: Path
    database_url: str | None
    verbose: bool = False

    @property
    def spool(self) -> Path:
        """The folder of the instance files."""
        return self.data_directory / "spool"


class Child:
    """A process of the gateway, started again whenever it dies before it is told to end."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        setting: Setting,
        node: str,
        died: Callable[[str], None],
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._setting = setting
        self._node = node
        self._died = died
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        #: what it said when it became ready, last: where it can be reached; empty: nothing
        self.address = ""
        # it became ready, or ended before
        self._tried = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"keep {name}", daemon=True)

    def start(self) -> None:
        """Start the process, and keep it."""
        self._thread.start()

    def wait_ready(self, deadline: float) -> bool:
        """Wait until the process has said that it works; False: it has not by then (monotonic seconds)."""
        return self._ready.wait(max(0.0, deadline - time.monotonic()))

    def wait_tried(self, deadline: float) -> bool:
        """Wait until the process works or has ended, for the first time; say whether it works."""
        self._tried.wait(max(0.0, deadline - time.monotonic()))
        return self._ready.is_set()

    def stop(self) -> None:
        """Ask the process to drain and end."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def retire(self) -> None:
        """Ask a receiver to accept no more, and to end with the last of its associations."""
        self._stopping.set()
        self._signal(RETIRE)

    @property
    def alive(self) -> bool:
        """Say whether the process has not ended for good."""
        return self._thread.is_alive()

    def kill(self) -> None:
        """End a process that was asked to, and has not."""
        logger.error("process %r did not end in time and is killed", self.name)
        self._signal(signal.SIGKILL)

    def join(self, deadline: float) -> None:
        """Wait for the end until ``deadline`` (monotonic seconds), then kill."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self.kill()
            self._thread.join(5.0)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            owner = secrets.token_hex(8)
            started = time.monotonic()
            status = self._try_once(owner)
            self._tried.set()
            self._died(owner)
            if self._stopping.is_set():
                return
            logger.error("process %r ended with status %s; it is started again", self.name, status)
            pause = FIRST_PAUSE if time.monotonic() - started > LONGEST_PAUSE else min(LONGEST_PAUSE, pause * 2)
            self._stopping.wait(pause)

    def _try_once(self, owner: str) -> int | None:
        try:
            return self._run_once(owner)
        except OSError as error:
            # no memory, or no more processes or descriptors, for now
            logger.error("process %r cannot be started: %s", self.name, error.strerror)
            return None

    def _run_once(self, owner: str) -> int:
        ready_read, ready_write = os.pipe()
        with self._lock:
            if self._stopping.is_set():
                os.close(ready_read)
                os.close(ready_write)
                return 0
            self._process = subprocess.Popen(
                self._command(owner, ready_write),
                env=self._environment(),
                pass_fds=(*self._pass_fds, ready_write),
                stdin=subprocess.DEVNULL,
            )
        os.close(ready_write)
        # empty: it ended
        if said := os.read(ready_read, READY_BYTES):
            self.address = said.decode(errors="replace").strip()
            self._ready.set()
        os.close(ready_read)
        self._tried.set()
        return self._process.wait()

    def _environment(self) -> dict[str, str]:
        """Return the environment with the database's URL: on the command line everybody would see its password."""
        url = self._setting.database_url
        return {**os.environ, "KARNAK_DATABASE": url} if url else dict(os.environ)

    def _command(self, owner: str, ready: int) -> list[str]:
        setting = self._setting
        return [
            sys.executable,
            "-m",
            "karnak_core",
            "process",
            "--data",
            str(setting.data_directory),
            *(["--verbose"] if setting.verbose else []),
            "--owner",
            owner,
            "--node",
            self._node,
            "--parent",
            str(os.getpid()),
            "--ready",
            str(ready),
            *self._arguments,
        ]
