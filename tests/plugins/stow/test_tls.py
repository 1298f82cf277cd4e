"""TLS to a server: client certificates, replaced files, and words for every way in which it does not come about."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from scripted import MakeInstances, MakePart, Say, ScriptedServer, part10_of

from karnak_core.errors import Misconfigured, Permanent, Unreachable
from karnak_core.model import Sent


class Files:
    """Certificates in files."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.other = trustme.CA(), trustme.CA()
        self.folder = folder
        self.ca = self.written("ca.pem", self.authority.cert_pem.bytes())
        self.other_ca = self.written("other.pem", self.other.cert_pem.bytes())

    def written(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def client(self, authority: trustme.CA, name: str = "client") -> dict[str, str]:
        """Return the keys of a client certificate."""
        issued = authority.issue_cert(common_name="karnak")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return {
            "certificate": self.written(f"{name}.pem", chain),
            "key": self.written(f"{name}.key", issued.private_key_pem.bytes()),
        }

    def server_context(self, *names: str, client_ca: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        if client_ca:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Certificates."""
    return Files(tmp_path)


@pytest.fixture
def secure(files: Files) -> Iterator[ScriptedServer]:
    """A server with TLS that wants no client certificate."""
    with ScriptedServer(tls=files.server_context()) as running:
        yield running


def refused(part: Any, outgoing: Any) -> str:
    with pytest.raises(Misconfigured) as caught:
        part.send(outgoing)
    assert caught.value.reason.startswith("127.0.0.1:")
    return caught.value.reason


def test_instances_are_sent_over_tls(
    secure: ScriptedServer, files: Files, make_part: MakePart, make_instances: MakeInstances, tmp_path: Path
) -> None:
    part = make_part(secure.url, tls={"ca": files.ca})
    assert [answer for _, answer in part.send_batch(make_instances(5))] == [Sent()] * 5
    large = part10_of(tmp_path / "large", 5_000_000, "1.2.9")
    assert part.send(large) == Sent()
    assert secure.requests[-1].files == [large.path.read_bytes()]
    assert (secure.connections, secure.faults) == (1, [])


def test_a_client_certificate_is_shown(files: Files, make_part: MakePart, make_instances: MakeInstances) -> None:
    with ScriptedServer(tls=files.server_context(client_ca=True)) as server:
        part = make_part(server.url, tls={"ca": files.ca, **files.client(files.authority)})
        assert part.send(make_instances()[0]) == Sent()
        words = refused(make_part(server.url, tls={"ca": files.ca}), make_instances()[0])
        assert "the peer requires a client certificate" in words
        stranger = make_part(server.url, tls={"ca": files.ca, **files.client(files.other, "stranger")})
        assert "the peer does not know who issued our certificate" in refused(stranger, make_instances()[0])


def test_an_authority_that_is_not_known_is_not_trusted(
    secure: ScriptedServer, files: Files, make_part: MakePart, make_instances: MakeInstances
) -> None:
    for tls in ({"ca": files.other_ca}, {}, None):
        words = refused(make_part(secure.url, tls=tls), make_instances()[0])
        assert "TLS: the peer's certificate is issued by an authority that is not in" in words
    assert secure.requests == []


def test_the_certificate_of_another_host_is_not_accepted_unless_configured(
    files: Files, make_part: MakePart, make_instances: MakeInstances
) -> None:
    with ScriptedServer(tls=files.server_context("other.example.org")) as server:
        words = refused(make_part(server.url, tls={"ca": files.ca}), make_instances()[0])
        assert "not valid for '127.0.0.1'" in words
        part = make_part(server.url, tls={"ca": files.ca, "check_hostname": False})
        assert part.send(make_instances()[0]) == Sent()


def test_an_old_tls_version_is_refused(files: Files, make_part: MakePart, make_instances: MakeInstances) -> None:
    context = files.server_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with ScriptedServer(tls=context) as server:
        assert "TLS 1.2" in refused(make_part(server.url, tls={"ca": files.ca}), make_instances()[0])


def test_tls_to_a_port_without_it_is_told(
    server: ScriptedServer, files: Files, make_part: MakePart, make_instances: MakeInstances
) -> None:
    url = server.url.replace("http:", "https:")
    words = refused(make_part(url, tls={"ca": files.ca}), make_instances()[0])
    assert words.endswith("TLS: the peer does not speak TLS there; is it plain HTTP, url begins with http:")


def test_plain_http_to_a_tls_port_is_told(
    secure: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    part = make_part(secure.url.replace("https:", "http:"))
    assert refused(part, make_instances()[0]).endswith("the port speaks TLS: url has to begin with https:")


def test_plain_http_to_a_tls_port_that_says_so_is_told(
    server: ScriptedServer, make_part: MakePart, make_instances: MakeInstances
) -> None:
    body = b"<html><center>The plain HTTP request was sent to HTTPS port</center></html>"
    server.steps = [Say(status=400, body=body, type="text/html")]
    assert refused(make_part(server.url), make_instances()[0]).endswith("url has to begin with https:")


@pytest.mark.parametrize("what", ["ca", "certificate", "key"])
def test_files_that_cannot_be_used_hold_the_destination(
    secure: ScriptedServer, files: Files, make_part: MakePart, make_instances: MakeInstances, what: str
) -> None:
    tls = {"ca": files.ca, **files.client(files.authority)}
    Path(tls[what]).write_text("nonsense")
    with pytest.raises(Misconfigured, match="tls: "):
        make_part(secure.url, tls=tls).send(make_instances()[0])
    Path(tls[what]).unlink()
    with pytest.raises(Misconfigured, match="tls: "):
        make_part(secure.url, tls=tls).send(make_instances()[0])


def test_certificates_that_are_replaced_are_used(
    files: Files, make_part: MakePart, make_instances: MakeInstances
) -> None:
    with ScriptedServer(tls=files.server_context(client_ca=True)) as server:
        wrong, right = files.client(files.other, "wrong"), files.client(files.authority, "right")
        part = make_part(server.url, tls={"ca": files.ca, **wrong})
        refused(part, make_instances()[0])
        shutil.copy(right["certificate"], wrong["certificate"])
        shutil.copy(right["key"], wrong["key"])
        assert part.send(make_instances()[0]) == Sent()


def test_a_server_that_closes_during_the_handshake_is_unreachable(
    make_part: MakePart, make_instances: MakeInstances
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=lambda: listening.accept()[0].close(), daemon=True).start()
        part = make_part(f"https://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(Unreachable, match="closed the connection during the TLS handshake"):
            part.send(make_instances()[0])


def test_a_handshake_that_does_not_go_on_ends(make_part: MakePart, make_instances: MakeInstances) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        part = make_part(f"https://127.0.0.1:{listening.getsockname()[1]}", connect_timeout="0.5 s")
        with pytest.raises(Unreachable, match="TLS: the peer did not finish the TLS handshake in time"):
            part.send(make_instances()[0])


def test_a_reset_while_bytes_are_on_their_way_is_noticed_at_once(
    files: Files, make_part: MakePart, make_instances: MakeInstances
) -> None:
    """The system goes on counting those bytes as unconfirmed, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # the window is far smaller than the request, and what we send is taken whole by our own system
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)

        def run() -> None:
            with files.server_context().wrap_socket(listening.accept()[0], server_side=True) as secured:
                time.sleep(0.3)
                secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        part = make_part(url, tls={"ca": files.ca}, timeout=60)
        started = time.monotonic()
        ((_, answer),) = part.send_batch(make_instances(pixels=100))
        took = time.monotonic() - started
        thread.join(60)
    assert isinstance(answer, Unreachable)
    assert answer.reason.endswith("closed the connection without an answer")
    assert took < 30


def test_an_early_answer_is_read_over_tls(
    secure: ScriptedServer, files: Files, make_part: MakePart, tmp_path: Path
) -> None:
    secure.steps = [Say(status=413, early=True)]
    large = part10_of(tmp_path / "large", 20_000_000, "1.2.9")
    ((_, answer),) = make_part(secure.url, tls={"ca": files.ca}).send_batch([large])
    assert isinstance(answer, Permanent), answer
