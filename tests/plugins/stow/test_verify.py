"""``verify: true``: where the server does not say whether it has an instance, it is asked by QIDO-RS."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted import Cut, MakeInstances, MakePart, Request, Say, ScriptedServer, as_json, as_xml, item, listed

from karnak_core.errors import Retryable, Unreachable
from karnak_core.model import Sent


def found(*uids: str, xml: bool = False) -> Say:
    """Answer a query."""
    data_sets = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]
    if xml:
        return Say(body=as_xml(data_sets[0]), type="application/dicom+xml")
    return Say(body=b"[" + b",".join(map(as_json, data_sets)) + b"]")


@pytest.mark.parametrize("xml", [False, True])
def test_an_instance_that_is_found_is_sent(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, xml: bool
) -> None:
    (outgoing,) = make_instances()
    server.steps = [Say(status=200), found(outgoing.sop_instance_uid, xml=xml)]
    assert make_part(server.url, verify=True).send(outgoing) == Sent(warning="confirmed by QIDO-RS")
    asked = server.requests[1]
    study, series = outgoing.study_instance_uid, outgoing.series_instance_uid
    assert (asked.method, asked.path) == ("GET", f"/dicom-web/studies/{study}/series/{series}/instances")
    assert asked.query == {"SOPInstanceUID": [outgoing.sop_instance_uid]}


def test_it_is_found_without_study_and_series_too(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    (outgoing,) = make_instances()
    part = make_part(server.url, verify=True)
    for study, path in (("", "/dicom-web/instances"), ("1.2", "/dicom-web/studies/1.2/instances")):
        server.steps = [Say(status=200), found(outgoing.sop_instance_uid)]
        part.send(replace(outgoing, study_instance_uid=study, series_instance_uid=""))
        assert server.requests[-1].path == path


@pytest.mark.parametrize(
    "answer", [Say(status=204), Say(status=404), found(), found("1.2.3"), Say(body=b"<html>"), Say(body=b"")]
)
@pytest.mark.parametrize("status", [200, 409])
def test_an_instance_that_is_not_found_is_tried_again(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, answer: Say, status: int
) -> None:
    server.steps = [Say(status=status), answer]
    with pytest.raises(Retryable, match="QIDO-RS does not find the instance") as caught:
        make_part(server.url, verify=True).send(make_instances()[0])
    assert type(caught.value) is Retryable


def test_a_conflict_that_is_confirmed_is_a_duplicate(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    (outgoing,) = make_instances()
    server.steps = [Say(status=409), found(outgoing.sop_instance_uid)]
    assert make_part(server.url, verify=True).send(outgoing) == Sent(duplicate=True, warning="confirmed by QIDO-RS")


def test_only_those_are_asked_about_that_the_answer_leaves_out(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    one, two, three = make_instances(3)
    server.steps = [
        Say(body=as_json(listed(stored=[item(one.sop_instance_uid)]))),
        found(),
        found(three.sop_instance_uid),
    ]
    answers = {
        id(outgoing): answer for outgoing, answer in make_part(server.url, verify=True).send_batch([one, two, three])
    }
    assert answers[id(one)] == Sent()
    assert type(answers[id(two)]) is Retryable
    assert answers[id(three)] == Sent(warning="confirmed by QIDO-RS")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 500, 501])
def test_a_server_that_does_not_answer_queries_says_so(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, status: int
) -> None:
    server.steps = [Say(status=200), Say(status=status)]
    with pytest.raises(Retryable, match=f"QIDO-RS is answered with HTTP {status}"):
        make_part(server.url, verify=True).send(make_instances()[0])


def test_what_arrived_before_the_connection_broke_is_not_sent_again(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    instances = make_instances(4)
    there = {outgoing.sop_instance_uid for outgoing in instances[:2]}

    def query(request: Request) -> Say:
        (uid,) = request.query["SOPInstanceUID"]
        return found(uid) if uid in there else found()

    server.steps = [Cut(), query, query, query, query]
    answers = list(make_part(server.url, verify=True).send_batch(instances))
    assert [answer for _, answer in answers[:2]] == [Sent(warning="confirmed by QIDO-RS")] * 2
    assert [type(answer) for _, answer in answers[2:]] == [Unreachable] * 2
    assert [outgoing for outgoing, _ in answers] == instances


def test_a_connection_that_broke_on_use_is_not_simply_used_again(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    one, two = make_instances(2)
    part = make_part(server.url, verify=True)
    part.send(one)
    server.steps = [Cut(), found(two.sop_instance_uid)]
    assert part.send(two) == Sent(warning="confirmed by QIDO-RS")
    assert [request.method for request in server.requests] == ["POST", "POST", "GET"]
