"""Connections that break, stand still or never come about: nothing is taken for sent, and it is said why."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from scripted import (
    Cut,
    MakeInstances,
    MakePart,
    Say,
    ScriptedServer,
    Silence,
    as_json,
    item,
    listed,
    part10_of,
    stored_all,
)

from karnak_core.errors import Misconfigured, Unreachable
from karnak_core.model import Outgoing, Sent
from karnak_core.testing import free_port, run_raw_http
from karnak_plugins.stow_dest.stow import StoreOverHTTP


def trouble(part: StoreOverHTTP, outgoing: Outgoing) -> Unreachable:
    ((_, answer),) = part.send_batch([outgoing])
    assert type(answer) is Unreachable
    assert answer.reason.startswith("127.0.0.1:")
    assert answer.reason.isprintable()
    return answer


@pytest.mark.parametrize("after", [0, 1, 100, 500, None])
def test_a_connection_that_is_cut_is_unreachable(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, after: int | None
) -> None:
    (outgoing,) = make_instances()
    server.steps = [Cut(after=after)]
    part = make_part(server.url)
    assert "closed the connection without an answer" in trouble(part, outgoing).reason
    assert part.send(outgoing) == Sent()


@pytest.mark.parametrize("after", [0, 1_000_000])
def test_a_connection_that_is_cut_in_a_large_instance_is_unreachable(
    server: ScriptedServer, make_part: MakePart, tmp_path: Path, after: int
) -> None:
    outgoing = part10_of(tmp_path / "large", 60_000_000, "1.2.1")
    server.steps = [Cut(after=after)]
    trouble(make_part(server.url), outgoing)


@pytest.mark.parametrize("status", [200, 202, 409])
def test_half_an_answer_is_no_answer(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int
) -> None:
    (outgoing,) = make_instances()
    body = as_json(listed(stored=[item(outgoing.sop_instance_uid)]))
    for cut_after in (0, len(body) // 2, len(body) - 1):
        server.steps = [Say(status=status, body=body, cut_after=cut_after)]
        assert "in the middle of the answer" in trouble(make_part(server.url), outgoing).reason


def test_half_an_answer_that_is_an_error_is_that_error(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    server.steps = [Say(status=403, body=b"x" * 1000, cut_after=10)]
    ((_, answer),) = make_part(server.url).send_batch(make_instances())
    assert isinstance(answer, Misconfigured)


def test_a_server_that_is_silent_ends_after_the_time_limit(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    server.steps = [Silence()]
    started = time.monotonic()
    answer = trouble(make_part(server.url, timeout="0.5 s"), make_instances()[0])
    assert "no answer within 0.5 s after the request was sent" in answer.reason
    assert 0.4 < time.monotonic() - started < 30


def test_an_answer_that_dribbles_ends_after_twice_the_time_limit(
    dribbling: Callable[[], str], make_part: MakePart, make_instances: MakeInstances
) -> None:
    answer = trouble(make_part(f"{dribbling()}/studies", timeout="1 s"), make_instances()[0])
    assert "the answer does not come to an end within 2 s" in answer.reason


def test_instances_answered_before_keep_their_outcome_and_those_after_are_not_tried(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    # on a connection that was used before, the same is tried once more
    server.steps = [stored_all, Cut(), Cut()]
    instances = make_instances(6)
    answers = list(make_part(server.url, max_instances_per_request=2).send_batch(instances))
    assert [outgoing for outgoing, _ in answers] == instances[:4]
    assert [answer for _, answer in answers[:2]] == [Sent(), Sent()]
    assert all(type(answer) is Unreachable for _, answer in answers[2:])


def test_nobody_listens(make_part: MakePart, make_instances: MakeInstances) -> None:
    answer = trouble(make_part(f"http://127.0.0.1:{free_port()}"), make_instances()[0])
    assert answer.reason.endswith("no connection: Connection refused")


def test_a_host_that_does_not_exist(make_part: MakePart, make_instances: MakeInstances) -> None:
    ((_, answer),) = make_part("http://pacs.invalid").send_batch(make_instances())
    assert type(answer) is Unreachable
    assert answer.reason == "pacs.invalid:80: the host name is not known"


class SlowReader:
    """Accepts a connection, and reads ``size`` bytes every ``pause`` seconds, ``count`` times, then nothing."""

    def __init__(self, *, size: int, pause: float, count: int) -> None:
        self.read = 0
        #: it has read as often as it was to
        self.done = False
        self._how = (size, pause, count)
        self._stop = threading.Event()
        self._listening = socket.socket()
        # a small window, so that what is not read is not sent
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        size, pause, count = self._how
        with closing(self._listening.accept()[0]) as sock:
            for _ in range(count):
                self.read += len(sock.recv(size))
                self._stop.wait(pause)
            self.done = True
            self._stop.wait(60)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listening.close()


def test_time_limit_is_on_bytes_that_move_not_on_the_whole(make_part: MakePart, tmp_path: Path) -> None:
    outgoing = part10_of(tmp_path / "large", 30_000_000, "1.2.1")
    # longer than the limit as a whole, each pause far shorter
    with closing(SlowReader(size=500_000, pause=0.2, count=15)) as reader:
        answer = trouble(make_part(reader.url, timeout="2 s"), outgoing)
        assert reader.done
    assert "nothing moved for 2 s while the request was sent" in answer.reason
    assert reader.read > 20_000


@pytest.mark.parametrize("said", [b"220 mail ESMTP ready\r\n", b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00"])
def test_a_port_of_another_protocol_holds_the_destination(
    make_part: MakePart, make_instances: MakeInstances, said: bytes
) -> None:
    with run_raw_http(said) as port:
        ((_, answer),) = make_part(f"http://127.0.0.1:{port}").send_batch(make_instances())
    assert isinstance(answer, Misconfigured)
    assert "does not speak HTTP" in answer.reason
