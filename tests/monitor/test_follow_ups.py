"""What follows deliveries is done once, in its own time; whatever fails is tried again, and nothing is forgotten."""

from __future__ import annotations

import dataclasses
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from pydicom import Dataset

from karnak_core.config import store
from karnak_core.config.load import load as load_configuration
from karnak_core.database import Database, open_database
from karnak_core.database.secrets import open_vault
from karnak_core.database.tables import content, follow_up, instance
from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.kinds import Kind
from karnak_core.model import Due, Header, OpenContext, Outcome, Outgoing, State, now_ms
from karnak_core.monitor import follow_ups as follow_ups_module
from karnak_core.monitor.follow_up_part import AT_ONCE
from karnak_core.monitor.follow_ups import FollowUps
from karnak_core.part10 import file_beginning
from karnak_core.plugins import load
from karnak_core.spool import leases, processes, retention
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
                assert step.wait(20)
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

    def send(self, series: str, *parts: str, file: bool = False, problem: str = "") -> None:
        """Receive an instance of a series, and send it: these follow-ups are due then."""
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
                connection, "deliverer", [(item, Outcome(state=State.SENT, outgoing=outgoing, due=due))]
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
            thread.join(20)
            assert not thread.is_alive(), "it does not end"
        self._writer.close()

    def rows(self, part: str | None = None) -> list[Any]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(follow_up).order_by(follow_up.c.id)).all()
        return [row for row in rows if part in (None, row.part)]

    def states(self, part: str | None = None) -> Counter[str]:
        return Counter(row.state for row in self.rows(part))

    def wait(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
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


@pytest.fixture
def setting(spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[Setting]:
    with closing(open_database(None, tmp_path)) as opened, ended(Setting(opened, spool_folder, tmp_path)) as made:
        yield made


@pytest.fixture
def anywhere(database: Database, spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[Setting]:
    """The same, with a ledger of each kind."""
    with ended(Setting(database, spool_folder, tmp_path)) as made:
        yield made


@pytest.mark.parametrize("file", [False, True])
def test_series_is_done_once_with_what_was_sent_and_the_original_and_then_nothing_is_kept(
    anywhere: Setting, file: bool
) -> None:
    anywhere.send("1", "one", "two", file=file)
    anywhere.send("1", "one", "two", file=file)
    assert anywhere.kept() == 1  # only the first of the series is needed
    anywhere.start()
    anywhere.wait(lambda: anywhere.states() == {"done": 2})
    assert anywhere.one.calls == anywhere.two.calls == [("2.25.3", "2.25.1", "P00001")]
    assert [row.reason for row in anywhere.rows()] == ["shared", "shared"]
    anywhere.wait(lambda: anywhere.kept() == 0)
    anywhere.send("1", "one", "two", file=file)
    anywhere.send("2", "one", file=file)
    anywhere.bell.ring()
    anywhere.wait(lambda: anywhere.states() == {"done": 3})
    assert len(anywhere.one.calls) == 2


@pytest.mark.parametrize("file", [False, True])
def test_subject_is_free_for_a_later_instance_when_nothing_is_to_be_done_for_the_first(
    anywhere: Setting, file: bool
) -> None:
    anywhere.one.not_for = {"P00001"}
    anywhere.send("1", "one", file=file)
    anywhere.start()
    anywhere.wait(lambda: len(anywhere.one.calls) == 1 and not anywhere.rows())
    anywhere.wait(lambda: anywhere.kept() == 0)
    anywhere.send("1", "one", file=file)
    anywhere.bell.ring()
    anywhere.wait(lambda: anywhere.states() == {"done": 1})
    assert [call[2] for call in anywhere.one.calls] == ["P00001", "P00002"]
    assert [row.reason for row in anywhere.rows()] == ["shared"]


def test_what_fails_for_now_is_tried_again_and_the_instance_is_kept_until_then(anywhere: Setting) -> None:
    anywhere.one.script = [Retryable("busy"), ValueError("a bug"), Unreachable("away"), Misconfigured("who are you?")]
    anywhere.send("1", "one")
    anywhere.start()
    anywhere.wait(lambda: anywhere.one.script == [] and anywhere.states() == {"done": 1})
    [row] = anywhere.rows()
    assert row.attempts == 4  # what is misconfigured costs none
    anywhere.wait(lambda: anywhere.kept() == 0)


def test_what_fails_for_good_is_kept_for_a_person(setting: Setting) -> None:
    setting.one.script = [Permanent("no such album")]
    setting.send("1", "one")
    setting.start()
    setting.wait(lambda: setting.states() == {"failed": 1})
    [row] = setting.rows()
    assert (row.reason, row.lease_owner) == ("no such album", None)
    assert setting.kept() == 1


def test_what_does_not_work_for_too_long_is_given_up(setting: Setting) -> None:
    setting.configure({"type": "one", "name": "one"}, retry_for=0)
    setting.follow()
    setting.one.script = [Retryable("busy")] * 100
    setting.send("1", "one")
    setting.start()
    setting.wait(lambda: setting.states() == {"failed": 1})
    assert setting.rows()[0].reason == "given up: busy"


def test_album_that_hangs_holds_up_itself_only(anywhere: Setting) -> None:
    hanging = [threading.Event() for _ in range(AT_ONCE)]
    anywhere.one.script = list(hanging)
    for number in range(10):
        anywhere.send(str(number), "one", "two")
    anywhere.start()
    anywhere.wait(lambda: anywhere.states("two") == {"done": 10})
    assert anywhere.states("one") == {"leased": AT_ONCE, "pending": 10 - AT_ONCE}
    assert anywhere.one.most_at_once == AT_ONCE
    for event in hanging:
        event.set()
    anywhere.wait(lambda: anywhere.states("one") == {"done": 10})
    assert len(anywhere.one.calls) == 10


def test_all_of_an_album_goes_on_when_it_is_back(setting: Setting) -> None:
    setting.configure({"type": "one", "name": "one"}, retry_first=60, retry_longest=60)
    setting.follow()
    setting.one.script = [Unreachable("away")] * 3
    for number in range(3):
        setting.send(str(number), "one")
    setting.start()
    setting.wait(lambda: setting.one.script == [])
    setting.send("4", "one")
    setting.bell.ring()
    # what waits for its next attempt does not wait out its minute
    setting.wait(lambda: setting.states() == {"done": 4})


def test_changed_settings_are_tried_at_once(setting: Setting) -> None:
    setting.configure({"type": "one", "name": "one"}, retry_first=60, retry_longest=60)
    setting.follow()
    setting.one.script = [Misconfigured("who are you?")]
    setting.send("1", "one")
    setting.start()
    setting.wait(lambda: setting.rows()[0].reason == "who are you?")
    setting.configure({"type": "one", "name": "one", "speed": 2}, retry_first=60, retry_longest=60)
    setting.follow()
    setting.wait(lambda: setting.states() == {"done": 1})
    assert setting.one.opened == [Options(), Options(speed=2)]
    assert setting.one.closed == 1


@pytest.mark.parametrize("how", ["paused", "disabled"])
def test_destination_that_is_not_to_be_sent_to_is_not_followed_up(setting: Setting, how: str) -> None:
    every = {"type": "one", "name": "one"}
    setting.configure(every, **({"paused": True} if how == "paused" else {"enabled": False}))
    setting.follow()
    setting.send("1", "one")
    setting.loop.look(setting.stop)
    assert setting.states() == {"pending": 1}
    setting.start()
    setting.configure(every)
    setting.follow()
    setting.wait(lambda: setting.states() == {"done": 1})


def test_what_was_removed_from_the_configuration_fails_and_is_kept(setting: Setting) -> None:
    setting.send("1", "one")
    setting.configure({"type": "two", "name": "two"})
    setting.follow()
    setting.start()
    setting.wait(lambda: setting.states() == {"failed": 1})
    assert setting.rows()[0].reason == "was removed from the configuration"
    assert setting.kept() == 1


def test_follow_up_without_a_name_whose_keys_were_changed_goes_on_with_what_waits(setting: Setting) -> None:
    setting.configure({"type": "one"})
    setting.follow()
    destination = setting.following.configuration.forward_nodes[0].destinations[0]
    before = destination.follow_ups[0].key
    setting.send("1", before)
    setting.configure({"type": "one", "speed": 2})
    setting.follow()
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 1})
    assert setting.rows()[0].part != before


def test_newer_follow_up_that_this_process_does_not_know_yet_is_no_removed_one(setting: Setting) -> None:
    setting.configure({"type": "one", "name": "new"})
    setting.send("1", "new")
    setting.loop.look(setting.stop)
    setting.loop.look(setting.stop)
    setting.wait(lambda: setting.states() == {"done": 1})


def test_what_a_process_had_when_it_died_is_done_by_another_one(anywhere: Setting) -> None:
    hanging = threading.Event()
    anywhere.one.script = [hanging]
    anywhere.send("1", "one", file=True)
    anywhere.start()
    anywhere.wait(lambda: anywhere.one.calls)
    with anywhere.database.write() as connection:
        processes.release_node(connection, "here")
    other = anywhere.make_loop("other")
    stop = threading.Event()
    thread = threading.Thread(target=other.run, args=(stop,))
    thread.start()
    try:
        anywhere.wait(lambda: anywhere.states() == {"done": 1})
        [row] = anywhere.rows()
        hanging.set()  # too late: it has lost its lease
        anywhere.wait(lambda: anywhere.one.at_once == 0)
    finally:
        stop.set()
        anywhere.bell.ring()
        thread.join(20)
    assert anywhere.rows() == [row]
    assert len(anywhere.one.calls) == 2
    assert anywhere.kept() == 0


def test_nothing_more_is_begun_after_the_end_and_what_is_left_waits(setting: Setting) -> None:
    for number in range(20):
        setting.send(str(number), "one")
    hanging = [threading.Event() for _ in range(AT_ONCE)]
    setting.one.script = list(hanging)
    setting.start()
    setting.wait(lambda: setting.one.at_once == AT_ONCE)
    setting.stop.set()
    for event in hanging:
        event.set()
    setting.end()
    assert setting.states() == {"done": AT_ONCE, "pending": 20 - AT_ONCE}


def test_what_hangs_does_not_hold_up_the_end(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_ups_module, "END_SECONDS", 0.05)
    hanging = threading.Event()
    setting.one.script = [hanging]
    setting.send("1", "one")
    setting.start()
    setting.wait(lambda: setting.one.calls)
    setting.end()
    with setting.database.write() as connection:
        leases.release(connection, ["me"])
    hanging.set()
    setting.wait(lambda: setting.one.at_once == 0)
    assert [(row.state, row.lease_owner) for row in setting.rows()] == [("pending", None)]


class Unsure:
    """A ledger whose connection breaks right after it has leased something."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.breaks = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        with self._database.write(durable=durable) as connection:
            yield connection
        if not durable and self.breaks:
            self.breaks = False
            raise sa.exc.OperationalError("COMMIT", None, Exception("server closed the connection"))


def test_what_was_leased_without_our_knowing_is_given_back(setting: Setting) -> None:
    unsure: Any = Unsure(setting.database)
    setting.database = unsure
    setting.loop = setting.make_loop("unsure")
    setting.send("1", "one")
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 1})
    assert not unsure.breaks
    assert len(setting.one.calls) == 1


def test_instance_whose_delivery_is_forgotten_goes_with_what_followed_it(setting: Setting) -> None:
    setting.send("1", "one", file=True)
    assert retention.forget_finished(setting.database, days=0, at_most=0) == 1
    assert setting.kept() == 1
    setting.start()
    setting.wait(lambda: setting.states() == {"done": 1} and setting.kept() == 0)
    with setting.database.read() as connection:
        assert connection.execute(sa.select(instance)).all() == []


def test_instance_with_what_could_not_be_decided_is_kept(setting: Setting) -> None:
    setting.send("1", "one", problem="cannot be decided")
    setting.loop.look(setting.stop)
    assert [(row.state, row.reason) for row in setting.rows()] == [("failed", "cannot be decided")]
    assert setting.kept() == 1
    assert setting.one.calls == []
