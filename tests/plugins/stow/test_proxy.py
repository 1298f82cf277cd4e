"""A proxy that the environment names: TLS goes through it to the server, and its refusals are told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trustme
from scripted import MakeInstances, MakePart, ScriptedServer

from karnak_core.errors import Misconfigured, Unreachable
from karnak_core.model import Sent
from karnak_core.testing import free_port

#: a server that only the proxy finds
URL = "https://pacs.example.org/dicom-web"


class Tunnels:
    """A proxy that knows one server, or refuses."""

    def __init__(self, port: int = 0, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.asked: list[bytes] = []
        self._port = port
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with closing(sock), suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = sock.recv(1)
                if not byte:
                    return
                head += byte
            self.asked.append(head.split(b" HTTP/")[0])
            sock.sendall(self._answer)
            if b" 200 " in self._answer:
                with socket.create_connection(("127.0.0.1", self._port)) as other:
                    back = threading.Thread(target=_copy, args=(other, sock), daemon=True)
                    back.start()
                    _copy(sock, other)
                    back.join()

    def close(self) -> None:
        """Accept nothing more."""
        self._listening.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def authority() -> trustme.CA:
    """Who issues certificates."""
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[ScriptedServer]:
    """A server with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pacs.example.org").configure_cert(context)
    with ScriptedServer(tls=context) as running:
        yield running


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    """A file with the authority."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return str(path)


@pytest.fixture(autouse=True)
def no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is exempt from the proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_tls_goes_through_a_proxy_to_the_server(
    secure: ScriptedServer,
    ca: str,
    make_part: MakePart,
    make_instances: MakeInstances,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(Tunnels(secure.port)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        part = make_part(URL, tls={"ca": ca}, max_instances_per_request=2)
        assert [answer for _, answer in part.send_batch(make_instances(5))] == [Sent()] * 5
        assert proxy.asked == [b"CONNECT pacs.example.org:443"]
        assert "is reached through a proxy of the environment" in part.probe()
        part.close()


def test_no_proxy_is_used_for_exempt_hosts_and_this_machine(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    for host in ("127.0.0.1", "localhost"):
        assert make_part(f"http://{host}:{server.port}").send(make_instances()[0]) == Sent()
    monkeypatch.setenv("no_proxy", "invalid")
    with pytest.raises(Unreachable, match="the host name is not known"):
        make_part("http://pacs.invalid").send(make_instances()[0])


def test_a_proxy_that_refuses_holds_the_destination(
    make_part: MakePart, make_instances: MakeInstances, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Tunnels(answer=b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(Misconfigured, match="the proxy does not let us through"):
            make_part(URL).send(make_instances()[0])


def test_a_proxy_that_is_away_is_unreachable(
    make_part: MakePart, make_instances: MakeInstances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match=r"443 \(through a proxy\): no connection: Connection refused"):
        make_part(URL).send(make_instances()[0])
