"""Follow-ups that do what a script says, and a ledger with what is due for them."""

from __future__ import annotations

import dataclasses
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from pydicom import Dataset

from karnak_core.config import store
from karnak_core.config.load import load as load_configuration
from karnak_core.database import Database
from karnak_core.database.secrets import open_vault
from karnak_core.database.tables import content, follow_up, instance
from karnak_core.errors import DeliveryError
from karnak_core.kinds import Kind
from karnak_core.model import Due, Header, OpenContext, Outcome, Outgoing, State, now_ms
from karnak_core.monitor.follow_ups import FollowUps
from karnak_core.part10 import file_beginning
from karnak_core.plugins import load
from karnak_core.spool import leases, processes
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder, SpoolWriter
from karnak_core.spool.record import Received, record

NODE = "NODE"
IMPLICIT = "1.2.840.10008.1.2"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    album: str = "one"
    speed: int = 1


class Album:
    """Does what its script says: answers, errors, or waits."""

    def __init__(self) -> None:
        self.script: list[DeliveryError | Exception | threading.Event] = []
        #: instances, by their patients, for which nothing is to be done
        self.not_for: set[str] = set()
        self.calls: list[tuple[str, str, str]] = []
        self.opened: list[Options] = []
        self.closed = 0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def open(self, options: Options, _context: OpenContext) -> Album:
        self.opened.append(options)
        return self

    def subject(self, outgoing: Outgoing, _original: Callable[[], Dataset]) -> str | None:
        return outgoing.series_instance_uid

    def after_send(self, outgoing: Outgoing, original: Dataset) -> str | None:
        with self.lock:
            self.calls.append((outgoing.study_instance_uid, outgoing.series_instance_uid, str(original.PatientID)))
            step = self.script.pop(0) if self.script else None
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if isinstance(step, threading.Event):
                assert step.wait(60)
            elif step is not None:
                raise step
        finally:
            with self.lock:
                self.at_once -= 1
        return None if original.PatientID in self.not_for else "shared"

    def probe(self) -> str:
        return "there"

    def close(self) -> None:
        self.closed += 1


class Contexts:
    def of(
        self, configuration: Any, forward_node: str, destination: str, kind: Kind[Any, Any] | None = None
    ) -> OpenContext:
        return OpenContext(data_directory=Path("nowhere"), forward_node=forward_node, destination=destination)


class Setting:
    """A ledger, two albums, and what follows deliveries to them."""

    def __init__(self, database: Database, folder: SpoolFolder, directory: Path) -> None:
        self.database = database
        self.folder = folder
        self.directory = directory
        self.one, self.two = Album(), Album()
        self.plugins = dataclasses.replace(
            load(),
            follow_ups={
                name: Kind(name=name, config=Options, open=album.open)
                for name, album in (("one", self.one), ("two", self.two))
            },
        )
        self.configure({"type": "one", "name": "one"}, {"type": "two", "name": "two"})
        self.following = store.Following(database, self.plugins)
        self.bell = Doorbell()
        self.stop = threading.Event()
        self.loop = self.make_loop("me")
        self._threads: list[threading.Thread] = []
        self._writer = SpoolWriter(folder)
        self._serial = 0

    def make_loop(self, owner: str) -> FollowUps:
        with self.database.write() as connection:
            processes.register(connection, owner, "here", "monitor")
        return FollowUps(self.database, self.folder, self.following, Contexts(), self.bell, owner)

    def configure(self, *follow_ups: dict[str, Any], **keys: Any) -> None:
        destination = {"name": "cloud", "type": "folder", "directory": "out", "retry_first": 0.1, "retry_longest": 1}
        document = {
            "forward_nodes": [
                {"ae_title": NODE, "destinations": [{**destination, "follow_ups": list(follow_ups), **keys}]}
            ]
        }
        configuration = load_configuration(document, self.plugins, self.directory)
        store.apply(self.database, self.plugins, open_vault(self.directory), configuration, author="test")

    def follow(self) -> None:
        assert self.following.refresh()
        self.bell.ring()

    def send(self, series: str, *parts: str, file: bool = False, problem: str = "", version: int = 0) -> None:
        """Receive an instance of a series, and send it: these follow-ups are due then, by this configuration."""
        self._serial += 1
        data = patient(self._serial)
        path = ""
        if file:
            path, descriptor = self._writer.create()
            os.write(descriptor, data)
            os.close(descriptor)
        with self.database.write() as connection:
            record(
                connection,
                [
                    Received(
                        forward_node=NODE,
                        calling_ae_title="CALLER",
                        peer_host="127.0.0.1",
                        received_at=now_ms(),
                        transfer_syntax_uid=IMPLICIT,
                        header=Header(
                            sop_class_uid="1.2",
                            sop_instance_uid=f"1.2.{self._serial}",
                            study_instance_uid="1.2.3",
                            series_instance_uid=series,
                        ),
                        path=path,
                        dataset_offset=len(beginning()),
                        size=len(data),
                        destinations=("cloud",),
                        content=b"" if file else data,
                    )
                ],
            )
            claimed = leases.claim(connection, self.folder, NODE, "cloud", "deliverer", 1)
        [item] = claimed
        outgoing = Outgoing(
            path=item.instance.path,
            dataset_offset=0,
            size=1,
            sop_class_uid="1.2",
            sop_instance_uid=f"2.25.{self._serial}",
            study_instance_uid="2.25.3",
            series_instance_uid=f"2.25.{series}",
            transfer_syntax_uid=IMPLICIT,
        )
        due = tuple(Due(part=part, subject=outgoing.series_instance_uid, problem=problem) for part in parts)
        with self.database.write() as connection:
            removable = leases.settle(
                connection,
                "deliverer",
                [(item, Outcome(state=State.SENT, outgoing=outgoing, due=due))],
                version=version,
            )
        self.folder.remove(removable)

    def start(self) -> None:
        thread = threading.Thread(target=self.loop.run, args=(self.stop,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def end(self) -> None:
        self.stop.set()
        self.bell.ring()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "it does not end"
        self._writer.close()

    def rows(self, part: str | None = None) -> list[Any]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(follow_up).order_by(follow_up.c.id)).all()
        return [row for row in rows if part in (None, row.part)]

    def states(self, part: str | None = None) -> Counter[str]:
        return Counter(row.state for row in self.rows(part))

    def wait(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.rows()
            threading.Event().wait(0.01)

    def kept(self) -> int:
        """How many instances have their bytes still."""
        with self.database.read() as connection:
            small = connection.execute(sa.select(content.c.instance_id)).all()
            named = connection.execute(sa.select(instance.c.path).where(instance.c.path != "")).all()
        files = list(self.folder.files())
        assert len(named) <= len(files)
        return len(files) + len(small)


def beginning() -> bytes:
    return file_beginning(
        sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax_uid=IMPLICIT, calling_ae_title="CALLER"
    )


def patient(number: int) -> bytes:
    value = f"P{number:05}"
    return beginning() + struct.pack("<HHI", 0x0010, 0x0020, len(value)) + value.encode()


@contextmanager
def ended(made: Setting) -> Iterator[Setting]:
    try:
        yield made
    finally:
        for album in (made.one, made.two):
            for step in album.script:
                if isinstance(step, threading.Event):
                    step.set()
        made.end()
