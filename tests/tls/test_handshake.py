"""Handshakes between our two roles: what is agreed on, and in which words they fail."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from contextlib import suppress

import pytest

from karnak_core import tls
from karnak_core.config.tls import ClientTLS, ServerTLS
from karnak_core.dimse import ConnectionFailed, TlsFailed
from karnak_core.errors import Misconfigured, Unreachable
from karnak_core.testing import free_port, wait_until

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def server_settings(identity, **others):
    return ServerTLS(certificate=identity.certificate, key=identity.key, **others)


def client_settings(authority=None, identity=None, **others):
    shown = {"certificate": identity.certificate, "key": identity.key} if identity else {}
    return ClientTLS(ca=authority.file if authority else None, **shown, **others)


def test_a_context_offers_only_what_bcp_195_recommends():
    context = tls.client_context(ClientTLS()).get()
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert {name.split("-")[0] for name in old} == {"ECDHE"}
    assert {"GCM", "POLY1305"} == {part for name in old for part in name.split("-") if part in ("GCM", "POLY1305")}
    assert all("GCM" in name or "POLY1305" in name for name in old)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_the_probe_says_version_cipher_subject_and_expiry(authority, make_server, probe):
    server = make_server(server_settings(authority.issue(common_name="pacs.example.org")))
    answer = probe(server.port, client_settings(authority))
    assert "TLSv1.3, TLS_AES_256_GCM_SHA384, certificate of " in answer
    assert "CN=pacs.example.org, for 127.0.0.1, localhost, issued by O=hospital" in answer
    assert "expires on 20" in answer
    assert "(in 89 days)" in answer


def test_the_probe_of_a_plain_peer_says_nothing_of_tls(make_server, probe):
    assert "TLS" not in probe(make_server(None).port, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_sides_show_certificates(authority, make_server, probe, version):
    server = make_server(
        server_settings(authority.issue(), client_ca=authority.file, require_client_certificate=True), maximum=version
    )
    answer = probe(server.port, client_settings(authority, authority.issue("karnak.example.org")))
    assert version.name.replace("_", ".") in answer
    assert server.refused == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_the_certificate_that_is_required_is_told_so(authority, make_server, probe, version):
    settings = server_settings(authority.issue(), client_ca=authority.file, require_client_certificate=True)
    server = make_server(settings, maximum=version)
    with pytest.raises(Misconfigured, match=r"no TLS with PEER at 127.0.0.1:\d+: the peer .*a.* certificate"):
        probe(server.port, client_settings(authority))
    wait_until(lambda: server.refused == ["the peer shows no certificate, and one is required"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_of_a_stranger_is_refused(authority, stranger, make_server, probe, version):
    server = make_server(server_settings(authority.issue(), client_ca=authority.file), maximum=version)
    with pytest.raises(Misconfigured, match="the peer does not know who issued our certificate"):
        probe(server.port, client_settings(authority, stranger.issue()))
    wait_until(lambda: server.refused)
    assert server.refused == ["the peer's certificate is issued by an authority that is not in what is trusted here"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_expired_client_certificate_is_refused(authority, make_server, probe, version):
    server = make_server(server_settings(authority.issue(), client_ca=authority.file), maximum=version)
    with pytest.raises(Misconfigured, match="the peer says that our certificate has expired"):
        probe(server.port, client_settings(authority, authority.issue(days=-1)))
    wait_until(lambda: server.refused)
    assert server.refused[0].endswith("has expired")


def test_an_optional_client_certificate_may_be_missing(authority, make_server, probe):
    server = make_server(server_settings(authority.issue(), client_ca=authority.file))
    assert "TLSv1.3" in probe(server.port, client_settings(authority))


def test_a_server_of_an_unknown_authority_is_named_with_the_file_that_does_not_have_it(
    authority, stranger, make_server, probe
):
    server = make_server(server_settings(stranger.issue()))
    with pytest.raises(Misconfigured, match=r"is issued by an authority that is not in '.*hospital.pem'"):
        probe(server.port, client_settings(authority))
    wait_until(lambda: server.refused == ["the peer does not know who issued our certificate"])


def test_the_systems_authorities_count_where_none_are_given(authority, make_server, probe):
    server = make_server(server_settings(authority.issue()))
    with pytest.raises(Misconfigured, match="issued by an authority that is not in what the system trusts"):
        probe(server.port, client_settings())


def test_the_peers_own_certificate_can_be_what_is_trusted(authority, make_server, probe):
    identity = authority.issue()
    server = make_server(server_settings(identity))
    assert "TLSv1.3" in probe(server.port, ClientTLS(ca=identity.certificate))


def test_an_expired_server_is_told(authority, make_server, probe):
    server = make_server(server_settings(authority.issue(days=-1)))
    with pytest.raises(Misconfigured, match=r"no TLS with PEER at 127.0.0.1:.*, has expired"):
        probe(server.port, client_settings(authority))


def test_another_host_is_told_with_both_names(authority, make_server, probe):
    server = make_server(server_settings(authority.issue("pacs.example.org", "10.0.0.7")))
    with pytest.raises(Misconfigured, match=r"certificate is for pacs.example.org, 10.0.0.7, not for 127.0.0.1$"):
        probe(server.port, client_settings(authority))
    with pytest.raises(Misconfigured, match=r"certificate is for pacs.example.org, 10.0.0.7, not for localhost$"):
        probe(server.port, client_settings(authority), "localhost")


def test_another_host_is_accepted_where_names_are_not_checked(authority, make_server, probe):
    server = make_server(server_settings(authority.issue("pacs.example.org")))
    assert "TLSv1.3" in probe(server.port, client_settings(authority, check_hostname=False))


def test_a_stranger_is_not_accepted_where_names_are_not_checked(authority, stranger, make_server, probe):
    server = make_server(server_settings(stranger.issue("pacs.example.org")))
    with pytest.raises(Misconfigured, match="issued by an authority"):
        probe(server.port, client_settings(authority, check_hostname=False))


def test_a_tls_destination_that_speaks_plain_dicom_is_told(authority, make_server, probe):
    server = make_server(None)
    with pytest.raises(Misconfigured, match=r"the peer does not speak TLS \(plain DICOM\?\)$"):
        probe(server.port, client_settings(authority))
    wait_until(lambda: server.refused == ["the peer speaks TLS; this port is plain"])


def test_a_plain_destination_that_speaks_tls_is_told(authority, make_server, probe):
    server = make_server(server_settings(authority.issue()))
    with pytest.raises(Misconfigured, match=r"PEER at 127.0.0.1:.* speaks TLS, and the connection to it is plain"):
        probe(server.port, None)
    wait_until(lambda: server.refused == ["the peer speaks plain DICOM (no TLS)"])


def test_what_is_neither_dicom_nor_tls_is_told(authority, make_server):
    server = make_server(server_settings(authority.issue()))
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert peer.recv(100) == bytes((21, 3, 3, 0, 2, 2, 10))
    wait_until(lambda: server.refused == ["the peer does not speak TLS (plain DICOM?)"])


def test_an_old_tls_version_is_refused(authority, make_server):
    server = make_server(server_settings(authority.issue()))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.load_verify_locations(authority.file)
    with (
        socket.create_connection(("127.0.0.1", server.port)) as peer,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        old.wrap_socket(peer, server_hostname="127.0.0.1")
    wait_until(lambda: server.refused == ["the peer speaks no TLS 1.2 or newer"])


def test_cipher_suites_without_forward_secrecy_are_refused(authority, make_server):
    server = make_server(server_settings(authority.issue()))
    weak = ssl.create_default_context(cafile=authority.file)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-GCM-SHA256:AES256-SHA")
    with (
        socket.create_connection(("127.0.0.1", server.port)) as peer,
        pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"),
    ):
        weak.wrap_socket(peer, server_hostname="127.0.0.1")
    wait_until(lambda: server.refused == ["no cipher suite of BCP 195 is common to the peer and us"])


@pytest.fixture
def strange_peer():
    """A server that does with every connection what it is told."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve(treat):
        def accept():
            with suppress(OSError):
                while True:
                    sock, _ = listening.accept()
                    kept.append(sock)
                    treat(sock)

        threading.Thread(target=accept, daemon=True).start()
        return listening.getsockname()[1]

    yield serve
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for sock in kept:
        sock.close()


