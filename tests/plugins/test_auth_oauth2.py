"""Bearer tokens: given, or fetched from a real server that does what such servers do, and worse."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pluggy
import pytest
import trustme
from pydantic import ValidationError

from karnak_core import hookspecs
from karnak_core.errors import Misconfigured
from karnak_core.model import Authenticator, OpenContext
from karnak_core.plugins import load
from karnak_core.testing import run_raw_http, wait_until
from karnak_plugins import auth_oauth2
from karnak_plugins.auth_oauth2 import OAUTH2
from karnak_plugins.auth_oauth2.bearer import FetchedToken
from karnak_plugins.auth_oauth2.config import OAuth2Authenticator
from karnak_plugins.auth_oauth2.token_server import LONGEST_ANSWER, TokenServer

SECRET = "hunter2-s3cret"
TOKEN = "t0ken"


@dataclass
class Request:
    """What the server was asked."""

    authorization: str
    form: dict[str, list[str]]


@dataclass
class Server:
    """A token server; ``answer`` makes status, content type and body for the n-th request, counted from 1."""

    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[int], tuple[int, str, bytes]] = field(default=lambda number: granted(number))
    #: further headers of the answer
    headers: dict[str, str] = field(default_factory=dict)
    #: holds every answer back until it is set
    go: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/token"


def granted(number: int, lifetime: object = 3600, **more: Any) -> tuple[int, str, bytes]:
    """Return the answer with the n-th token."""
    found = {"access_token": f"{TOKEN}-{number}", "token_type": "Bearer", "expires_in": lifetime, **more}
    return 200, "application/json", json.dumps(found).encode()


def refused(status: int, error: str) -> tuple[int, str, bytes]:
    """Return an answer of RFC 6749 section 5.2, whose description tells more than it should."""
    return status, "application/json", json.dumps({"error": error, "error_description": f"not {SECRET}"}).encode()


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a token server."""
    server = Server(scheme="https" if context else "http")
    server.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            server.requests.append(Request(self.headers.get("Authorization", ""), parse_qs(body)))
            number = len(server.requests)
            server.go.wait(60)
            status, kind, content = server.answer(number)
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                # the client has gone
                pass

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that end a handshake."""

    http = Quiet(("127.0.0.1", 0), Handler)
    if context:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        http.shutdown()
        http.server_close()
        thread.join(60)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def keys_of(server: Server, **more: Any) -> dict[str, Any]:
    return {"token_url": server.url, "client_id": "karnak", "client_secret": SECRET, **more}


def opened(**keys: Any) -> Authenticator:
    return OAUTH2.open(OAUTH2.config.model_validate(keys), OpenContext(data_directory=Path("nowhere")))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def timed(server: Server) -> tuple[FetchedToken, Clock]:
    clock = Clock()
    config = OAuth2Authenticator.model_validate(keys_of(server))
    return FetchedToken(TokenServer(config, lambda secret: secret.reveal()), clock), clock


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}-{number}"}


def failure(part: Authenticator, *, refresh: bool = False) -> str:
    """Return why there are no headers; everything that is hidden there is looked for."""
    with pytest.raises(Misconfigured) as error:
        part.headers(refresh=refresh)
    chain: list[BaseException | None] = [error.value, error.value.__cause__]
    assert not any(word in f"{one!r}{one}" for one in chain for word in (SECRET, TOKEN))
    return error.value.reason


# ---- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "needs token, or token_url, client_id and client_secret to fetch one"),
        ({"token": "x", "client_id": "y"}, "token is given, and client_id to fetch one, too; only one of them can be"),
        ({"token": "x", "scope": "y"}, "token is given, and scope"),
        ({"token_url": "https://h/t"}, "is missing, which token_url needs"),
        ({"token": ""}, "is empty"),
        ({"token": "Bearer abc"}, "begins with 'Bearer', which is put in front of it; leave it out"),
        ({"token": "a b"}, "has characters that a token cannot have"),
        ({"token_url": "ftp://h/t"}, "is no address that begins with http:// or https://"),
        ({"token_url": "https:///t"}, "is no address"),
        ({"token_url": "https://h:port/t"}, "is no address"),
        ({"token_url": "https://h/a b"}, "has blanks"),
        ({"token_url": "https://u:p@h/t"}, "has a user name or password in it"),
        ({"token_url": "https://h/t#x"}, "has a fragment"),
        ({"scope": 'a"b'}, "has characters that a scope cannot have"),
        ({"client_secret": ""}, "is empty"),
        ({"client_authentication": "query"}, "'header' or 'body'"),
        ({"timeout": 0}, "greater than 0"),
        ({"tokn": "x"}, "extra_forbidden"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace(".", r"\.")):
        OAUTH2.config.model_validate(keys)


def test_secrets_of_the_keys_are_not_shown() -> None:
    for keys in ({"token": SECRET}, {"token_url": "https://h/t", "client_id": "c", "client_secret": SECRET}):
        config = OAUTH2.config.model_validate(keys)
        assert SECRET not in f"{config!r}{config}{config.model_dump()}{config.model_dump_json()}"
    with pytest.raises(ValidationError) as error:
        OAUTH2.config.model_validate({"token": f"{SECRET} {SECRET}"})
    assert SECRET not in error.value.errors()[0]["msg"]


# ---- a token that is given ---------------------------------------------------------------------------------------


def test_given_token_is_sent_as_it_is() -> None:
    part = opened(token="abc.DEF-1_2~3+4/5==")
    assert part.headers() == part.headers(refresh=True) == {"Authorization": "Bearer abc.DEF-1_2~3+4/5=="}
    part.close()


def test_given_token_that_is_changed_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    part = opened(token={"file": str(file)})
    assert part.headers() == {"Authorization": "Bearer old"}
    file.write_text("new\n")
    assert part.headers() == {"Authorization": "Bearer new"}
    file.write_text(f"{SECRET}\n{SECRET}\n")
    assert failure(part) == "the token has characters that a token cannot have (RFC 6750 section 2.1)"


# ---- a token that is fetched -------------------------------------------------------------------------------------


def test_token_is_asked_for_as_the_standard_says(server: Server) -> None:
    keys = keys_of(server, client_id="kärnak:1", client_secret="a b%&ü", scope=" dicom.write  openid ")
    assert opened(**keys).headers() == bearer(1)
    (request,) = server.requests
    assert request.form == {"grant_type": ["client_credentials"], "scope": ["dicom.write openid"]}
    pair = base64.b64decode(request.authorization.removeprefix("Basic ")).decode("ascii")
    assert [unquote_plus(part) for part in pair.split(":")] == ["kärnak:1", "a b%&ü"]


def test_credentials_can_stand_in_the_body(server: Server) -> None:
    opened(**keys_of(server, client_authentication="body")).headers()
    (request,) = server.requests
    assert request.authorization == ""
    assert request.form["client_id"] == ["karnak"]
    assert request.form["client_secret"] == [SECRET]
    assert "scope" not in request.form


def test_credentials_of_a_netrc_file_do_not_replace_ours(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    opened(**keys_of(server)).headers()
    assert base64.b64decode(server.requests[0].authorization.removeprefix("Basic ")).decode() == f"karnak:{SECRET}"


def test_token_is_kept_until_shortly_before_it_expires(server: Server) -> None:
    part, clock = timed(server)
    assert part.headers() == bearer(1)
    clock.now += 3569
    assert part.headers() == bearer(1)
    clock.now += 2
    assert part.headers() == bearer(2)


def test_short_lived_token_is_used_for_most_of_its_life(server: Server) -> None:
    server.answer = lambda number: granted(number, lifetime="10")
    part, clock = timed(server)
    part.headers()
    clock.now += 8.9
    assert part.headers() == bearer(1)
    clock.now += 0.2
    assert part.headers() == bearer(2)


@pytest.mark.parametrize(("lifetime", "seconds"), [(None, 270), ("soon", 270), (True, 270), (0, 0), (-5, 0)])
def test_odd_lifetime_is_no_error(server: Server, lifetime: object, seconds: float) -> None:
    server.answer = lambda number: granted(number, lifetime=lifetime)
    part, clock = timed(server)
    assert part.headers() == bearer(1)
    clock.now += max(0, seconds - 0.1)
    assert part.headers() == bearer(1 if seconds else 2)
    clock.now += 0.2
    assert part.headers() == bearer(2 if seconds else 3)


def test_refused_token_is_replaced_once_for_all_threads_that_were_given_it(server: Server) -> None:
    part, _ = timed(server)
    together = threading.Barrier(8)

    def work() -> list[dict[str, str]]:
        first = part.headers()
        together.wait(60)
        second = part.headers(refresh=True)
        together.wait(60)
        return [dict(first), dict(second), dict(part.headers())]

    with ThreadPoolExecutor(8) as threads:
        found = [future.result(60) for future in [threads.submit(work) for _ in range(8)]]
    assert found == [[bearer(1), bearer(2), bearer(2)]] * 8
    assert len(server.requests) == 2


def test_thread_that_is_late_gets_what_others_fetched_meanwhile(server: Server) -> None:
    part, _ = timed(server)
    part.headers()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(part.headers).result(60) == bearer(1)
        assert part.headers(refresh=True) == bearer(2)
        assert other.submit(part.headers, True).result(60) == bearer(2)
        # that one was refused, too
        assert other.submit(part.headers, True).result(60) == bearer(3)


def test_same_token_again_counts_as_a_new_one(server: Server) -> None:
    server.answer = lambda number: granted(1)
    part, _ = timed(server)
    with ThreadPoolExecutor(1) as other:
        other.submit(part.headers).result(60)
        part.headers()
        part.headers(refresh=True)
        other.submit(part.headers, True).result(60)
    assert len(server.requests) == 2


def waiting_for_the_lock() -> int:
    """Return how many threads are in `FetchedToken.headers` itself, not in what it calls."""
    return sum(frame.f_code is FetchedToken.headers.__code__ for frame in sys._current_frames().values())


def test_threads_that_waited_for_a_try_that_fails_do_not_try_again(server: Server) -> None:
    server.answer = lambda number: refused(401, "invalid_client")
    server.go.clear()
    part, _ = timed(server)
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(failure, part) for _ in range(8)]
        # one has asked; those that come to the lock later than its failure would try by themselves
        wait_until(lambda: server.requests and waiting_for_the_lock() == 7)
        server.go.set()
        reasons = {future.result(60) for future in futures}
    assert reasons == {f"token server localhost:{server.port} refuses: 401 Unauthorized, invalid_client"}
    assert len(server.requests) == 1


def test_token_is_fetched_again_when_the_server_is_back(server: Server) -> None:
    part, _ = timed(server)
    assert part.headers() == bearer(1)
    server.answer = lambda number: (503, "text/plain", b"")
    assert failure(part, refresh=True).endswith("fails: 503 Service Unavailable")
    assert failure(part).endswith("fails: 503 Service Unavailable")
    server.answer = granted
    assert part.headers() == bearer(4)
    part.close()
    assert part.headers() == bearer(5)


# ---- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refused(400, "invalid_client"), "refuses: 400 Bad Request, invalid_client"),
        (refused(401, "invalid_client"), "refuses: 401 Unauthorized, invalid_client"),
        (refused(400, "invalid_scope"), "refuses: 400 Bad Request, invalid_scope"),
        (refused(400, f"not {SECRET}"), "refuses: 400 Bad Request"),
        ((400, "application/json", b'{"error": {"a": 1}}'), "refuses: 400 Bad Request"),
        ((404, "text/html", b"<html>"), "refuses: 404 Not Found"),
        ((429, "text/plain", b""), "refuses: 429 Too Many Requests"),
        ((500, "text/html", SECRET.encode()), "fails: 500 Internal Server Error"),
        ((599, "text/html", b""), "fails: 599"),
        ((200, "text/html", b"<html>log in</html>"), "answers 200 OK, but no JSON object with a token"),
        ((200, "application/json", b"[]"), "answers 200 OK, but no JSON object"),
        ((200, "application/json", b"[" * 50_000), "answers 200 OK, but no JSON object"),
        ((200, "application/json", b'{"access_token": "a'), "answers 200 OK, but no JSON object"),
        ((200, "application/json", b"\xff\xfe{}"), "answers 200 OK, but no JSON object"),
        ((204, "application/json", b""), "answers 204 No Content, but no JSON object"),
        ((200, "application/json", b"{}"), "gives no access_token"),
        ((200, "application/json", b'{"access_token": 7}'), "gives no access_token"),
        (granted(1, access_token=""), "gives an access_token that is empty"),
        (granted(1, access_token=f"{TOKEN}\r\nX-Evil: 1"), "gives an access_token that has characters that a token"),
        (granted(1, token_type="mac"), "gives a token of another type than Bearer"),
        ((200, "application/json", b" " * (LONGEST_ANSWER + 1)), "answers 200 with more than 64 KiB"),
    ],
)
def test_answer_without_a_token_holds_the_destination_and_says_why(
    server: Server, answer: tuple[int, str, bytes], words: str
) -> None:
    server.answer = lambda number: answer
    reason = failure(opened(**keys_of(server)))
    assert reason.startswith(f"token server localhost:{server.port} {words}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(server: Server, status: int) -> None:
    with serving() as other:
        server.headers = {"Location": other.url}
        server.answer = lambda number: (status, "text/plain", b"")
        reason = failure(opened(**keys_of(server)))
        assert other.requests == []
    assert reason.endswith("token_url is redirected, and credentials do not follow")


@pytest.mark.parametrize("kind", ["bearer", "BEARER"])
def test_type_of_the_token_has_no_case(server: Server, kind: str) -> None:
    server.answer = lambda number: granted(number, token_type=kind)
    assert opened(**keys_of(server)).headers() == bearer(1)


def test_wrong_content_type_of_a_token_is_no_error(server: Server) -> None:
    server.answer = lambda number: (200, "text/plain", granted(number)[2])
    assert opened(**keys_of(server)).headers() == bearer(1)


def test_server_that_is_down_holds_the_destination() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    part = opened(token_url=f"http://127.0.0.1:{port}/t", client_id="c", client_secret=SECRET)
    assert failure(part) == f"token server 127.0.0.1:{port} cannot be reached: Connection refused"


def test_server_whose_name_is_unknown_holds_the_destination() -> None:
    part = opened(token_url="https://idp.invalid/t", client_id="c", client_secret=SECRET)
    assert failure(part).startswith("token server idp.invalid:443 cannot be reached: ")


def test_slow_server_is_not_waited_for(server: Server) -> None:
    server.go.clear()
    reason = failure(opened(**keys_of(server, timeout=0.2)))
    assert reason == f"token server localhost:{server.port} does not answer within 0.2 s"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "closes the connection without an answer"),
        (b"220 mail ESMTP\r\n", "answers something that is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "breaks off its answer"),
    ],
)
def test_server_that_does_not_speak_http_holds_the_destination(sent: bytes, words: str) -> None:
    with run_raw_http(sent) as port:
        reason = failure(opened(token_url=f"http://127.0.0.1:{port}/t", client_id="c", client_secret=SECRET))
    assert reason.endswith(words)


def test_endless_drops_of_an_answer_are_not_waited_for() -> None:
    with run_raw_http(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", then=b"1\r\n \r\n", every=0.02) as port:
        url = f"http://127.0.0.1:{port}/t"
        reason = failure(opened(token_url=url, client_id="c", client_secret=SECRET, timeout=1))
    assert reason.endswith("does not come to an end of its answer within 2 s")


def test_an_answer_that_dribbles_is_not_waited_for(dribbling: Callable[[], str]) -> None:
    reason = failure(opened(token_url=f"{dribbling()}/t", client_id="c", client_secret=SECRET, timeout=1))
    assert reason.endswith("does not come to an end of its answer within 2 s")


def test_missing_secret_holds_the_destination(server: Server) -> None:
    part = opened(**keys_of(server, client_secret={"env": "KARNAK_TEST_NOT_SET"}))
    assert failure(part) == "environment variable KARNAK_TEST_NOT_SET is not set"
    assert server.requests == []


def test_nothing_secret_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    part = opened(**keys_of(server))
    part.headers()
    part.headers(refresh=True)
    server.answer = lambda number: refused(401, "invalid_client")
    reason = failure(part, refresh=True)
    encoded = base64.b64encode(f"karnak:{SECRET}".encode()).decode()
    shown = f"{caplog.text}{reason}{part!r}{vars(part)}"
    assert not [word for word in (SECRET, TOKEN, encoded) if word in shown]


# ---- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_server_is_verified_with_the_given_authority(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(context) as server:
        assert opened(**keys_of(server, ca=str(tmp_path / "ca.pem"))).headers() == bearer(1)
        reason = failure(opened(**keys_of(server)))
        assert reason.startswith(f"token server localhost:{server.port} shows a certificate that is not trusted: ")
        assert len(server.requests) == 1


def test_certificate_of_another_host_is_not_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example.org").configure_cert(context)
    with serving(context) as server:
        reason = failure(opened(**keys_of(server, ca=str(tmp_path / "ca.pem"))))
        assert "not trusted: Hostname mismatch" in reason
        assert server.requests == []


def test_plain_server_is_told_from_one_with_tls(server: Server) -> None:
    reason = failure(opened(**keys_of(server, token_url=server.url.replace("http:", "https:"))))
    assert "cannot be spoken to by TLS: " in reason


def test_authority_that_is_gone_holds_the_destination(server: Server, tmp_path: Path) -> None:
    url = server.url.replace("http:", "https:")
    reason = failure(opened(**keys_of(server, token_url=url, ca=str(tmp_path / "none.pem"))))
    assert reason.startswith(f"token server localhost:{server.port} cannot be asked: ca")


# ---- the hooks, and the entry point ------------------------------------------------------------------------------


def test_hooks_are_as_karnak_specifies_them() -> None:
    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    manager.register(auth_oauth2)
    manager.check_pending()
    assert manager.hook.karnak_register_authenticators() == [[OAUTH2]]


def test_karnak_finds_the_plugin() -> None:
    assert load().authenticators["oauth2"] is OAUTH2


# ---- when a given token expires ------------------------------------------------------------------------------------


def web_token(claims: object) -> str:
    """Return what looks like a JSON Web Token with these claims."""
    return ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b"{}", json.dumps(claims).encode(), b"x")
    )


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (web_token({"exp": 1893456000}), 1893456000000),
        (web_token({"exp": 1893456000.5}), 1893456000500),
        (web_token({"sub": "karnak"}), None),
        (web_token({"exp": "soon"}), None),
        (web_token([1]), None),
        ("opaque", None),
        ("a.b.c", None),
    ],
)
def test_a_given_web_token_says_when_it_expires(token: str, expected: int | None) -> None:
    config = OAuth2Authenticator.model_validate({"token": token})
    opened = OAUTH2.open(config, OpenContext(data_directory=Path()))
    assert opened.expires_at() == expected  # type: ignore[attr-defined]
