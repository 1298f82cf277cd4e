"""``karnak probe``: what is seen of a server, in words, without storing something there."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from scripted import MakePart, Say, ScriptedServer

from karnak_core.errors import DeliveryError, Misconfigured, Retryable, Unreachable
from karnak_core.testing import free_port


def test_what_is_seen_is_said(server: ScriptedServer, make_part: MakePart) -> None:
    server.steps = [Say(body=b"[]")]
    assert make_part(server.url).probe() == (
        f"127.0.0.1:{server.port} is connected to at 127.0.0.1, without TLS; QIDO-RS is answered with HTTP 200; "
        "a request holds at most 64 instances and 32 MiB"
    )
    assert [(request.method, request.query) for request in server.requests] == [("GET", {"limit": ["1"]})]


def test_the_certificate_is_described(make_part: MakePart, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", common_name="pacs").configure_cert(context)
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    with ScriptedServer(tls=context) as server:
        server.steps = [Say(status=204)]
        said = make_part(server.url, tls={"ca": str(path)}).probe()
    assert "TLSv1.3, " in said
    assert "CN=pacs" in said
    assert "expires on " in said
    assert "QIDO-RS is answered with HTTP 204" in said


def test_a_server_without_queries_is_asked_for_options(server: ScriptedServer, make_part: MakePart) -> None:
    server.steps = [Say(status=404), Say(status=204, headers={"Allow": "OPTIONS, POST"})]
    said = make_part(server.url).probe()
    assert "QIDO-RS is answered with HTTP 404; OPTIONS with HTTP 204, which allows POST" in said
    server.steps = [Say(status=501), Say(status=405)]
    assert "OPTIONS with HTTP 405, which does not say whether POST is allowed" in make_part(server.url).probe()


@pytest.mark.parametrize(
    ("steps", "kind", "words"),
    [
        ([Say(status=401)], Misconfigured, "HTTP 401: wants authorization"),
        ([Say(status=403)], Misconfigured, "HTTP 403: does not allow us to store"),
        ([Say(status=503)], Retryable, "HTTP 503"),
        (
            [Say(status=302, headers={"Location": "https://login.example.org/x"})],
            Misconfigured,
            "to https://login.exam",
        ),
        ([Say(status=404), Say(status=404)], Misconfigured, "there is nothing at the path of url"),
        ([Say(status=405), Say(status=200, headers={"Allow": "GET"})], Misconfigured, "takes no POST"),
    ],
)
def test_a_server_that_would_refuse_is_told(
    server: ScriptedServer, make_part: MakePart, steps: list[Say], kind: type[DeliveryError], words: str
) -> None:
    server.steps = list(steps)
    with pytest.raises(kind, match=words):
        make_part(server.url).probe()


def test_a_server_that_is_away_is_told(make_part: MakePart) -> None:
    with pytest.raises(Unreachable, match="no connection: Connection refused"):
        make_part(f"http://127.0.0.1:{free_port()}").probe()
    with pytest.raises(Unreachable, match=r"pacs\.invalid:443: the host name is not known"):
        make_part("https://pacs.invalid").probe()


def test_a_mismatch_of_tls_is_told(server: ScriptedServer, make_part: MakePart) -> None:
    with pytest.raises(Misconfigured, match="does not speak TLS there"):
        make_part(server.url.replace("http:", "https:")).probe()