def test_a_peer_that_closes_during_the_handshake_is_tried_again(authority, strange_peer, probe):
    port = strange_peer(lambda sock: (sock.recv(1000), sock.shutdown(socket.SHUT_RDWR)))
    with pytest.raises(Unreachable, match="closed the connection during the TLS handshake; does it speak TLS there"):
        probe(port, client_settings(authority))


def test_a_peer_that_is_silent_during_the_handshake_is_tried_again(authority, strange_peer, probe):
    port = strange_peer(lambda _sock: None)
    with pytest.raises(Unreachable, match="did not finish the TLS handshake in time; does it speak TLS there"):
        probe(port, client_settings(authority), seconds=0.5)


def test_a_plain_peer_that_closes_without_an_answer_gets_a_guess(strange_peer, probe):
    port = strange_peer(lambda sock: (sock.recv(1000), sock.shutdown(socket.SHUT_RDWR)))
    with pytest.raises(Unreachable, match=r"without an answer; does it know this host\? does it expect TLS\?"):
        probe(port, None)


def test_a_port_without_a_listener_is_no_matter_of_tls(authority, probe):
    with pytest.raises(Unreachable, match=r"cannot connect to PEER at .*: connection refused"):
        probe(free_port(), client_settings(authority))


def test_files_that_cannot_be_used_hold_the_destination(authority, make_server, probe, tmp_path):
    server = make_server(server_settings(authority.issue()))
    gone = str(tmp_path / "gone.pem")
    with pytest.raises(Misconfigured, match=r"gone.pem' cannot be .*: no such file or directory"):
        probe(server.port, ClientTLS(ca=gone))


