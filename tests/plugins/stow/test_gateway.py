"""Through a whole gateway: tokens that expire, a token server that is down, and reasons that people see."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripted import MakeInstances, Request, Say, ScriptedServer, stored_all

from karnak_core.testing import RunningGateway, run_gateway, send

SECRET = "cl1ent-s3cret"


class TokenServer:
    """Gives out a new token at each request, unless it is told to refuse."""

    def __init__(self) -> None:
        self.given = 0
        self.refuses = False
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                tokens.given += not tokens.refuses
                answer = {"access_token": f"t0ken{tokens.given}", "token_type": "Bearer", "expires_in": 3600}
                body = json.dumps({"error": "invalid_client"} if tokens.refuses else answer).encode()
                self.send_response(401 if tokens.refuses else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Do not write on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def valid(self) -> str:
        """The only header that is accepted: with the newest token."""
        return f"Bearer t0ken{self.given}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    """A token server."""
    server = TokenServer()
    yield server
    server.close()


def configuration(server: ScriptedServer, tokens: TokenServer) -> dict[str, Any]:
    destination = {
        "name": "cloud",
        "type": "stow",
        "url": server.url,
        "authenticator": "idp",
        "headers": {"X-Api-Key": "k3y-s3cret"},
        "retry_first": "0.2 s",
    }
    authenticator = {"type": "oauth2", "token_url": tokens.url, "client_id": "karnak", "client_secret": SECRET}
    return {
        "authenticators": {"idp": authenticator},
        "forward_nodes": [{"ae_title": "FORWARD", "destinations": [destination]}],
    }


def only(tokens: TokenServer, valid_from: Callable[[], int]) -> Callable[[Request], Say]:
    """Accept the newest token, once there are enough."""

    def step(request: Request) -> Say:
        good = request.headers.get("authorization") == tokens.valid and tokens.given >= valid_from()
        return stored_all(request) if good else Say(status=401)

    return step


def nothing_is_told(gateway: RunningGateway) -> None:
    everything = gateway.log.read_text() + gateway.run("status", "--json").stdout + gateway.run("export").stdout
    everything += json.dumps(gateway.deliveries(), default=str)
    for secret in (SECRET, "t0ken", "k3y-s3cret"):
        assert secret not in everything


def test_an_expired_token_is_refreshed_without_an_attempt_being_counted(
    server: ScriptedServer, tokens: TokenServer, make_instances: MakeInstances, tmp_path: Path
) -> None:
    server.steps = [only(tokens, lambda: 2)] * 100
    with run_gateway(configuration(server, tokens), tmp_path / "data") as gateway:
        assert send(gateway.port, [outgoing.path for outgoing in make_instances(10)]) == [0x0000] * 10
        rows = gateway.wait_until_settled(10)
        assert {row["state"] for row in rows} == {"sent"}
        # the one that succeeded is an attempt, too
        assert {row["attempts"] for row in rows} <= {0, 1}
        assert tokens.given >= 2
        nothing_is_told(gateway)


def test_a_token_server_that_refuses_holds_the_destination_and_nothing_is_lost(
    server: ScriptedServer, tokens: TokenServer, make_instances: MakeInstances, tmp_path: Path
) -> None:
    tokens.refuses = True
    with run_gateway(configuration(server, tokens), tmp_path / "data") as gateway:
        assert send(gateway.port, [outgoing.path for outgoing in make_instances(10)]) == [0x0000] * 10
        gateway.wait_until(lambda: gateway.destination("cloud")["state"] == "held")
        assert "invalid_client" in gateway.destination("cloud")["reason"]
        assert {(row["state"], row["attempts"]) for row in gateway.deliveries()} <= {("pending", 0), ("leased", 0)}
        assert server.requests == []
        probed = gateway.run("probe", "cloud", check=False)
        assert probed.returncode == 1
        assert "invalid_client" in probed.stderr
        tokens.refuses = False
        server.steps = [Say(body=b"[]")]
        assert "authorized by idp" in gateway.run("probe", "cloud").stdout
        rows = gateway.wait_until_settled(10)
        assert {row["state"] for row in rows} == {"sent"}
        nothing_is_told(gateway)


def test_outcomes_are_in_the_list_with_their_reasons(
    server: ScriptedServer, tokens: TokenServer, make_instances: MakeInstances, tmp_path: Path
) -> None:
    there, bad, good = make_instances(3)
    refusals = {there.sop_instance_uid: 409, bad.sop_instance_uid: 400}

    def step(request: Request) -> Say:
        status = max((refusals.get(uid, 0) for uid in request.uids), default=0)
        return Say(status=status) if status else stored_all(request)

    server.steps = [step] * 50
    with run_gateway(configuration(server, tokens), tmp_path / "data") as gateway:
        send(gateway.port, [there.path, bad.path, good.path])
        rows = {row["sop_instance_uid"]: row for row in gateway.wait_until_settled(3)}
    assert rows[good.sop_instance_uid]["state"] == "sent"
    assert rows[there.sop_instance_uid]["state"] == "duplicate"
    assert rows[there.sop_instance_uid]["reason"].startswith("unconfirmed: ")
    assert rows[bad.sop_instance_uid]["state"] == "failed"
    assert "HTTP 400: takes it for malformed" in rows[bad.sop_instance_uid]["reason"]
