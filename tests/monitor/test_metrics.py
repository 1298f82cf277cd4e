"""Metrics and health: numbers of the ledger by HTTP, whoever asks and however."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from karnak_core.config.afterwards import FollowUp
from karnak_core.config.models import ClinicalLog, Configuration, Destination, ForwardNode, Monitoring, Storage
from karnak_core.config.parts import Model
from karnak_core.database import Database
from karnak_core.database.tables import follow_up, notification, process
from karnak_core.errors import KarnakError
from karnak_core.model import Header, OpenContext, Outcome, Outgoing, State, now_ms
from karnak_core.monitor.endpoint import Endpoint
from karnak_core.monitor.small_http import AT_ONCE, Answer, SmallServer
from karnak_core.spool import expiring, health, leases
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.record import Received, record
from karnak_core.testing import make_file, run_gateway, send, wait_until
from karnak_core.testing.ledger import open_empty

PATIENT = "Secret^Person"
LABELS = ("forward_node", "destination", "part", "state", "of", "role", "version")


@dataclass
class Follows:
    """A configuration that applies."""

    configuration: Configuration

    @property
    def current(self) -> tuple[int, Configuration]:
        return 7, self.configuration


@dataclass
class Token:
    """An authenticator that knows when its token expires."""

    at: int | None

    def expires_at(self) -> int | None:
        if self.at is None:
            raise ValueError(PATIENT)
        return self.at


@dataclass
class Contexts:
    authenticators: dict[str, Any] = field(default_factory=dict)

    def of(self, configuration: Any, forward_node: str, destination: str, kind: Any = None) -> OpenContext:
        return OpenContext(data_directory=Path(), authenticators=self.authenticators)


class Site:
    """An endpoint on a ledger of its own."""

    def __init__(self, data: Path, database: Database) -> None:
        self.data = data
        self.database = database
        self.folder = SpoolFolder(data / "spool")
        (data / "node-id").write_text("here\n")
        self.follows = Follows(Configuration(monitoring=Monitoring(port=0), storage=Storage(reserve=0)))
        self.contexts = Contexts()
        follows: Any = self.follows
        self.endpoint = Endpoint(database, self.folder, follows, self.contexts, data)

    def get(self, path: str, **options: Any) -> requests.Response:
        assert self.endpoint.listening.wait(60)
        return requests.get(f"http://127.0.0.1:{self.endpoint.port}{path}", timeout=60, **options)

    def metrics(self) -> dict[tuple[str, tuple[str, ...]], float]:
        answer = self.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {
            (sample.name, tuple(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def receive(self, number: int, destination: str = "pacs", ago: int = 0) -> None:
        received = Received(
            forward_node="FORWARD",
            calling_ae_title="CT1",
            peer_host="10.1.2.3",
            received_at=now_ms() - ago,
            transfer_syntax_uid="1.2.840.10008.1.2",
            header=Header(
                sop_class_uid="1.2",
                sop_instance_uid=f"2.25.{number}",
                study_instance_uid="2.25.77777",
                series_instance_uid="2.25.88888",
                facts={"PatientName": PATIENT},
            ),
            path="",
            dataset_offset=132,
            size=100,
            destinations=(destination,),
            content=b"x" * 100,
        )
        with self.database.write() as connection:
            record(connection, [received])

    def settle(self, outcome: Outcome, destination: str = "pacs") -> None:
        with self.database.write() as connection:
            (item,) = leases.claim(connection, self.folder, "FORWARD", destination, "o", 1)
            leases.settle(connection, "o", [(item, outcome)])
        assert item.held is not None
        item.held.close()

    def lives(self, role: str, node: str = "here", seen_at: int | None = None) -> None:
        with self.database.write() as connection:
            connection.execute(
                sa.insert(process).values(
                    owner=f"{role} {node}", node=node, role=role, pid=1, seen_at=seen_at or now_ms()
                )
            )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with closing(open_empty(tmp_path)) as database:
        found = Site(tmp_path, database)
        stop = threading.Event()
        thread = threading.Thread(target=found.endpoint.run, args=(stop,))
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join(60)
        assert not thread.is_alive()


def test_numbers_are_those_of_the_ledger(site: Site) -> None:
    outgoing = Outgoing(
        path=Path(), dataset_offset=0, size=1, sop_class_uid="1.2", sop_instance_uid="2.25.1",
        study_instance_uid="2.25.1", series_instance_uid="2.25.1", transfer_syntax_uid="1.2",
    )  # fmt: skip
    for number in range(5):
        site.receive(number, ago=90_000 - number)
    site.settle(Outcome(state=State.SENT, outgoing=outgoing))
    site.settle(Outcome(state=State.EXCLUDED, reason="rule"))
    site.settle(Outcome(state=State.FAILED, reason="0xA900"))
    site.settle(Outcome(state=State.PENDING, reason="0xA700", not_before=now_ms() + 100_000))
    for _ in range(3):
        with site.database.write() as connection:
            health.note_failure(connection, "FORWARD", "pacs", "refused", misconfigured=False)
    pacs = {"name": "pacs", "type": "folder", "options": {}}
    site.follows.configuration = site.follows.configuration.model_copy(
        update={"forward_nodes": (ForwardNode.model_construct(ae_title="FORWARD", destinations=(_destination(pacs),)),)}
    )
    found = site.metrics()
    key = ("FORWARD", "pacs")
    assert found["karnak_instances_received_total", ("FORWARD",)] == 5
    for state, count in (("sent", 1), ("duplicate", 0), ("excluded", 1), ("discarded", 0)):
        assert found["karnak_deliveries_total", (*key, state)] == count
    assert found["karnak_deliveries_pending", key] == 2
    assert found["karnak_deliveries_failed", key] == 1
    assert 89 <= found["karnak_oldest_pending_seconds", key] < 120
    assert found["karnak_destination_state", (*key, "unreachable")] == 1
    assert found["karnak_destination_state", (*key, "ok")] == 0
    assert found["karnak_destination_failures", key] == 3
    assert found["karnak_open_delivery_attempts", key] == 2
    assert found["karnak_spool_bytes", ()] == 300
    assert found["karnak_free_bytes", ()] > 0
    assert found["karnak_configuration_version", ()] == 7


def _destination(values: dict[str, Any]) -> Any:
    from karnak_core.config.models import Destination

    return Destination.model_construct(enabled=True, paused=False, **values)


def test_nothing_identifies_a_patient_or_a_peer(site: Site) -> None:
    site.receive(1)
    site.settle(Outcome(state=State.FAILED, reason=f"the peer said {PATIENT}"))
    with site.database.write() as connection:
        connection.execute(
            sa.insert(follow_up).values(
                instance_id=1, delivery_id=1, forward_node="FORWARD", destination="pacs", part="album",
                subject="2.25.88888", state="failed", reason=PATIENT, not_before=1, created_at=1, sent={},
            )
        )  # fmt: skip
        connection.execute(
            sa.insert(notification).values(
                forward_node="FORWARD", destination="pacs", part="mail", study_instance_uid="2.25.77777",
                state="failed", reason=PATIENT, not_before=1, created_at=1, summary={},
            )
        )  # fmt: skip
    text = site.get("/metrics").text + site.get("/readyz").text
    assert 'karnak_notifications_open{destination="pacs",forward_node="FORWARD",part="mail",state="failed"} 1.0' in text
    assert 'karnak_follow_ups_open{destination="pacs",forward_node="FORWARD",part="album",state="failed"} 1.0' in text
    for word in (PATIENT, "Secret", "2.25.", "10.1.2.3", "CT1"):
        assert word not in text


def test_when_tokens_expire_is_told_where_it_is_known(site: Site) -> None:
    at = int(datetime(2030, 1, 1, tzinfo=UTC).timestamp())
    site.contexts.authenticators = {"archive": Token(at * 1000), "broken": Token(None), "other": object()}
    album = FollowUp(name="album", type="album", options=Model())
    cloud = Destination(name="cloud", type="stow", options=Model(), follow_ups=(album,))
    node = ForwardNode(ae_title="FORWARD", destinations=(cloud,))
    site.follows.configuration = site.follows.configuration.model_copy(update={"forward_nodes": (node,)})
    with site.database.write() as connection:
        told: dict[str, int | None] = {"source token": 2_000_000_000_000}
        expiring.keep(connection, ("FORWARD", "cloud", "album"), album.secrets_digest, told)
        # as it was before another token was configured, and of another follow-up
        expiring.keep(connection, ("FORWARD", "cloud", "album"), "before", {"destination token": 1})
        expiring.keep(connection, ("FORWARD", "cloud", "removed"), album.secrets_digest, told)
    found = {key: value for key, value in site.metrics().items() if key[0].startswith("karnak_token")}
    name = "karnak_token_expiry_timestamp_seconds"
    assert found == {
        (name, ("archive",)): at,
        (name, ("FORWARD/cloud album: source token",)): 2e9,
    }


def test_it_is_ready_when_receiver_and_deliverers_live_and_there_is_room(site: Site) -> None:
    assert site.get("/healthz").json() == {"alive": True}
    answer = site.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "reasons": [f"no process with the role {role!r} says that it lives" for role in ("receive", "deliver")],
    }
    site.lives("receive", node="another machine")
    site.lives("receive", seen_at=now_ms() - 100_000)
    site.lives("deliver")
    wait_until(lambda: len(site.get("/readyz").json()["reasons"]) == 1)
    with site.database.write() as connection:
        connection.execute(sa.update(process).values(seen_at=now_ms()))
    wait_until(lambda: site.get("/readyz").json() == {"ready": True, "reasons": []})
    assert site.get("/readyz").status_code == 200
    site.follows.configuration = site.follows.configuration.model_copy(update={"storage": Storage(reserve=1 << 60)})
    wait_until(lambda: site.get("/readyz").status_code == 503)
    assert "storage.reserve" in site.get("/readyz").json()["reasons"][0]


def test_a_ledger_that_is_gone_is_a_reason(site: Site) -> None:
    with site.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE process")
        connection.exec_driver_sql("DROP TABLE tally")
    assert site.get("/readyz").json()["reasons"] == ["the ledger cannot be used: OperationalError"]
    answer = site.get("/metrics")
    assert (answer.status_code, answer.text) == (503, "the ledger cannot be used: OperationalError\n")
    assert site.get("/healthz").status_code == 200


def test_it_only_answers_what_it_has_and_changes_nothing(site: Site) -> None:
    assert site.get("/").text.splitlines() == ["/metrics", "/healthz", "/readyz"]
    assert site.get("/nothing?x=1").status_code == 404
    assert site.get("/healthz?x=1").status_code == 200
    url = f"http://127.0.0.1:{site.endpoint.port}/healthz"
    assert requests.post(url, data=b"x", timeout=60).status_code == 405
    head = requests.head(url, timeout=60)
    assert (head.status_code, head.text) == (200, "")
    with socket.create_connection(("127.0.0.1", site.endpoint.port), 60) as peer:
        peer.sendall(b"\x16\x03\x01 no http\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 400 ")


def test_it_moves_with_the_configuration_and_ends_with_it(site: Site) -> None:
    assert site.get("/healthz").status_code == 200
    site.follows.configuration = site.follows.configuration.model_copy(update={"monitoring": None})
    wait_until(lambda: not site.endpoint.listening.is_set())
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{site.endpoint.port}/healthz", timeout=2)
    site.follows.configuration = site.follows.configuration.model_copy(update={"monitoring": Monitoring(port=0)})
    assert site.get("/healthz").status_code == 200


def test_a_port_that_is_taken_is_an_error_that_names_it(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        follows: Any = Follows(Configuration(monitoring=Monitoring(port=port)))
        second = Endpoint(site.database, site.folder, follows, site.contexts, site.data)
        with pytest.raises(KarnakError, match=f"monitoring: cannot listen on 127.0.0.1:{port}: Address already in use"):
            second.run(threading.Event())


# ---- whoever connects --------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[SmallServer]:
    made = SmallServer("127.0.0.1", 0, lambda path: Answer(body=path.encode() * 1000), patience=3.0)
    stop = threading.Event()
    thread = threading.Thread(target=made.serve, args=(lambda: not stop.is_set(),))
    thread.start()
    yield made
    stop.set()
    thread.join(60)


def asked(server: SmallServer) -> int:
    return requests.get(f"http://127.0.0.1:{server.port}/x", timeout=60).status_code


def test_slow_clients_are_cut_off_and_hold_up_nobody(server: SmallServer) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)) for _ in range(10)]
        for peer in slow:
            peer.sendall(b"GET /x HTTP/1.1\r\n")
        assert asked(server) == 200
        for peer in slow:
            # the end comes while it is still sending, a byte now and then
            assert peer.recv(10) == b""
        assert asked(server) == 200


def test_many_silent_clients_keep_nobody_from_asking() -> None:
    made = SmallServer("127.0.0.1", 0, lambda path: Answer(body=path.encode()), patience=60.0)
    stop = threading.Event()
    thread = threading.Thread(target=made.serve, args=(lambda: not stop.is_set(),))
    thread.start()
    try:
        with ExitStack() as stack:
            for _ in range(AT_ONCE + 8):
                stack.enter_context(socket.create_connection(("127.0.0.1", made.port), 60))
            assert [asked(made) for _ in range(3)] == [200] * 3
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def test_more_clients_than_it_serves_are_closed_while_all_are_being_answered() -> None:
    answering, go_on = threading.Semaphore(0), threading.Event()

    def answer(path: str) -> Answer:
        answering.release()
        assert go_on.wait(60)
        return Answer(body=path.encode())

    made = SmallServer("127.0.0.1", 0, answer)
    stop = threading.Event()
    thread = threading.Thread(target=made.serve, args=(lambda: not stop.is_set(),))
    thread.start()
    try:
        with ExitStack() as stack:
            peers = [
                stack.enter_context(socket.create_connection(("127.0.0.1", made.port), 60)) for _ in range(AT_ONCE)
            ]
            for peer in peers:
                peer.sendall(b"GET /x HTTP/1.1\r\n\r\n")
                assert answering.acquire(timeout=60)
            with socket.create_connection(("127.0.0.1", made.port), 60) as one_more:
                assert one_more.recv(10) == b""
            go_on.set()
            assert all(peer.recv(100).startswith(b"HTTP/1.1 200 OK") for peer in peers)
    finally:
        go_on.set()
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def flood(peer: socket.socket) -> None:
    peer.sendall(b"GET /")
    for _ in range(10_000):
        peer.sendall(b"a" * 10_000)


def test_a_request_without_end_is_cut_off(server: SmallServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 60) as peer:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            flood(peer)
        assert asked(server) == 200


# ---- a whole gateway ---------------------------------------------------------------------------------------------


def test_a_gateway_serves_its_metrics_and_says_that_it_is_ready(tmp_path: Path) -> None:
    configuration = {
        "monitoring": {"port": 0},
        "forward_nodes": [
            {"ae_title": "FORWARD", "destinations": [{"name": "local", "type": "folder", "directory": "received"}]}
        ],
    }
    with run_gateway(configuration, tmp_path / "data") as gateway:
        assert send(gateway.port, [make_file(tmp_path)], called="FORWARD") == [0]
        gateway.wait_until_settled(1)
        url = f"http://127.0.0.1:{gateway.wait_until(lambda: _told_port(gateway.log))}"
        gateway.wait_until(lambda: requests.get(f"{url}/readyz", timeout=60).status_code == 200)
        sent = 'karnak_deliveries_total{destination="local",forward_node="FORWARD",state="sent"} 1.0'
        gateway.wait_until(lambda: sent in requests.get(f"{url}/metrics", timeout=60).text)
        monitor = 'karnak_processes{role="monitor"} 1.0'
        gateway.wait_until(lambda: monitor in requests.get(f"{url}/metrics", timeout=60).text)


def _told_port(log: Path) -> int | None:
    for line in log.read_text(errors="replace").splitlines():
        if "metrics and health at" in line:
            told = json.loads(line)["event"]
            return int(told.split("/metrics")[0].rsplit(":", 1)[1])
    return None


def test_the_sections_are_off_unless_written() -> None:
    assert Configuration().monitoring is None
    assert Configuration().clinical_log is None
    assert Monitoring().host == "127.0.0.1"
    assert ClinicalLog(file="x").backups == 10