def test_a_server_whose_files_are_gone_refuses_and_says_why(authority, make_server, open_association, tmp_path):
    server = make_server(ServerTLS(certificate=str(tmp_path / "gone.pem"), key=str(tmp_path / "gone.key")))
    with pytest.raises(ConnectionFailed, match="closed the connection during the TLS handshake"):
        open_association(server.port, client_settings(authority))
    wait_until(lambda: server.refused)
    assert server.refused[0].startswith("TLS cannot be used here: ")
    assert "gone.key' cannot be read: no such file or directory" in server.refused[0]


def test_a_health_check_that_connects_and_goes_is_no_refusal(authority, make_server, probe):
    server = make_server(server_settings(authority.issue()))
    for _ in range(3):
        socket.create_connection(("127.0.0.1", server.port)).close()
    probe(server.port, client_settings(authority))
    assert server.refused == []


def test_tls_failed_is_what_the_upper_layer_raises(authority, stranger, make_server, open_association):
    server = make_server(server_settings(stranger.issue()))
    with pytest.raises(TlsFailed, match=r"no TLS with FORWARD at 127.0.0.1"):
        open_association(server.port, client_settings(authority))


def test_an_alert_that_comes_before_we_have_said_anything_is_told(authority, strange_peer, open_association):
    """In TLS 1.3 a certificate is refused when our side is done; the peer may close before our request is out."""
    closed = threading.Event()
    settings = server_settings(authority.issue(), client_ca=authority.file, require_client_certificate=True)
    context = tls.server_context(settings).get()

    def refuse(sock):
        with suppress(ssl.SSLError):
            context.wrap_socket(sock, server_side=True)
        closed.set()

    def connect(host, port, timeout):
        secured = tls.connect(host, port, timeout, client_settings(authority))
        assert closed.wait(60.0)
        return secured

    with pytest.raises(TlsFailed, match="the peer requires a client certificate"):
        open_association(strange_peer(refuse), None, connect=connect)


def ended(sock):
    """Wait for the end of a connection, with or without an alert before it."""
    try:
        return sock.recv(100)[:1] in (b"", b"\x15")
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", bytes((22, 3, 1, 2, 0, 1, 0, 1))], ids=["nothing", "half a hello"])
def test_a_client_that_is_silent_in_the_handshake_is_stopped_at_once(authority, make_server, said):
    server = make_server(server_settings(authority.issue()))
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        silent.sendall(said)
        wait_until(lambda: server.running)
        server.running[0][0].stop()
        silent.settimeout(20.0)  # less than ARTIM
        assert ended(silent)
    assert server.refused == []


@pytest.mark.parametrize("said", [b"", bytes((22, 3, 1, 2, 0, 1, 0, 1))], ids=["nothing", "half a hello"])
def test_the_handshake_of_a_client_has_a_deadline(authority, make_server, said):
    server = make_server(server_settings(authority.issue()), artim=0.3)
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        silent.sendall(said)
        silent.settimeout(20.0)
        assert ended(silent)
    wait_until(lambda: not server.running[0][1].is_alive())
    assert server.refused == []
