"""Requests that are refused as a whole are sent again in parts: one instance does not fail the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import (
    MakeInstances,
    MakePart,
    Request,
    Say,
    ScriptedServer,
    as_json,
    item,
    listed,
    part10_of,
    stored_all,
)

from karnak_core.errors import Permanent, Retryable
from karnak_core.model import Sent


def refuse(status: int, when: Callable[[Request], bool]) -> Callable[[Request], Say]:
    """Answer with a status where something holds, else that all was stored."""
    return lambda request: Say(status=status) if when(request) else stored_all(request)


@pytest.mark.parametrize(("status", "kind"), [(400, Permanent), (415, Permanent), (422, Permanent), (500, Retryable)])
def test_one_bad_instance_is_found_among_many(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int, kind: type
) -> None:
    instances = make_instances(16)
    bad = instances[11]
    server.steps = [refuse(status, lambda request: bad.sop_instance_uid in request.uids)] * 40
    answers = {id(outgoing): answer for outgoing, answer in make_part(server.url).send_batch(instances)}
    assert type(answers.pop(id(bad))) is kind
    assert list(answers.values()) == [Sent()] * 15
    assert len(server.requests) == 9


@pytest.mark.parametrize(("status", "kind"), [(400, Permanent), (415, Permanent), (422, Permanent)])
def test_many_bad_instances_take_no_good_one_with_them(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int, kind: type
) -> None:
    instances = make_instances(20)
    bad = {outgoing.sop_instance_uid for outgoing in instances[:9]}
    server.steps = [refuse(status, lambda request: bool(bad & set(request.uids)))] * 100
    answers = {id(outgoing): answer for outgoing, answer in make_part(server.url).send_batch(instances)}
    assert [type(answers[id(outgoing)]) for outgoing in instances] == [kind] * 9 + [Sent] * 11


@pytest.mark.parametrize("status", [400, 413, 415, 422, 500])
def test_what_is_stored_of_a_request_that_is_refused_is_not_sent_again(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int
) -> None:
    instances = make_instances(10)
    bad = instances[3].sop_instance_uid

    def answer(request: Request) -> Say:
        stored = [item(uid) for uid in request.uids if uid != bad]
        failed = [item(bad, failure=0x0110)] if bad in request.uids else []
        return Say(status=status if failed else 200, body=as_json(listed(stored=stored, failed=failed)))

    server.steps = [answer, answer]
    answers = {id(outgoing): answer for outgoing, answer in make_part(server.url).send_batch(instances)}
    assert [len(request.files) for request in server.requests] == [10, 1]
    refused = answers.pop(id(instances[3]))
    assert type(refused) is (Retryable if status == 500 else Permanent)
    assert list(answers.values()) == [Sent()] * 9


def test_a_conflict_for_many_at_once_is_asked_for_each(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    there, new, other = instances = make_instances(3)
    server.steps = [refuse(409, lambda request: there.sop_instance_uid in request.uids)] * 9
    answers = {id(outgoing): answer for outgoing, answer in make_part(server.url).send_batch(instances)}
    assert answers[id(new)] == answers[id(other)] == Sent()
    duplicate = answers[id(there)]
    assert isinstance(duplicate, Sent)
    assert duplicate.duplicate


def test_a_server_with_an_error_for_everything_is_not_asked_for_each(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    server.steps = [Say(status=500)] * 200
    answers = list(make_part(server.url).send_batch(make_instances(50)))
    assert len(answers) == 50
    assert all(type(answer) is Retryable for _, answer in answers)
    assert len(server.requests) < 20


@pytest.mark.parametrize("status", [404, 405, 410, 502, 503, 504, 507, 408, 425])
def test_a_status_that_is_about_the_server_is_that_of_all(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int
) -> None:
    server.steps = [Say(status=status)]
    answers = list(make_part(server.url).send_batch(make_instances(20)))
    assert len(answers) == 20
    assert len(server.requests) == 1


def test_a_limit_on_the_size_of_requests_is_learnt(server: ScriptedServer, make_part: MakePart, tmp_path: Path) -> None:
    instances = [part10_of(tmp_path / str(number), 20_000, f"1.2.{number}") for number in range(40)]
    part = make_part(server.url, max_instances_per_request=20)
    server.steps = [refuse(413, lambda request: sum(map(len, request.files)) > 110_000)] * 100
    assert [answer for _, answer in part.send_batch(instances)] == [Sent()] * 40
    assert any("as the server refused larger ones" in words for words in [part.probe()])
    server.requests.clear()
    assert [answer for _, answer in part.send_batch(instances)] == [Sent()] * 40
    assert max(len(request.files) for request in server.requests) == 5
    assert len(server.requests) == 8


def test_an_instance_that_is_too_large_fails_and_the_others_arrive(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, tmp_path: Path
) -> None:
    small = make_instances(5)
    large = part10_of(tmp_path / "large", 2_000_000, "1.2.9")
    server.steps = [refuse(413, lambda request: sum(map(len, request.files)) > 1_000_000)] * 100
    answers = {id(outgoing): answer for outgoing, answer in make_part(server.url).send_batch([*small, large])}
    assert [answers[id(outgoing)] for outgoing in small] == [Sent()] * 5
    assert isinstance(answers[id(large)], Permanent)
