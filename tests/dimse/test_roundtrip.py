"""Our requestor and our acceptor with each other."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import resource
import ssl
import sys
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from karnak_core.dimse import Association, AssociationAborted, ConnectionLost, ProposedContext, TlsFailed
from karnak_core.dimse.opening import connect_tcp

CT = "1.2.840.10008.5.1.4.1.1.2"
CONTEXTS = [
    ProposedContext(CT, ["1.2.840.10008.1.2.1"]),
    ProposedContext("1.2.840.10008.1.1", ["1.2.840.10008.1.2"]),
]


def open_association(acceptor, **options):
    options = {"contexts": CONTEXTS, "calling_ae_title": "CT1", "called_ae_title": "KARNAK"} | options
    return Association.open("127.0.0.1", acceptor.port, **options)


def test_files_arrive_byte_for_byte_with_requests_sent_ahead(acceptor, make_part10):
    files = [make_part10(f"1.2.3.{number}", 250 * 4 * number) for number in range(1, 40)]
    with open_association(acceptor) as assoc:
        assert assoc.window == 16
        assert assoc.send_c_echo() == 0
        for number, (path, offset, _) in enumerate(files, 1):
            assoc.start_c_store(CT, f"1.2.3.{number}", 1, path, offset)
        while assoc.outstanding:
            assert assoc.next_response().status == 0
    acceptor.all_ended()
    assert [bytes(store.data) for store in acceptor.receiver.stores] == [data for _, _, data in files]


def test_a_huge_file_passes_in_little_memory(acceptor, tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(400 << 20)
    counted = []

    class Counting:
        def write(self, data):
            counted.append(len(data))

        def finish(self):
            return acceptor.receiver.answer

        def discard(self):
            counted.clear()

    acceptor.receiver.begin_store = lambda request: Counting()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_association(acceptor) as assoc:
        assert assoc.send_c_store(CT, "1.2.3", 1, path).status == 0
    assert sum(counted) == 400 << 20
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 << (20 if sys.platform == "darwin" else 10)


def test_many_associations_at_once_keep_their_data_apart(acceptor):
    def send(number):
        data = bytes([number]) * 100_000
        with open_association(acceptor) as assoc:
            for _ in range(10):
                statuses.append(assoc.send_c_store(CT, f"1.2.{number}", 1, [data]).status)

    statuses = []
    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [0] * 200
    for store in acceptor.receiver.stores:
        number = int(store.request.sop_instance_uid.rpartition(".")[2])
        assert store.data == bytes([number]) * 100_000


def test_the_requestor_learns_that_the_gateway_stops(acceptor):
    assoc = open_association(acceptor)
    assert assoc.is_alive()
    acceptor.associations[0].stop()
    acceptor.associations[0].stop()
    acceptor.all_ended()
    with pytest.raises((AssociationAborted, ConnectionLost)):
        assoc.send_c_store(CT, "1.2.3", 1, [b"data"])
    assert not assoc.is_alive()


# -- TLS ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Contexts of a server and of a client that trusts it."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    client = ssl.create_default_context(cafile=str(directory / "cert.pem"))
    return server, client


def tls_acceptor(make_acceptor, server, **timeouts):
    return make_acceptor(
        lambda sock: server.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), **timeouts
    )


def tls_connect(client):
    return lambda host, port, timeout: client.wrap_socket(connect_tcp(host, port, timeout), server_hostname=host)


def test_everything_works_over_tls(make_acceptor, tls):
    server, client = tls
    acceptor = tls_acceptor(make_acceptor, server)
    data = bytes(range(256)) * 20_000
    with open_association(acceptor, connect=tls_connect(client)) as assoc:
        assert assoc.send_c_echo() == 0
        for number in range(3):
            assert assoc.is_alive()
            assoc.start_c_store(CT, f"1.2.{number}", 1, [data])
        assert [assoc.next_response().status for _ in range(3)] == [0, 0, 0]
        assert assoc.is_alive()
    acceptor.all_ended()
    assert [bytes(store.data) for store in acceptor.receiver.stores] == [data] * 3


def test_an_idle_tls_association_is_stopped_at_once(make_acceptor, tls, wire):
    server, client = tls
    acceptor = tls_acceptor(make_acceptor, server)
    assoc = open_association(acceptor, connect=tls_connect(client))
    assert assoc.send_c_echo() == 0
    acceptor.associations[0].stop()
    acceptor.all_ended()
    wire.eventually(lambda: not assoc.is_alive())


def test_tls_deadlines_hold(make_acceptor, tls, wire):
    server, client = tls
    acceptor = tls_acceptor(make_acceptor, server, idle=0.2)
    assoc = open_association(acceptor, connect=tls_connect(client))
    wire.eventually(lambda: not assoc.is_alive())
    acceptor.all_ended()


def test_a_silent_tls_client_ends_by_artim_and_blocks_nobody(make_acceptor, tls):
    server, client = tls
    acceptor = tls_acceptor(make_acceptor, server, artim=3.0)
    silent = acceptor.client()
    with open_association(acceptor, connect=tls_connect(client)) as assoc:
        assert assoc.send_c_echo() == 0
    silent.ended()
    acceptor.all_ended()


def test_a_silent_tls_client_is_stopped_at_once(make_acceptor, tls, wire):
    acceptor = tls_acceptor(make_acceptor, tls[0])
    silent = acceptor.client()
    wire.eventually(lambda: acceptor.associations and isinstance(acceptor.associations[0]._socket, ssl.SSLSocket))
    acceptor.associations[0].stop()
    acceptor.all_ended()
    assert silent.socket.recv(100)[:1] in (b"", b"\x15")  # nothing, or a TLS alert


def test_a_plain_client_of_a_tls_acceptor_is_ended(make_acceptor, tls, wire):
    acceptor = tls_acceptor(make_acceptor, tls[0])
    peer = acceptor.client()
    peer.send(wire.associate_request())
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        answer = peer.socket.recv(100)
    assert answer[:1] in (b"", b"\x15")  # nothing, or a TLS alert
    acceptor.all_ended()


def test_a_certificate_that_is_not_trusted_is_a_tls_failure(make_acceptor, tls):
    acceptor = tls_acceptor(make_acceptor, tls[0])
    with pytest.raises(TlsFailed, match=r"no TLS with KARNAK at 127.0.0.1"):
        open_association(acceptor, connect=tls_connect(ssl.create_default_context()))
    acceptor.all_ended()
