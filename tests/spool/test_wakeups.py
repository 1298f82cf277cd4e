"""Wake-ups reach threads and processes, on both kinds of database."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from karnak_core.database import Database, open_database
from karnak_core.spool.wakeups import NotifyWakeups, SocketWakeups, Wakeups, open_wakeups, topic

SUBSCRIBER = """
import sys
from pathlib import Path
from karnak_core.database import open_database
from karnak_core.spool.wakeups import open_wakeups
url, data = sys.argv[1:]
wake = open_wakeups(open_database(url or None, Path(data)), Path(data))
wake.subscribe(lambda topic: print(topic, flush=True))
print("ready", flush=True)
sys.stdin.read()
"""


class Subscriber:
    """Keeps what it hears."""

    def __init__(self, wake: Wakeups) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        wake.subscribe(self.heard.put)

    def hears(self, publisher: Wakeups, name: str) -> bool:
        """Publish until it is heard: who has just begun to listen may have missed the first."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            publisher.publish([name])
            try:
                while self.heard.get(timeout=0.2) != name:
                    pass
            except queue.Empty:
                continue
            return True
        return False


def end(thread_name: str = "wakeups") -> None:
    """Wait until listening threads have ended."""
    for thread in threading.enumerate():
        if thread.name == thread_name:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def publisher(database: Database, tmp_path: Path) -> Iterator[Wakeups]:
    wake = open_wakeups(database, tmp_path)
    yield wake
    wake.close()
    end()


def test_the_means_fit_the_database(database: Database, publisher: Wakeups) -> None:
    assert isinstance(publisher, SocketWakeups if database.is_sqlite else NotifyWakeups)


def test_every_subscriber_hears_a_topic(database: Database, tmp_path: Path, publisher: Wakeups) -> None:
    wakes = [open_wakeups(database, tmp_path) for _ in range(3)]
    subscribers = [Subscriber(wake) for wake in wakes]
    for subscriber in subscribers:
        assert subscriber.hears(publisher, topic("NODE", "pacs"))
    for wake in wakes:
        wake.close()
    end()


def test_who_publishes_may_subscribe_too(publisher: Wakeups) -> None:
    assert Subscriber(publisher).hears(publisher, "NODE/pacs")


def test_many_topics_at_once_are_all_heard(publisher: Wakeups) -> None:
    subscriber = Subscriber(publisher)
    assert subscriber.hears(publisher, "begin")
    topics = {f"NODE/{n}" for n in range(200)}
    publisher.publish(topics)
    while topics:
        topics.discard(subscriber.heard.get(timeout=60))


def test_publishing_nothing_ends_no_subscription(publisher: Wakeups) -> None:
    """A group of instances that are all excluded, DICOMDIRs say, wakes nobody: and must not make anybody deaf."""
    subscriber = Subscriber(publisher)
    assert subscriber.hears(publisher, "before")
    publisher.publish(set())
    publisher.publish([])
    assert subscriber.hears(publisher, "after")


def test_a_subscriber_in_another_process_hears_and_a_killed_one_disturbs_nobody(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, publisher: Wakeups
) -> None:
    url = "" if database.is_sqlite else request.getfixturevalue("emptied_postgresql_url")
    process = subprocess.Popen(
        [sys.executable, "-c", SUBSCRIBER, url, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    heard: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            heard.put(line.strip())

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 60
    while True:
        publisher.publish(["NODE/pacs"])
        try:
            assert heard.get(timeout=0.2) == "NODE/pacs"
            break
        except queue.Empty:
            assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    reader.join(60)
    process.stdout.close()
    assert process.stdin
    process.stdin.close()
    assert Subscriber(publisher).hears(publisher, "NODE/other")
    if database.is_sqlite:
        # the dead one's socket is gone, ours is there
        assert len(os.listdir(tmp_path / "wake")) == 1


def test_a_long_data_directory_is_no_problem(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    assert len(str(folder)) > 200
    with closing(SocketWakeups(folder / "wake")) as wake:
        assert Subscriber(wake).hears(wake, "NODE/pacs")
    end()


def test_a_subscriber_that_does_not_read_blocks_no_publisher(tmp_path: Path) -> None:
    with (
        closing(SocketWakeups(tmp_path / "wake")) as wake,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
    ):
        here = os.open(tmp_path / "wake", os.O_RDONLY)
        deaf.bind(f"/proc/self/fd/{here}/deaf")
        os.close(here)
        started = time.monotonic()
        for _ in range(2000):
            wake.publish(["NODE/pacs"])
        assert time.monotonic() - started < 60
        assert (tmp_path / "wake" / "deaf").exists()
        assert Subscriber(wake).hears(wake, "NODE/other")
    end()


def test_closing_ends_the_thread_and_removes_the_socket(tmp_path: Path) -> None:
    wake = SocketWakeups(tmp_path / "wake")
    subscriber = Subscriber(wake)
    assert subscriber.hears(wake, "x")
    wake.close()
    end()
    assert os.listdir(tmp_path / "wake") == []
    # late publishers and a second close are fine
    wake.publish(["y"])
    wake.close()


def test_closing_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        wake = SocketWakeups(tmp_path / "wake")
        assert Subscriber(wake).hears(wake, "x")
        wake.close()
        end()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_callback_that_raises_does_not_end_the_subscription(publisher: Wakeups) -> None:
    heard: queue.Queue[str] = queue.Queue()

    def callback(name: str) -> None:
        if name == "bad":
            raise RuntimeError("cannot")
        heard.put(name)

    publisher.subscribe(callback)
    deadline = time.monotonic() + 60
    for name in ("good", "bad", "good"):
        while time.monotonic() < deadline:
            publisher.publish([name])
            try:
                heard.get(timeout=0.2)
                break
            except queue.Empty:
                if name == "bad":
                    break
        else:
            pytest.fail("not heard")


def test_a_broken_database_connection_is_opened_again(postgresql_url: str, tmp_path: Path) -> None:
    database = open_database(postgresql_url, tmp_path)
    wake = open_wakeups(database, tmp_path)
    subscriber = Subscriber(wake)
    assert subscriber.hears(wake, "before")
    with database.read() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert subscriber.hears(wake, "after")
    wake.close()
    end()
    database.close()


def test_publishing_without_a_database_raises_nothing() -> None:
    engine = sa.create_engine("postgresql+psycopg://karnak@/nothing?host=/nowhere")
    NotifyWakeups(engine).publish(["x"])
    engine.dispose()
