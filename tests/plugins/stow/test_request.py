"""What goes over the wire: RFC 2387, RFC 2046 and DICOM PS3.18 section 10.5, checked to the byte by the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scripted import Cut, MakeInstances, MakePart, Say, ScriptedServer, part10_of

from karnak_core.errors import Permanent
from karnak_core.model import Sent


def test_instances_of_one_request_arrive_as_they_are(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    instances = make_instances(7)
    answers = list(make_part(server.url).send_batch(instances))
    assert answers == [(outgoing, Sent()) for outgoing in instances]
    (request,) = server.requests
    assert request.files == [outgoing.path.read_bytes() for outgoing in instances]
    assert (request.method, request.path, request.query) == ("POST", "/dicom-web/studies", {})
    assert request.headers["user-agent"].startswith("karnak/")
    assert server.faults == []


@pytest.mark.parametrize("size", [500, 256 * 1024 - 200, 256 * 1024, 256 * 1024 + 1, 3_000_000])
def test_instances_of_any_size_arrive_as_they_are(
    server: ScriptedServer, make_part: MakePart, tmp_path: Path, size: int
) -> None:
    sizes = (size, 450, size)
    instances = [part10_of(tmp_path / f"{number}", size, f"1.2.{number}") for number, size in enumerate(sizes)]
    list(make_part(server.url).send_batch(instances))
    assert [file for request in server.requests for file in request.files] == [
        outgoing.path.read_bytes() for outgoing in instances
    ]
    assert server.faults == []


def test_boundary_is_another_in_every_request(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    part = make_part(server.url, max_instances_per_request=1)
    list(part.send_batch(make_instances(5)))
    assert len({request.headers["content-type"] for request in server.requests}) == 5


def test_one_connection_serves_all_requests(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    list(make_part(server.url, max_instances_per_request=1).send_batch(make_instances(5)))
    assert (len(server.requests), server.connections) == (5, 1)


def test_requests_are_bounded_by_count_and_by_size(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, tmp_path: Path
) -> None:
    small = make_instances(7)
    list(make_part(server.url, max_instances_per_request=3).send_batch(small))
    assert [len(request.files) for request in server.requests] == [3, 3, 1]
    server.requests.clear()
    large = [part10_of(tmp_path / f"l{number}", 30_000, f"1.3.{number}") for number in range(5)]
    huge = part10_of(tmp_path / "huge", 100_000, "1.4")
    list(make_part(server.url, max_request_bytes="64 KiB").send_batch([*large, huge, *small]))
    assert [len(request.files) for request in server.requests] == [2, 2, 1, 1, 7]


def test_an_instance_that_is_there_twice_goes_in_two_requests(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    one, two = make_instances(2)
    again = replace(one)
    answers = list(make_part(server.url).send_batch([one, two, again]))
    assert [outgoing for outgoing, _ in answers] == [one, two, again]
    assert [len(request.files) for request in server.requests] == [2, 1]


def test_configured_headers_go_with_every_request(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    headers = "<key>X-Tenant</key><value>7 &amp; 8</value><key>X-Api-Key</key><value>s3cret</value>"
    make_part(server.url, headers=headers).send(make_instances()[0])
    assert server.requests[0].headers["x-tenant"] == "7 & 8"
    assert server.requests[0].headers["x-api-key"] == "s3cret"


def test_headers_of_one_name_are_sent_as_a_list(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    make_part(server.url, headers={"X-Tag": ["a", "b"]}).send(make_instances()[0])
    assert server.requests[0].headers["x-tag"] == "a, b"


def test_netrc_of_the_account_changes_no_header(
    server: ScriptedServer,
    make_part: MakePart,
    make_instances: MakeInstances,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    make_part(server.url).send(make_instances()[0])
    assert "authorization" not in server.requests[0].headers


def test_a_proxy_of_the_environment_is_used(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    part = make_part("http://pacs.example.org/dicom-web")
    assert part.send(make_instances()[0]) == Sent()
    assert server.requests[0].headers["host"] == "pacs.example.org"


def test_body_is_sent_from_its_start_after_a_stale_connection(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    one, two = make_instances(2)
    part = make_part(server.url, max_instances_per_request=1)
    part.send(one)
    server.steps = [Cut(after=0)]
    assert part.send(two) == Sent()
    assert [request.uids for request in server.requests] == [[one.sop_instance_uid], [two.sop_instance_uid]]
    assert server.faults == []


def test_a_file_that_is_gone_fails_alone(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    one, gone, short, four = make_instances(4)
    gone.path.unlink()
    short.path.write_bytes(short.path.read_bytes()[:-1])
    answers = {
        outgoing.sop_instance_uid: answer
        for outgoing, answer in make_part(server.url).send_batch([one, gone, short, four])
    }
    assert answers[one.sop_instance_uid] == answers[four.sop_instance_uid] == Sent()
    for outgoing, words in ((gone, "the spool file is missing"), (short, "the spool file is shorter")):
        answer = answers[outgoing.sop_instance_uid]
        assert isinstance(answer, Permanent)
        assert words in answer.reason
    assert len(answers) == 4
    assert server.requests[-1].uids == [one.sop_instance_uid, four.sop_instance_uid]


def test_an_answer_that_comes_before_the_body_was_sent_is_read(
    server: ScriptedServer, make_part: MakePart, tmp_path: Path
) -> None:
    server.steps = [Say(status=413, early=True, headers={"Connection": "close"})]
    large = part10_of(tmp_path / "large", 50_000_000, "1.2.1")
    ((_, answer),) = make_part(server.url).send_batch([large])
    assert isinstance(answer, Permanent)
    assert "HTTP 413" in answer.reason
