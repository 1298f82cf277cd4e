"""Destinations in every kind of trouble: the outcome fits, the others keep their speed, all arrives in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from harness import LARGE, Gateway, Peer, eventually, send, uid

from karnak_core.database.tables import delivery
from karnak_core.dimse import rejections

MakeGateway = Callable[..., Gateway]
MakePeer = Callable[..., Peer]

COUNT = 40


def dicom(peer: Peer, name: str, **options: object) -> dict[str, object]:
    return {
        "name": name,
        "type": "dicom",
        "ae_title": "PACS",
        "hostname": "127.0.0.1",
        "port": peer.port,
        "retry_first": 0.5,
        "retry_longest": 1,
        **options,
    }


def most_attempts(gateway: Gateway, destination: str) -> list[int]:
    with gateway.ledger() as connection:
        return sorted(
            connection.execute(sa.select(delivery.c.attempts).where(delivery.c.destination == destination)).scalars()
        )


class Pair:
    """A gateway with a destination in trouble and one that is well, both of the same node."""

    def __init__(self, make_gateway: MakeGateway, make_peer: MakePeer, **options: Any) -> None:
        self.troubled = make_peer()
        self.well = make_peer()
        self.gateway = make_gateway(dicom(self.troubled, "troubled", **options), dicom(self.well, "well"))

    def start(self) -> None:
        self.gateway.start()

    def send_while_in_trouble(self) -> None:
        """Send; the destination that is well has everything at once, the other one has nothing."""
        started = time.monotonic()
        assert set(send(self.gateway.port, range(COUNT)).values()) == {0}
        eventually(lambda: len(self.well.taken) == COUNT, 60, "the other destination has everything")
        print(f"the other destination had everything after {time.monotonic() - started:.2f} s")
        assert not self.troubled.taken

    def wait_until_it_is(self, state: str) -> dict[str, Any]:
        eventually(lambda: self.gateway.destination("troubled")["state"] == state, 60, f"the destination is {state}")
        return self.gateway.destination("troubled")

    def everything_arrives(self, seconds: float = 60) -> None:
        self.gateway.wait_until_settled(seconds)
        assert set(self.troubled.taken) == set(self.well.taken) == {uid(number) for number in range(COUNT)}
        assert self.gateway.count("failed") == 0
        assert self.gateway.destination("troubled")["state"] == "ok"
        self.gateway.assert_balanced()


@pytest.fixture
def pair(make_gateway: MakeGateway, make_peer: MakePeer) -> Pair:
    """Two destinations."""
    return Pair(make_gateway, make_peer)


@pytest.mark.slow
def test_a_destination_that_is_down_for_a_while_gets_everything_when_it_is_back(pair: Pair) -> None:
    pair.troubled.down()
    pair.start()
    down_until = time.monotonic() + 5
    pair.send_while_in_trouble()
    found = pair.wait_until_it_is("unreachable")
    assert "refused" in found["reason"]
    assert found["pending"] == COUNT
    eventually(lambda: time.monotonic() >= down_until, 60, "5 s have passed")
    attempts = most_attempts(pair.gateway, "troubled")
    print("attempts while it was down:", attempts)
    # a few found out that it is down, and one at a time looks whether it is back; the others wait
    assert attempts[COUNT // 2] == 0
    pair.troubled.up()
    pair.everything_arrives()


@pytest.mark.slow
def test_a_destination_that_rejects_for_now_gets_everything_later(pair: Pair) -> None:
    pair.troubled.rejection = rejections.LOCAL_LIMIT_EXCEEDED
    pair.start()
    pair.send_while_in_trouble()
    found = pair.wait_until_it_is("unreachable")
    assert "limit" in found["reason"].lower()
    assert most_attempts(pair.gateway, "troubled")[COUNT // 2] == 0
    pair.troubled.rejection = None
    pair.everything_arrives()


@pytest.mark.slow
def test_a_destination_that_does_not_know_the_ae_title_is_held_and_costs_no_attempts(pair: Pair) -> None:
    pair.troubled.rejection = rejections.CALLED_AE_TITLE_NOT_RECOGNISED
    pair.start()
    pair.send_while_in_trouble()
    found = pair.wait_until_it_is("held")
    assert "called ae title not recognised" in found["reason"].lower()
    assert most_attempts(pair.gateway, "troubled")[-1] == 0
    pair.troubled.rejection = None
    pair.everything_arrives()


@pytest.mark.slow
def test_a_destination_that_aborts_midway_gets_everything(pair: Pair) -> None:
    pair.troubled.aborts = 5
    pair.start()
    assert set(send(pair.gateway.port, range(COUNT)).values()) == {0}
    pair.everything_arrives()
    assert pair.troubled.aborts == 0


@pytest.mark.slow
def test_a_destination_that_is_out_of_resources_gets_everything_when_it_has_some(pair: Pair) -> None:
    pair.troubled.status = 0xA700
    pair.start()
    pair.send_while_in_trouble()
    eventually(lambda: pair.troubled.offered.total() > 2 * COUNT, 60, "instances are offered again")
    (shown,) = {row["reason"] for row in pair.gateway.deliveries("--destination", "troubled", "--state", "pending")}
    assert "0xA700" in shown
    pair.troubled.status = 0
    pair.everything_arrives()


@pytest.mark.slow
def test_an_instance_that_is_refused_for_good_is_failed_at_once_and_kept_until_a_person_decides(pair: Pair) -> None:
    answers = {uid(3): 0xA900, uid(4): 0xC000, uid(5): 0x0122}
    pair.troubled.judge = lambda sop_instance_uid: answers.get(sop_instance_uid, 0)
    pair.start()
    assert set(send(pair.gateway.port, range(COUNT), instances=LARGE).values()) == {0}
    pair.gateway.wait_until_settled(60)
    failed = {row["sop_instance_uid"]: row for row in pair.gateway.deliveries("--state", "failed")}
    assert failed.keys() == answers.keys()
    for sop_instance_uid, status in answers.items():
        row = failed[sop_instance_uid]
        assert (row["destination"], row["attempts"]) == ("troubled", 1)
        assert f"0x{status:04X}" in row["reason"]
        assert pair.troubled.offered[sop_instance_uid] == 1
    assert len(pair.troubled.taken) == COUNT - 3
    eventually(lambda: len(pair.gateway.spool_files()) == 3, 60, "the files of those are kept, and no others")
    pair.troubled.judge = None
    pair.gateway.run("deliveries", "retry", "--state", "failed")
    pair.everything_arrives()
    eventually(lambda: not pair.gateway.spool_files(), 60, "their files are gone")


def test_a_duplicate_and_a_warning_count_as_delivered(pair: Pair) -> None:
    answers = {uid(0): 0x0111, uid(1): 0xB000, uid(2): 0xB007}
    pair.troubled.judge = lambda sop_instance_uid: answers.get(sop_instance_uid, 0)
    pair.start()
    send(pair.gateway.port, range(4))
    pair.gateway.wait_until_settled(60)
    states = {row["sop_instance_uid"]: row for row in pair.gateway.deliveries("--destination", "troubled")}
    assert [states[uid(n)]["state"] for n in range(4)] == ["duplicate", "sent", "sent", "sent"]
    assert ["0xB0" in states[uid(n)]["reason"] for n in range(1, 4)] == [True, True, False]
    pair.gateway.assert_balanced()


@pytest.mark.slow
def test_a_destination_that_does_not_answer_in_time_holds_up_nobody_and_gets_everything_later(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    pair = Pair(make_gateway, make_peer, response_timeout=2)
    pair.troubled.may_answer.clear()
    pair.start()
    pair.send_while_in_trouble()
    found = pair.wait_until_it_is("unreachable")
    assert "no response" in found["reason"]
    assert most_attempts(pair.gateway, "troubled")[COUNT // 2] == 0
    pair.troubled.may_answer.set()
    # what it has taken without an answer in time goes again: a retry, never a loss
    pair.gateway.wait_until_settled(60)
    assert set(pair.troubled.taken) == {uid(number) for number in range(COUNT)}
    assert pair.gateway.count("failed") == 0


@pytest.mark.slow
def test_one_instance_that_breaks_every_association_does_not_keep_the_others(pair: Pair) -> None:
    def judge(sop_instance_uid: str) -> int:
        if sop_instance_uid == uid(5):
            pair.troubled.cut()
        return 0

    pair.troubled.judge = judge
    pair.start()
    assert set(send(pair.gateway.port, range(COUNT)).values()) == {0}
    eventually(
        lambda: pair.gateway.count("sent", destination="troubled") >= COUNT - 1,
        60,
        lambda: f"all but one are sent, but {pair.gateway.picture()}",
    )
    pair.troubled.judge = None
    pair.gateway.wait_until_settled(60)


@pytest.mark.slow
def test_an_instance_whose_spool_file_is_missing_is_failed_and_no_other(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    peer.down()
    gateway = make_gateway(dicom(peer, "pacs", connections=1)).start()
    send(gateway.port, range(COUNT), instances=LARGE)
    eventually(lambda: gateway.destination("pacs")["state"] == "unreachable", 60, "unreachable")
    missing, short = gateway.deliveries()[10], gateway.deliveries()[20]
    for row, harm in ((missing, "remove"), (short, "cut")):
        with gateway.ledger() as connection:
            path = connection.execute(
                sa.text("SELECT path FROM instance WHERE sop_instance_uid = :uid"), {"uid": row["sop_instance_uid"]}
            ).scalar_one()
        file = gateway.data / "spool" / path
        if harm == "remove":
            file.unlink()
        else:
            with open(file, "r+b") as opened:
                opened.truncate(700)
    peer.up()
    gateway.wait_until_settled(60)
    failed = {row["sop_instance_uid"]: row["reason"] for row in gateway.deliveries("--state", "failed")}
    print(failed)
    assert set(failed) == {missing["sop_instance_uid"], short["sop_instance_uid"]}
    assert "missing" in failed[missing["sop_instance_uid"]]
    assert set(peer.taken) == {uid(number) for number in range(COUNT)} - set(failed)
    gateway.assert_balanced()
