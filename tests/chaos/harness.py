"""What the chaos tests are made of: instances by number, a gateway of processes, senders, and peers with faults."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from pydicom import Dataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from karnak_core.database.tables import content, delivery, instance, process, tally
from karnak_core.dimse import (
    AcceptedAssociation,
    Association,
    AssociationRequest,
    DimseError,
    ProposedContext,
    Rejection,
    StoreAnswer,
    StoreRequest,
    Timeouts,
)
from karnak_core.testing.gateway import status_of

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.2"
EXPLICIT = str(ExplicitVRLittleEndian)
VERIFICATION = "1.2.840.10008.1.1"
_ROOT = "1.2.826.0.1.3680043.10.1234."
SUCCESS = 0x0000


def uid(number: int) -> str:
    """The SOP Instance UID of an instance by its number; all have the same length."""
    return f"{_ROOT}{10_000_000 + number}"


def _template(pixels: int) -> bytes:
    ds = Dataset()
    ds.SOPClassUID = SECONDARY_CAPTURE
    ds.SOPInstanceUID = uid(0)
    ds.Modality = "OT"
    ds.PatientName = "Chaos^Test"
    ds.PatientID = "CHAOS"
    ds.StudyInstanceUID = f"{_ROOT}1"
    ds.SeriesInstanceUID = f"{_ROOT}2"
    ds.Rows, ds.Columns = pixels // 100, 100
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 7, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = os.urandom(pixels)
    out = BytesIO()
    dcmwrite(out, ds, implicit_vr=False, little_endian=True)
    return out.getvalue()


class Instances:
    """Encoded data sets that differ in their SOP Instance UID only."""

    def __init__(self, pixels: int = 2000) -> None:
        self._template = _template(pixels)

    def __getitem__(self, number: int) -> bytes:
        return self._template.replace(uid(0).encode(), uid(number).encode())


#: kept in the ledger; in a file of its own; in a file, and written to it while it is received
SMALL, LARGE, HUGE = Instances(), Instances(80_000), Instances(1_500_000)


def eventually(condition: Callable[[], object], seconds: float, what: str | Callable[[], object]) -> None:
    """Wait until the condition holds; fail with what was waited for when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on now, outside of the range that the system gives out by itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low = int(file.read().split()[0])
    for _ in range(1000):
        port = 2000 + int.from_bytes(os.urandom(2)) % max(1, low - 2000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


# -- the gateway ---------------------------------------------------------------------------------------------


class Gateway:
    """``karnak serve`` as a process tree on a data directory of its own."""

    def __init__(
        self,
        folder: Path,
        destinations: Sequence[Mapping[str, Any]],
        *,
        database_url: str | None = None,
        data: Path | None = None,
        listener: Mapping[str, Any] | None = None,
        storage: Mapping[str, Any] | None = None,
        nodes: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        self.folder = folder
        self.data = data or folder / "data"
        self.port = free_port()
        self.database_url = database_url
        self.config = {
            "listener": {"host": "127.0.0.1", "port": self.port, "max_associations_per_peer": 200, **(listener or {})},
            "storage": {"reserve": 0, **(storage or {})},
            "forward_nodes": [
                {"ae_title": title, "destinations": [dict(one) for one in several]}
                for title, several in (nodes or {"FORWARD": destinations}).items()
            ],
        }
        #: JSON is YAML
        self.file = folder / "gateway.yml"
        self.write_config()
        self.log = folder / "gateway.log"
        self.process: subprocess.Popen[str] | None = None
        url = database_url or sa.URL.create("sqlite", database=str(self.data / "karnak.db"))
        self._engine = sa.create_engine(url, poolclass=sa.NullPool)

    def write_config(self) -> None:
        """Write the configuration to its file; what runs does not know of it."""
        self.file.write_text(json.dumps(self.config))

    def command(self, *arguments: str) -> list[str]:
        """A karnak command line on the data of this gateway."""
        database = ["--database", self.database_url] if self.database_url else []
        return [sys.executable, "-m", "karnak_core", *arguments, "--data", str(self.data), *database]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a karnak command to its end."""
        return subprocess.run(self.command(*arguments), check=check, capture_output=True, text=True, timeout=120)

    def start(self, *, wait: float = 120.0) -> Self:
        """Start, and wait for the ready line."""
        log = open(self.log, "a")  # noqa: SIM115 - the process's
        with log:
            self.process = subprocess.Popen(
                self.command("serve", "--config", str(self.file)), stdout=subprocess.PIPE, stderr=log, text=True
            )
        out = self.process.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], wait)
        line = out.readline() if ready else ""
        assert line.startswith("ready:"), f"no ready line, but {line!r}; {self.tail()}"
        return self

    def tail(self) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def terminate(self, seconds: float = 60.0) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def kill(self) -> None:
        """SIGKILL to the supervisor; the others have to follow by themselves."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    @property
    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self.process is not None and self.process.poll() is None

    def children(self, role: str = "") -> list[int]:
        """The process ids of the receiver (``receive``), the deliverers (``deliver``) or all of them."""
        assert self.process is not None
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*"):
            with suppress(FileNotFoundError):
                found += [int(child) for child in (task / "children").read_text().split()]
        return [pid for pid in found if role in _arguments(pid) and "process" in _arguments(pid)] if role else found

    def wait_for_children(self, seconds: float = 60.0) -> None:
        """Wait until a receiver and a deliverer are there."""
        eventually(lambda: self.children("receive") and self.children("deliver"), seconds, "all processes run")

    # -- what it says, and what the ledger says --------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``karnak status --json`` prints."""
        return status_of(self.data, self.database_url)

    def destination(self, name: str) -> dict[str, Any]:
        """A destination in what the status says."""
        return next(one for one in self.status()["destinations"] if one["destination"] == name)

    def deliveries(self, *arguments: str) -> list[dict[str, Any]]:
        """What ``karnak deliveries list --json`` prints."""
        out = self.run("deliveries", "list", "--json", *arguments).stdout
        return [json.loads(line) for line in out.splitlines()]

    @contextmanager
    def ledger(self) -> Iterator[sa.Connection]:
        """Look into the ledger."""
        with self._engine.connect() as connection:
            yield connection

    def count(self, *states: str, destination: str | None = None) -> int:
        """How many deliveries are in one of these states; all without states."""
        statement = sa.select(sa.func.count()).select_from(delivery)
        if states:
            statement = statement.where(delivery.c.state.in_(states))
        if destination is not None:
            statement = statement.where(delivery.c.destination == destination)
        with self.ledger() as connection:
            return connection.execute(statement).scalar_one()

    def settled(self) -> bool:
        """Whether nothing is pending or leased."""
        return self.count("pending", "leased") == 0

    def wait_until_settled(self, seconds: float) -> None:
        """Wait until every delivery has ended."""
        eventually(self.settled, seconds, lambda: f"nothing is open, but {self.picture()}; {self.tail()}")

    def picture(self) -> dict[str, int]:
        """How many deliveries are in each state, for messages."""
        with self.ledger() as connection:
            rows = connection.execute(
                sa.select(delivery.c.destination, delivery.c.state, sa.func.count()).group_by(
                    delivery.c.destination, delivery.c.state
                )
            )
            return {f"{destination} {state}": count for destination, state, count in rows}

    def assert_balanced(self) -> None:
        """Received = sent + duplicate + excluded + failed + discarded + open, in rows and in running totals."""
        with self.ledger() as connection:
            instances = connection.execute(sa.select(sa.func.count()).select_from(instance)).scalar_one()
            rows = connection.execute(
                sa.select(delivery.c.forward_node, delivery.c.destination, delivery.c.state, sa.func.count()).group_by(
                    delivery.c.forward_node, delivery.c.destination, delivery.c.state
                )
            ).all()
            totals = {tuple(row[:3]): row[3] for row in connection.execute(sa.select(tally))}
            owners = set(connection.execute(sa.select(process.c.owner)).scalars())
            lost = connection.execute(
                sa.select(sa.func.count())
                .select_from(delivery)
                .where(delivery.c.lease_owner.is_not(None), delivery.c.lease_owner.not_in(owners))
            ).scalar_one()
        received = {node: count for (node, name, what), count in totals.items() if not name and what == "received"}
        assert sum(received.values()) == instances
        per_destination: Counter[tuple[str, str]] = Counter()
        for node, name, state, count in rows:
            per_destination[node, name] += count
            if state in ("sent", "duplicate", "excluded", "discarded"):
                assert totals.get((node, name, state), 0) == count, (name, state)
        for (node, name), count in per_destination.items():
            assert count == received[node], (node, name)
        assert lost == 0, "leases of processes that nobody knows"

    def assert_spool_matches(self) -> None:
        """The files are those that the ledger names, and the contents those of instances that have one."""
        with self.ledger() as connection:
            named = set(connection.execute(sa.select(instance.c.path).where(instance.c.path != "")).scalars())
            held = set(connection.execute(sa.select(instance.c.id).where(instance.c.path == "")).scalars())
            contents = set(connection.execute(sa.select(content.c.instance_id)).scalars())
        assert self.spool_files() == named
        assert contents == held

    def spool_files(self) -> set[str]:
        """The instance files, relative to the spool."""
        spool = self.data / "spool"
        return {str(path.relative_to(spool)) for path in spool.rglob("*.dcm")}


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def memory(pid: int, key: str = "VmRSS") -> int:
    """Resident memory of a process in bytes: ``VmRSS`` now, ``VmHWM`` the most so far; 0: it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


# -- senders -------------------------------------------------------------------------------------------------

CONTEXTS = (ProposedContext(SECONDARY_CAPTURE, (EXPLICIT,)), ProposedContext(VERIFICATION, ("1.2.840.10008.1.2",)))
SENDER_TIMEOUTS = Timeouts(connect=60, acse=60, dimse=60, send=60, pdu=60)


def associate(port: int, *, called: str = "FORWARD", calling: str = "SENDER", **options: Any) -> Association:
    """Open an association with contexts for small instances and for C-ECHO."""
    return Association.open(
        "127.0.0.1",
        port,
        calling_ae_title=calling,
        called_ae_title=called,
        contexts=CONTEXTS,
        timeouts=options.pop("timeouts", SENDER_TIMEOUTS),
        **options,
    )


def send(port: int, numbers: Iterable[int], *, called: str = "FORWARD", instances: Instances = SMALL) -> dict[int, int]:
    """Send over one association, one after another; return the status of each, and raise when it breaks."""
    answers = {}
    with associate(port, called=called) as association:
        context = association.accepts(SECONDARY_CAPTURE, EXPLICIT)
        assert context is not None
        for number in numbers:
            response = association.send_c_store(SECONDARY_CAPTURE, uid(number), context, [instances[number]])
            answers[number] = response.status
    return answers


@dataclass
class Sender:
    """Sends until all is acknowledged, over as many associations after one another as that takes."""

    port: int
    numbers: Sequence[int]
    called: str = "FORWARD"
    instances: Instances = field(default_factory=lambda: SMALL)
    #: asked before each instance; waits, or says that it is to end
    before: Callable[[int], bool] = lambda _position: True
    acknowledged: set[int] = field(default_factory=set)
    #: statuses other than success
    refused: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    joined: bool = False

    def start(self) -> Self:
        """Send in a thread."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        self._thread.join(seconds)
        self.joined = not self._thread.is_alive()
        if not self.joined:
            self._ended.set()
            raise AssertionError(
                f"not sent within {seconds:g} s: {len(self.acknowledged)} of {len(self.numbers)} acknowledged, "
                f"refused {self.refused}, broken {self.broken}"
            )

    def stop(self) -> None:
        """Give up."""
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        while len(self.acknowledged) < len(self.numbers) and not self._ended.is_set():
            try:
                with associate(self.port, called=self.called) as association:
                    self._send(association)
            except DimseError as error:
                self.broken[type(error).__name__] += 1
                self._ended.wait(0.05)

    def _send(self, association: Association) -> None:
        context = association.accepts(SECONDARY_CAPTURE, EXPLICIT)
        assert context is not None
        under_way: dict[int, int] = {}
        for position, number in enumerate(self.numbers):
            if number in self.acknowledged:
                continue
            if not self.before(position) or self._ended.is_set():
                break
            if len(under_way) >= association.window:
                self._take(association, under_way)
            under_way[association.start_c_store(SECONDARY_CAPTURE, uid(number), context, [self.instances[number]])] = (
                number
            )
        while under_way:
            self._take(association, under_way)

    def _take(self, association: Association, under_way: dict[int, int]) -> None:
        response = association.next_response()
        number = under_way.pop(response.message_id)
        if response.status == SUCCESS:
            self.acknowledged.add(number)
        else:
            self.refused[response.status] += 1
            self._ended.wait(0.02)


# -- peers ---------------------------------------------------------------------------------------------------


class Peer:
    """A storage SCP with faults that are turned on and off while it runs; remembers what it has taken."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.taken: Counter[str] = Counter()
        self.offered: Counter[str] = Counter()
        self.bytes_taken = 0
        self.associations = 0
        #: answer to A-ASSOCIATE-RQ; None: accept
        self.rejection: Rejection | None = None
        #: answer to every instance
        self.status = SUCCESS
        #: asked with each SOP Instance UID; returns a status
        self.judge: Callable[[str], int] | None = None
        #: clear: hold every answer back
        self.may_answer = threading.Event()
        self.may_answer.set()
        #: cut the connection in the middle of an instance, this many times
        self.aborts = 0
        #: an instance was begun
        self.begun = threading.Event()
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._running: set[AcceptedAssociation] = set()

    def up(self) -> Self:
        """Listen."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(128)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        listening, self._listening = self._listening, None
        if listening is not None:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            running = list(self._running)
        for association in running:
            association.abort()

    def close(self) -> None:
        """End."""
        self.may_answer.set()
        self.down()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = listening.accept()
            except OSError:
                return
            association = AcceptedAssociation(connection, address, _PeerReceiver(self), timeouts=Timeouts(idle=120))
            with self._lock:
                self._running.add(association)
            threading.Thread(target=self._serve, args=(association,), daemon=True).start()

    def _serve(self, association: AcceptedAssociation) -> None:
        try:
            association.run()
        finally:
            with self._lock:
                self._running.discard(association)


class _PeerReceiver:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def admit(self, request: AssociationRequest) -> Rejection | None:
        self._peer.associations += 1
        return self._peer.rejection

    def begin_store(self, request: StoreRequest) -> _PeerIncoming:
        self._peer.begun.set()
        with self._peer._lock:
            self._peer.offered[request.sop_instance_uid] += 1
        return _PeerIncoming(self._peer, request.sop_instance_uid)

    def ended(self, request: AssociationRequest) -> None:
        pass


class _PeerIncoming:
    def __init__(self, peer: Peer, sop_instance_uid: str) -> None:
        self._peer = peer
        self._uid = sop_instance_uid
        self._size = 0

    def write(self, data: memoryview) -> None:
        self._size += len(data)
        with self._peer._lock:
            aborts = self._peer.aborts > 0
            self._peer.aborts -= aborts
        if aborts:
            self._peer.cut()

    def finish(self) -> StoreAnswer:
        peer = self._peer
        peer.may_answer.wait(120)
        status = peer.judge(self._uid) if peer.judge is not None else peer.status
        if status in (SUCCESS, 0x0111) or status >> 12 == 0xB:
            with peer._lock:
                peer.taken[self._uid] += 1
                peer.bytes_taken += self._size
        return StoreAnswer(status)

    def discard(self) -> None:
        pass
