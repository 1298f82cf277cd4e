"""Authorization: a new token after a refusal, at no instance's cost; and no secret in any word of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import pytest
from scripted import MakeInstances, MakePart, Request, Say, ScriptedServer, stored_all

from karnak_core.errors import Misconfigured
from karnak_core.model import Sent

Step = Callable[[Request], Say]


class Tokens:
    """An authenticator with a token that changes when it is refreshed."""

    def __init__(self) -> None:
        self.number = 1
        self.asked: list[bool] = []
        self.trouble: Misconfigured | None = None

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        self.asked.append(refresh)
        if self.trouble:
            raise self.trouble
        self.number += refresh
        return {"Authorization": f"Bearer s3cret{self.number}"}

    def close(self) -> None:
        pass


def accepts(token: str) -> Step:
    """Answer 401 to any other token."""

    def step(request: Request) -> Say:
        return stored_all(request) if request.headers.get("authorization") == token else Say(status=401)

    return step


def test_a_token_that_was_refused_is_replaced_and_the_body_sent_again_from_its_start(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    tokens = Tokens()
    server.steps = [accepts("Bearer s3cret2")] * 9
    part = make_part(server.url, authenticator="archive", context={"authenticators": {"archive": tokens}})
    instances = make_instances(3)
    assert [answer for _, answer in part.send_batch(instances)] == [Sent()] * 3
    assert tokens.asked == [False, True]
    assert [len(request.files) for request in server.requests] == [3, 3]
    assert server.requests[0].files == server.requests[1].files
    assert server.faults == []
    assert part.send(make_instances()[0]) == Sent()
    assert tokens.asked == [False, True, False]


def test_a_token_is_refreshed_once_and_then_holds_the_destination(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    tokens = Tokens()
    server.steps = [Say(status=401)] * 9
    part = make_part(server.url, authenticator="archive", context={"authenticators": {"archive": tokens}})
    answers = list(part.send_batch(make_instances(3)))
    assert all(isinstance(answer, Misconfigured) for _, answer in answers)
    assert tokens.asked == [False, True]
    assert len(server.requests) == 2


def test_403_is_not_asked_again(server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances) -> None:
    tokens = Tokens()
    server.steps = [Say(status=403)]
    part = make_part(server.url, authenticator="archive", context={"authenticators": {"archive": tokens}})
    with pytest.raises(Misconfigured, match="HTTP 403: does not allow us to store"):
        part.send(make_instances()[0])
    assert tokens.asked == [False]


def test_a_token_server_that_is_down_holds_the_destination(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    tokens = Tokens()
    tokens.trouble = Misconfigured("token server idp:443 cannot be reached")
    part = make_part(server.url, authenticator="archive", context={"authenticators": {"archive": tokens}})
    with pytest.raises(Misconfigured, match="token server idp:443 cannot be reached"):
        part.send(make_instances()[0])
    assert server.requests == []


def test_an_authenticator_that_is_gone_is_named(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    with pytest.raises(Misconfigured, match="authenticator archive does not exist"):
        make_part(server.url, authenticator="archive").send(make_instances()[0])


@pytest.mark.parametrize("token", ["s3cret\r\nX: y", "s3cret\u20ac", " s3cret"])
def test_a_header_that_cannot_be_sent_is_not_shown(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, token: str
) -> None:
    class Broken(Tokens):
        def headers(self, refresh: bool = False) -> Mapping[str, str]:
            return {"Authorization": token}

    part = make_part(server.url, authenticator="archive", context={"authenticators": {"archive": Broken()}})
    with pytest.raises(Misconfigured) as caught:
        part.send(make_instances()[0])
    assert "s3cret" not in str(caught.value)


def test_secrets_are_in_no_log_and_no_reason(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = Tokens()
    url = f"{server.url}/links/s3cretlink"
    said = []
    for status in (200, 302, 400, 401, 403, 404, 413, 429, 500, 503):
        server.steps = [Say(status=status, headers={"Location": "https://x/s3cret"})] * 2
        context = {"authenticators": {"archive": tokens}}
        part = make_part(url, authenticator="archive", headers={"X-Api-Key": "s3cretkey"}, context=context)
        said += [str(answer) for _, answer in part.send_batch(make_instances())]
    assert "s3cret" not in caplog.text
    assert "s3cret" not in str(said)
    assert len(said) == 10
