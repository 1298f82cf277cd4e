"""A gateway as people run it: processes, a data directory, a configuration file."""

from __future__ import annotations

import copy
import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from karnak_core.config import store
from karnak_core.config.load import read_file
from karnak_core.database import open_database
from karnak_core.database.secrets import open_vault
from karnak_core.model import State
from karnak_core.monitor import standing
from karnak_core.plugins import load
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.views import Filter
from karnak_core.spool.views import deliveries as select_deliveries
from karnak_core.spool.wakeups import CONFIGURATION, open_wakeups
from karnak_core.testing.waiting import PATIENCE, wait_until

T = TypeVar("T")

#: seconds for the ready line, and for the end
START_SECONDS, STOP_SECONDS = 120.0, 60.0


def one_node(*destinations: Mapping[str, Any], ae_title: str = "FORWARD", **node: Any) -> dict[str, Any]:
    """Return a configuration with one forward node."""
    return {"forward_nodes": [{"ae_title": ae_title, "destinations": [dict(one) for one in destinations], **node}]}


class RunningGateway:
    """``karnak serve`` on a data directory; made by :func:`run_gateway`.

    Parameters
    ----------
    configuration
        What a configuration file says. Without ``listener`` it listens at any free port of the loopback; without
        ``storage`` nothing is reserved.
    data
        The data directory; made where it is missing. Configuration and log are written beside it.
    environment
        Variables on top of this process's.
    database_url
        A PostgreSQL database; None: the embedded one.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any],
        data: Path,
        *,
        environment: Mapping[str, str] | None = None,
        database_url: str | None = None,
    ) -> None:
        self.configuration = dict(configuration)
        self.data = data
        self.database_url = database_url
        #: where it listens, from the ready line on
        self.host, self.port = "", 0
        #: the address of the web console, from the ready line on; empty: none listens
        self.web = ""
        #: what it logs
        self.log = data.with_name(f"{data.name}.log")
        self._own_environment = bool(environment)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        """Say whether the supervising process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Apply the configuration, and wait for the ready line."""
        with open(self.log, "a") as log:
            self._process = subprocess.Popen(
                self._command("serve", "--config", str(self._written(self.configuration))),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
            )
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if readable else ""
        if not line.startswith("ready: DICOM "):
            self.kill()
            raise AssertionError(f"no ready line but {line!r}; {self.tail()}")
        address, *others = (part.strip() for part in line.removeprefix("ready: DICOM ").split(","))
        self.web = next((part.removeprefix("web ") for part in others if part.startswith("web ")), "")
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        return self

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a ``karnak`` command on the data directory to its end; ``check``: it has to end with status 0."""
        done = subprocess.run(
            self._command(*arguments), capture_output=True, text=True, timeout=120, env=self._environment
        )
        if check and done.returncode:
            raise AssertionError(f"karnak {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done

    def apply(self, configuration: Mapping[str, Any]) -> None:
        """Make this the configuration; what runs follows within two seconds."""
        self.configuration = dict(configuration)
        written = self._written(self.configuration)
        if self._own_environment:
            # there may be plugins that are not here
            self.run("apply", str(written))
            return
        loaded, plugins = read_file(written, load)
        with closing(open_database(self.database_url, self.data)) as database:
            store.apply(database, plugins, open_vault(self.data), loaded, author="test", comment=written.name)
            with closing(open_wakeups(database, self.data)) as wake:
                wake.publish({CONFIGURATION})

    def status(self) -> dict[str, Any]:
        """Return what ``karnak status --json`` prints, without a process for it."""
        if self._own_environment:
            # there may be plugins that are not here
            found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
            return found
        return status_of(self.data, self.database_url)

    def destination(self, name: str) -> dict[str, Any]:
        """Return what the status says of the destination NAME or NODE/NAME."""
        return next(
            one
            for one in self.status()["destinations"]
            if name in (one["destination"], f"{one['forward_node']}/{one['destination']}")
        )

    def deliveries(self, *, state: str | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Return what ``karnak deliveries list --json`` would print, the oldest first, without a process for it.

        Parameters
        ----------
        state
            Only these.
        **filters
            Fields of :class:`karnak_core.spool.views.Filter`: ``destination``, ``sop_instance_uid``, …
        """
        chosen = Filter(states=(State(state),) if state else (), **filters)
        with closing(open_database(self.database_url, self.data)) as database, database.read() as connection:
            return list(select_deliveries(connection, chosen))

    def settled(self, count: int | None = None) -> bool:
        """Say whether nothing waits any more; with ``count``, also whether there are this many deliveries."""
        rows = self.deliveries()
        waiting = any(row["state"] in (State.PENDING, State.LEASED) for row in rows)
        return not waiting and (count is None or len(rows) == count)

    def wait_until(self, predicate: Callable[[], T], seconds: float = PATIENCE) -> T:
        """Wait until something holds, and return it; the message of the failure says how things stand.

        Raises
        ------
        AssertionError
            It did not hold in time.
        """
        return wait_until(predicate, seconds, self._picture)

    def wait_until_settled(self, count: int | None = None, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until nothing waits any more (and there are ``count`` deliveries); return the deliveries."""
        self.wait_until(lambda: self.settled(count), seconds)
        return self.deliveries()

    def terminate(self, seconds: float = STOP_SECONDS) -> int:
        """Let it drain and end; return the exit status."""
        assert self._process is not None, "it does not run"
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the supervising process with SIGKILL; the others end with it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def tail(self, lines: int = 20) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _picture(self) -> str:
        states = Counter(f"{row['destination']} {row['state']} {row['reason']}".strip() for row in self.deliveries())
        return f"{dict(states)}\n{self.tail()}"

    def _command(self, *arguments: str) -> list[str]:
        database = ["--database", self.database_url] if self.database_url else []
        place = [] if arguments[0] in ("send", "demo") else ["--data", str(self.data), *database]
        return [sys.executable, "-m", "karnak_core", *arguments, *place]

    def _written(self, configuration: Mapping[str, Any]) -> Path:
        whole: dict[str, Any] = copy.deepcopy(dict(configuration))
        whole["listener"] = {"host": "127.0.0.1", "port": 0, **whole.get("listener", {})}
        whole["storage"] = {"reserve": 0, **whole.get("storage", {})}
        self.data.mkdir(parents=True, exist_ok=True)
        path = self.data.with_name(f"{self.data.name}.yml")
        # JSON is YAML
        path.write_text(json.dumps(whole, indent=1))
        return path


def status_of(data: Path, database_url: str | None = None) -> dict[str, Any]:
    """Return what ``karnak status --json`` prints for a data directory, but what expires."""
    with closing(open_database(database_url, data)) as database:
        configuration = store.Following(database, load()).configuration
        found = standing.look(database, configuration, SpoolFolder(data / "spool"))
        status: dict[str, Any] = json.loads(
            json.dumps(standing.as_json(found, running=standing.runs(data), expiries=()))
        )
        return status


@contextmanager
def run_gateway(
    configuration: Mapping[str, Any],
    data: Path,
    *,
    environment: Mapping[str, str] | None = None,
    database_url: str | None = None,
) -> Iterator[RunningGateway]:
    """Run a gateway; give it once it is ready, and end it. The parameters are those of :class:`RunningGateway`."""
    gateway = RunningGateway(configuration, data, environment=environment, database_url=database_url)
    try:
        yield gateway.start()
        if gateway.running:
            gateway.terminate()
    finally:
        gateway.kill()
