"""What follows deliveries is done once, in its own time; whatever fails is tried again, and nothing is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from scripted_follow_ups import Options, Setting
from sqlalchemy.exc import OperationalError

from karnak_core.database import Database
from karnak_core.database.tables import instance
from karnak_core.errors import Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.monitor import follow_ups as follow_ups_module
from karnak_core.monitor.follow_up_part import AT_ONCE
from karnak_core.spool import follow_ups as follow_ups_table
from karnak_core.spool import leases, processes, retention


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


def test_follow_up_without_a_name_that_was_removed_is_not_taken_for_the_one_that_is_left(setting: Setting) -> None:
    setting.configure({"type": "one"}, {"type": "one", "speed": 2})
    setting.follow()
    removed, _ = (one.key for one in setting.following.configuration.forward_nodes[0].destinations[0].follow_ups)
    setting.loop.look(setting.stop)
    setting.send("1", removed)
    setting.configure({"type": "one", "speed": 2})
    setting.follow()
    setting.start()
    setting.wait(lambda: setting.states() == {"failed": 1})
    assert setting.rows()[0].reason == "was removed from the configuration"
    assert setting.one.calls == []


def test_very_much_that_waits_for_what_was_removed_fails_in_pieces(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_ups_table, "CHUNK", 2)
    for number in range(5):
        setting.send(str(number), "one")
    setting.configure({"type": "two", "name": "two"})
    setting.follow()
    setting.start()
    setting.wait(lambda: setting.states() == {"failed": 5})


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
        thread.join(60)
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
            raise OperationalError("COMMIT", None, Exception("server closed the connection"))


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
